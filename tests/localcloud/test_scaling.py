"""Application Auto Scaling on an endpoint of the running local cloud, and its arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.hosted import Hosted, host
from tests.localcloud.jobs import until

from mlplat.localcloud import daemon
from mlplat.localcloud.autoscaling import decisions
from mlplat.localcloud.cloud import AGENT

NOW = datetime(2024, 5, 1, tzinfo=UTC)
TRACK = {
    "TargetValue": 10.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    "ScaleOutCooldown": 120,
    "ScaleInCooldown": 600,
}


class Scaled:
    """An endpoint whose variant is a scalable target."""

    def __init__(self, hosted: Hosted) -> None:
        self.hosted, self.cloud = hosted, hosted.cloud
        model = hosted.model("scaled")
        self.endpoint = hosted.create("scaled", hosted.config("scaled", {"all": (model, 1.0)}))
        self.scaling, self.cloudwatch = (
            self.cloud.client("application-autoscaling"),
            self.cloud.client(
                "cloudwatch",
                user_agent_extra=AGENT,  # as the local cloud's endpoints publish what they count
            ),
        )
        self.target = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{self.endpoint}/variant/all",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }

    def register(self, least: int = 1, most: int = 4) -> None:
        self.scaling.register_scalable_target(**self.target, MinCapacity=least, MaxCapacity=most)

    def track(self, **config: Any) -> dict[str, Any]:
        return dict(
            self.scaling.put_scaling_policy(
                **self.target, PolicyName="track", PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=TRACK | config,
            )
        )  # fmt: skip

    def advance(self, seconds: float = 0) -> datetime:
        return daemon.advance(self.cloud.address, seconds)

    def invoked(self, per_minute: float, minutes: int) -> None:
        """So many invocations an instance in each of the last minutes."""
        end = self.advance().replace(second=0, microsecond=0)
        dimensions = [{"Name": "EndpointName", "Value": self.endpoint}, {"Name": "VariantName", "Value": "all"}]
        data = [
            {"MetricName": "InvocationsPerInstance", "Dimensions": dimensions, "Value": per_minute,
             "Timestamp": end - timedelta(seconds=30 + 60 * ago)}
            for ago in range(minutes)
        ]  # fmt: skip
        self.cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=data)

    def count(self) -> int:
        (variant,) = self.hosted.sagemaker.describe_endpoint(EndpointName=self.endpoint)["ProductionVariants"]
        return int(variant["CurrentInstanceCount"])

    def becomes(self, count: int) -> None:
        """The count, and the activity that tells of it, which is written down a moment later."""
        until(self.count, lambda found: found == count, within=20)
        until(self._newest, lambda found: found == f"Setting desired instance count to {count}.", within=20)

    def _newest(self) -> str:
        return next((str(each["Description"]) for each in self.activities()), "")

    def activities(self) -> list[dict[str, Any]]:
        return list(self.scaling.describe_scaling_activities(**self.target)["ScalingActivities"])


@pytest.fixture
def scaled(cloud: RunningCloud) -> Iterator[Scaled]:
    for hosted in host(cloud):
        yield Scaled(hosted)


def test_an_endpoint_grows_with_its_traffic_and_shrinks_again(scaled: Scaled) -> None:
    scaled.register()
    alarms = scaled.track()["Alarms"]
    high, low = (each["AlarmName"] for each in alarms)
    assert high.startswith(f"TargetTracking-endpoint/{scaled.endpoint}/variant/all-AlarmHigh-") and "-AlarmLow-" in low
    found = scaled.cloudwatch.describe_alarms(AlarmNames=[high, low])["MetricAlarms"]
    told = {each["AlarmName"]: (each["EvaluationPeriods"], each["Threshold"]) for each in found}
    assert told == {high: (3, 10.0), low: (15, 9.0)}
    scaled.invoked(25.0, minutes=5)
    scaled.becomes(3)
    (first,) = scaled.activities()
    assert first["Description"] == "Setting desired instance count to 3." and first["StatusCode"] == "Successful"
    assert first["Cause"] == f"monitor alarm {high} in state ALARM triggered policy track"
    scaled.advance(60)
    scaled.invoked(25.0, minutes=1)
    scaled.advance(5)
    assert scaled.count() == 3, "it has just been scaled out"
    scaled.advance(120)
    scaled.invoked(25.0, minutes=3)
    scaled.becomes(4)
    assert len(scaled.activities()) == 2
    scaled.advance(17 * 60)
    scaled.invoked(1.0, minutes=17)
    scaled.becomes(1)
    assert low in scaled.activities()[0]["Cause"]


def test_bounds_hold_and_schedules_move_them(scaled: Scaled) -> None:
    scaled.register(least=2, most=3)
    scaled.becomes(2)
    scaled.scaling.put_scheduled_action(
        **scaled.target, ScheduledActionName="busy", Schedule="rate(1 hour)", ScalableTargetAction={"MinCapacity": 3}
    )
    scaled.advance(2)
    scaled.advance(3600)
    scaled.becomes(3)


def test_an_update_keeps_its_alarms_and_an_end_takes_them_away(scaled: Scaled) -> None:
    scaled.register()
    first = scaled.track()
    again = scaled.track(TargetValue=20.0, DisableScaleIn=True)
    assert again["PolicyARN"] == first["PolicyARN"] and again["Alarms"] == first["Alarms"][:1]
    names = [each["AlarmName"] for each in first["Alarms"]]
    (alarm,) = scaled.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert alarm["Threshold"] == 20.0 and alarm["AlarmActions"] == [first["PolicyARN"]]
    scaled.scaling.deregister_scalable_target(**scaled.target)
    assert scaled.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"] == []


def test_a_step_policy_acts_on_an_alarm_of_ones_own(scaled: Scaled) -> None:
    scaled.register()
    steps = [{"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
             {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 2}]  # fmt: skip
    policy = scaled.scaling.put_scaling_policy(
        **scaled.target, PolicyName="steps", PolicyType="StepScaling",
        StepScalingPolicyConfiguration={"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, "Cooldown": 60},
    )["PolicyARN"]  # fmt: skip
    dimensions = [{"Name": "EndpointName", "Value": scaled.endpoint}, {"Name": "VariantName", "Value": "all"}]
    scaled.cloudwatch.put_metric_alarm(
        AlarmName=f"{scaled.endpoint}-steps", Namespace="AWS/SageMaker", MetricName="InvocationsPerInstance",
        Dimensions=dimensions, Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=10.0,
        ComparisonOperator="GreaterThanThreshold", AlarmActions=[policy],
    )  # fmt: skip
    scaled.invoked(25.0, minutes=2)
    scaled.becomes(3)


def test_what_could_never_act_is_refused(scaled: Scaled) -> None:
    scaled.register()
    kind = {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}
    with pytest.raises(ClientError) as caught:
        scaled.track(PredefinedMetricSpecification=kind)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("current", "value", "more", "less"), [(1, 25, 3, 0), (2, 10.5, 3, 1), (4, 1, 5, 1), (3, 9, 4, 2)]
)
def test_target_tracking_goes_by_proportion(current: int, value: float, more: int, less: int) -> None:
    assert decisions.out(current, value, 10.0) == more
    assert decisions.back(current, value, 10.0) == less


@pytest.mark.parametrize(
    ("kind", "adjustment", "expected"),
    [("ChangeInCapacity", -1, 3), ("ExactCapacity", 7, 7), ("PercentChangeInCapacity", 50, 6),
     ("PercentChangeInCapacity", 10, 5), ("PercentChangeInCapacity", -60, 2)],
)  # fmt: skip
def test_steps(kind: str, adjustment: int, expected: int) -> None:
    steps = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": adjustment}]
    assert decisions.stepped(4, 1.0, {"AdjustmentType": kind, "StepAdjustments": steps}) == expected
    assert decisions.stepped(4, -1.0, {"AdjustmentType": kind, "StepAdjustments": steps}) == 4


def test_cooldowns() -> None:
    added = {"StartTime": NOW - timedelta(seconds=100), "More": True}
    taken = {"StartTime": NOW - timedelta(seconds=50), "More": False}
    assert decisions.is_cooling(NOW, [added], more=True, seconds=120)
    assert not decisions.is_cooling(NOW, [added], more=True, seconds=90)
    assert not decisions.is_cooling(NOW, [taken], more=True, seconds=120)
    assert decisions.is_cooling(NOW, [added, taken], more=False, seconds=60)
