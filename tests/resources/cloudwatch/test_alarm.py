from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import Alarm
from mlplat.resources.cloudwatch import watched

ERRORS = {
    "namespace": "mlplat/Test",
    "name": "Errors",
    "dimensions": {"FeatureGroupName": "customer", "OperationName": "PutRecord"},
    "statistic": "Sum",
}
LATENCY = {**ERRORS, "name": "Latency", "statistic": "p99"}


def topic(world: World, name: str) -> str:
    return f"arn:aws:sns:{world.session.region}:{world.session.account}:{name}"


class TestAlarm(KindContract):
    def desired(self, world: World) -> Alarm:
        return Alarm(
            name=f"mlplat-test-{world.suffix}",
            metrics=[ERRORS],
            threshold=5.0,
            period=300,
            periods=3,
            datapoints=2,
            missing="notBreaching",
            actions=[topic(world, "alarms")],
            ok_actions=[topic(world, "alarms")],
            description="Puts fail",
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "threshold": 7.5,
            "comparison": "GreaterThanOrEqualToThreshold",
            "period": 60,
            "periods": 4,
            "datapoints": 1,
            "missing": "breaching",
            "actions": [topic(world, "others")],
            "ok_actions": [],
            "description": "Puts fail often",
            "metrics": [LATENCY],
        }


class TestAlarmOnAnExpression(KindContract):
    def desired(self, world: World) -> Alarm:
        other = {**ERRORS, "name": "Faults"}
        return replace(TestAlarm().desired(world), metrics=[ERRORS, other], expression="m1 + m2")

    def changes(self, world: World) -> dict[str, Any]:
        return {"expression": "m1 - m2", "period": 120, "metrics": [{**ERRORS, "name": "Refusals"}, ERRORS]}


def test_queries_in_another_order_are_the_same_alarm() -> None:
    metrics = [{**ERRORS, "name": f"Errors{number}"} for number in range(10)]
    told = watched.request(metrics, "m1 + m10", 60)
    seen = watched.described({"Metrics": sorted(told["Metrics"], key=lambda each: each["Id"], reverse=True)})
    assert (seen["metrics"], seen["expression"], seen["period"]) == (metrics, "m1 + m10", 60)


def test_all_are_seen_with_two_calls_and_their_tags(world: World) -> None:
    alarms = [replace(TestAlarm().desired(world), name=f"mlplat-{world.suffix}-{n}") for n in range(3)]
    session = replace(world.session, namespace=world.suffix)
    for number, alarm in enumerate(alarms):
        alarm.create(session.at(f"t.alarm.a{number}"))
    ids: dict[str, str | None] = {"t.alarm.a0": alarms[0].name, "t.alarm.a1": None, "t.alarm.gone": None}
    found = Alarm.prefetch(session, ids)
    assert {each: seen.id if seen else None for each, seen in found.items()} == {
        "t.alarm.a0": alarms[0].name,
        "t.alarm.a1": alarms[1].name,
    }, "the third is not among those asked for: it may have the name of the one that seems to be gone"
    found = Alarm.prefetch(session, {**ids, "t.alarm.a2": None})
    assert found["t.alarm.gone"] is None
    for alarm in alarms:
        alarm.delete(session, alarm.name)


def test_somebody_elses_alarm_is_not_overlooked(world: World) -> None:
    """PutMetricAlarm would overwrite it without a word."""
    alarm = replace(TestAlarm().desired(world), name=f"mlplat-{world.suffix}-a")
    session = replace(world.session, namespace=world.suffix)
    world.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm.name, Namespace="N", MetricName="M", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    assert "t.alarm.a" not in Alarm.prefetch(session, {"t.alarm.a": None})
    seen = alarm.describe(session.at("t.alarm.a"))
    assert seen is not None
    assert seen.tags == {}
    alarm.delete(session, alarm.name)
