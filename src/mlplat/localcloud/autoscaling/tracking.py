"""The alarms that target tracking makes and deletes by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from mlplat.localcloud.cloudwatch.evaluation import INSUFFICIENT_DATA
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

SERVICE, BACKEND = "application-autoscaling", "applicationautoscaling"
TRACKING = "TargetTrackingScalingPolicyConfiguration"
INVOCATIONS = "SageMakerVariantInvocationsPerInstance"

HIGH, LOW = 3, 15
"""Minutes until the alarms of target tracking go off."""
SLACK = 0.9
"""The lower alarm's threshold, as a share of the target."""


@before(SERVICE, "PutScalingPolicy")
def a_policy_can_be_followed(asked: Asked) -> None:
    """Rather refused than a policy that never acts."""
    request = asked.request
    if request["ServiceNamespace"] != "sagemaker":
        return
    asked.route.memo["policy"] = asked.backend(BACKEND).policies.get(_key(request))
    if TRACKING not in request:
        return
    given = request[TRACKING]
    kind = given.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", INVOCATIONS)
    customized = given.get("CustomizedMetricSpecification", {})
    if kind != INVOCATIONS or "Metrics" in customized:
        text = f"The local cloud scales endpoints by {INVOCATIONS} or by one customized metric, not by {kind}."
        raise AwsError("ValidationException", text)
    if bool(given.get("PredefinedMetricSpecification")) == bool(customized):
        text = "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified."
        raise AwsError("ValidationException", text)


@after(SERVICE, "PutScalingPolicy")
def target_tracking_makes_its_alarms(asked: Asked, reply: Reply) -> Reply | None:
    """User guide, "Target tracking scaling policies": one alarm to scale out, one to scale in. An update keeps both."""
    request = asked.request
    if request["ServiceNamespace"] != "sagemaker":
        return None
    policy, known = asked.backend(BACKEND).policies[_key(request)], asked.route.memo.get("policy")
    if known is not None:
        policy.policy_arn, policy.creation_time, policy.alarms = known.policy_arn, known.creation_time, known.alarms
    if TRACKING in request:
        policy.alarms = _alarms(asked, policy, request[TRACKING])
        asked.cloud.host.changes.mark("cloudwatch", asked.cloud.region)
    told = {"PolicyARN": policy.policy_arn, "Alarms": [_named(each) for each in policy.alarms]}
    headers = {name: value for name, value in reply.headers.items() if name.lower() != "content-length"}
    return Reply(reply.status, headers, json.dumps(told).encode())


@before(SERVICE, "DeregisterScalableTarget")
def alarms_go_with_the_target(asked: Asked) -> None:
    """The policies are deleted with it (`scaling`), and so are their alarms."""
    request, alarms = asked.request, asked.backend("cloudwatch").alarms
    for policy in asked.backend(BACKEND).policies.values():
        if (policy.resource_id, policy.scalable_dimension) == (request["ResourceId"], request["ScalableDimension"]):
            for alarm in policy.alarms:
                alarms.pop(alarm.name, None)
    asked.cloud.host.changes.mark("cloudwatch", asked.cloud.region)


def _alarms(asked: Asked, policy: Any, given: Mapping[str, Any]) -> list[Any]:
    backend, target = asked.backend("cloudwatch"), float(given["TargetValue"])
    known = {name: alarm for alarm in policy.alarms for name in ("High", "Low") if f"-Alarm{name}-" in alarm.name}
    wanted = {"High": ("GreaterThanThreshold", target, HIGH), "Low": ("LessThanThreshold", target * SLACK, LOW)}
    if given.get("DisableScaleIn"):
        low = known.get("Low")
        del wanted["Low"]
        if low is not None:
            backend.alarms.pop(low.name, None)
    made = []
    for name, (comparison, threshold, periods) in wanted.items():
        before_ = known.get(name)
        alarm = backend.put_metric_alarm(
            name=before_.name if before_ else f"TargetTracking-{policy.resource_id}-Alarm{name}-{uuid4()}",
            description=f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy.policy_arn}.",
            comparison_operator=comparison,
            evaluation_periods=periods,
            period=60,
            threshold=threshold,
            alarm_actions=[policy.policy_arn],
            metric_data_queries=[],
            **_metric(policy.resource_id, given),
        )
        alarm.state_value = before_.state_value if before_ else INSUFFICIENT_DATA
        made.append(alarm)
    return made


def _metric(resource: str, given: Mapping[str, Any]) -> dict[str, Any]:
    customized = given.get("CustomizedMetricSpecification")
    if customized:
        return {
            "namespace": customized["Namespace"],
            "metric_name": customized["MetricName"],
            "statistic": customized["Statistic"],
            "unit": customized.get("Unit"),
            "dimensions": customized.get("Dimensions", []),
        }
    _, endpoint, _, variant = resource.split("/")
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    named = {"namespace": "AWS/SageMaker", "metric_name": "InvocationsPerInstance", "statistic": "Sum"}
    return {**named, "dimensions": dimensions}


def _named(alarm: Any) -> dict[str, str]:
    return {"AlarmARN": alarm.alarm_arn, "AlarmName": alarm.name}


def _key(request: Mapping[str, Any]) -> str:
    names = ("ServiceNamespace", "ResourceId", "ScalableDimension", "PolicyName")
    return "\t".join(str(request[name]) for name in names)
