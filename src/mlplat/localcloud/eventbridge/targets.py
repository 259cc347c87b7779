"""Targets: what each kind is called with, and what becomes of what can't be delivered."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import inputs, permissions
from mlplat.localcloud.eventbridge.inputs import Event
from mlplat.localcloud.eventbridge.permissions import NotAllowed

log = logging.getLogger(__name__)

ATTEMPTS, PAUSE = 3, 0.5
"""AWS tries for 24 hours; what fails here for a second fails for good."""

PASSING = frozenset({"InternalFailure", "ServiceUnavailable", "ThrottlingException", "TooManyRequestsException"})
"""Errors that may be gone at the next attempt."""

_pool = ThreadPoolExecutor(4, "targets")


@dataclass(frozen=True)
class Sender:
    """Who sends: a rule, or a schedule of EventBridge Scheduler."""

    arn: str
    name: str
    service: str = "events.amazonaws.com"
    role: str | None = None

    @classmethod
    def of(cls, rule: Any) -> Sender:
        """A rule of moto's."""
        return cls(rule.arn, rule.name)


class NoSuchTarget(Exception):
    """The local cloud delivers nothing to such a target."""


def send(cloud: Cloud, sender: Sender, target: Mapping[str, Any], event: Event) -> None:
    """Deliver in the background."""
    _pool.submit(_deliver, cloud, sender, target, event)


def _deliver(cloud: Cloud, sender: Sender, target: Mapping[str, Any], event: Event) -> None:
    try:
        failure = _attempts(cloud, sender, target, event)
        if cloud.closed:
            return
        count(cloud, sender, "FailedInvocations" if failure else "Invocations")
        if failure:
            log.warning("%s could not deliver to %s: %s", sender.arn, target["Arn"], failure)
            _bury(cloud, sender, target, event, failure)
    except Exception:
        if not cloud.closed:
            log.exception("delivering for %s", sender.arn)


def _attempts(cloud: Cloud, sender: Sender, target: Mapping[str, Any], event: Event) -> str | None:
    """Why it could not be delivered, or None."""
    from botocore.exceptions import BotoCoreError, ClientError

    body, target = inputs.body(target, event, (sender.arn, sender.name)), inputs.parametrised(target, event)
    for attempt in range(ATTEMPTS):
        try:
            _call(cloud, sender, target, body)
            return None
        except (NoSuchTarget, NotAllowed) as error:
            return str(error)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            failure = f"{code}: {error.response['Error']['Message']}"
            if code not in PASSING:
                return failure
        except BotoCoreError as error:
            failure = str(error)
        time.sleep(PAUSE * 2**attempt)
    return failure


def _call(cloud: Cloud, sender: Sender, target: Mapping[str, Any], body: str) -> None:
    arn = target["Arn"]
    service, resource = arn.split(":")[2], arn.split(":", 5)[5]
    kind = "sagemaker-pipeline" if service == "sagemaker" and resource.startswith("pipeline/") else service
    if kind == "events" and not resource.startswith("event-bus/"):
        kind = "unknown"
    if kind not in KINDS:
        raise NoSuchTarget(f"the local cloud delivers no events to {arn}")
    permissions.check(cloud, sender.service, sender.arn, target.get("RoleArn") or sender.role, arn)
    KINDS[kind](cloud, target, body)


def _lambda(cloud: Cloud, target: Mapping[str, Any], body: str) -> None:
    cloud.aws("lambda").invoke(FunctionName=target["Arn"], InvocationType="Event", Payload=body)


def _sns(cloud: Cloud, target: Mapping[str, Any], body: str) -> None:
    cloud.aws("sns").publish(TopicArn=target["Arn"], Message=_text(body))


def _sqs(cloud: Cloud, target: Mapping[str, Any], body: str) -> None:
    sqs = cloud.aws("sqs")
    url = sqs.get_queue_url(QueueName=target["Arn"].rpartition(":")[2])["QueueUrl"]
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    sqs.send_message(QueueUrl=url, MessageBody=_text(body), **({"MessageGroupId": group} if group else {}))


def _pipeline(cloud: Cloud, target: Mapping[str, Any], _body: str) -> None:
    parameters = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    cloud.aws("sagemaker").start_pipeline_execution(
        PipelineName=target["Arn"].rpartition("/")[2],
        ClientRequestToken=uuid4().hex,
        **({"PipelineParameters": parameters} if parameters else {}),
    )


def _logs(cloud: Cloud, target: Mapping[str, Any], body: str) -> None:
    logs = cloud.aws("logs")
    group = target["Arn"].split(":log-group:")[1].removesuffix(":*")
    place = {"logGroupName": group, "logStreamName": str(uuid4())}
    logs.create_log_stream(**place)
    logs.put_log_events(**place, logEvents=[{"timestamp": time.time_ns() // 1_000_000, "message": body}])


def _bus(cloud: Cloud, target: Mapping[str, Any], body: str) -> None:
    """Another bus is given the event, whatever the target's input says; a schedule says what the event is."""
    event = json.loads(body)
    about = target.get("EventBridgeParameters") or {"DetailType": event["detail-type"], "Source": event["source"]}
    entry = {**about, "Detail": body if "EventBridgeParameters" in target else json.dumps(event["detail"])}
    cloud.aws("events").put_events(Entries=[{**entry, "EventBusName": target["Arn"]}])


KINDS: dict[str, Callable[[Cloud, Mapping[str, Any], str], None]] = {
    "lambda": _lambda,
    "sns": _sns,
    "sqs": _sqs,
    "sagemaker-pipeline": _pipeline,
    "logs": _logs,
    "events": _bus,
}


def _text(body: str) -> str:
    """A JSON text alone is delivered as the text."""
    value = json.loads(body) if body.startswith('"') else None
    return value if isinstance(value, str) else body


def _bury(cloud: Cloud, sender: Sender, target: Mapping[str, Any], event: Event, failure: str) -> None:
    """The target's dead-letter queue, if it has one (user guide, "Using dead-letter queues")."""
    arn = target.get("DeadLetterConfig", {}).get("Arn")
    if arn is None:
        return
    about = {"RULE_ARN": sender.arn, "TARGET_ARN": target["Arn"], "ERROR_MESSAGE": failure}
    sqs = cloud.aws("sqs")
    url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in about.items()}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event), MessageAttributes=attributes)


def count(cloud: Cloud, sender: Sender, metric: str) -> None:
    """One more in EventBridge's metrics of the rule."""
    if sender.service != "events.amazonaws.com":
        return
    datum = {"MetricName": metric, "Dimensions": [{"Name": "RuleName", "Value": sender.name}], "Value": 1.0}
    cloud.aws("cloudwatch").put_metric_data(Namespace="AWS/Events", MetricData=[{**datum, "Unit": "Count"}])
