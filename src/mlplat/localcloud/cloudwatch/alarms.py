"""Alarms as time goes by: looked at when a period is over, turned, remembered, and told to whom it concerns."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.cloudwatch import actions, evaluation
from mlplat.localcloud.cloudwatch.composite import Rule
from mlplat.localcloud.cloudwatch.expressions import Unsupported
from mlplat.localcloud.cloudwatch.queries import Watched
from mlplat.localcloud.cloudwatch.series import Data, aware
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that a beat waits for requests to CloudWatch to be done."""

PAGE = 50


class Alarms:
    """The evaluation of a region's alarms, and DescribeAlarmHistory, which moto doesn't have."""

    service = "cloudwatch"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._data = Data()
        self._looked: dict[str, tuple[Any, ...]] = {}
        """By alarm, what it was looked at by: nothing new, no other state."""

    def describe_alarm_history(self, request: dict[str, Any]) -> dict[str, Any]:
        """What happened to alarms, newest first unless asked otherwise."""
        with self._cloud.lock:
            items = [each for items in self._cloud.store(actions.HISTORY).values() for each in items]
        chosen = [each for each in items if _is_wanted(each, request)]
        chosen.sort(key=lambda each: each["Timestamp"], reverse=request.get("ScanBy") != "TimestampAscending")
        start, size = int(request.get("NextToken") or 0), int(request.get("MaxRecords", PAGE))
        more = start + size < len(chosen)
        return {"AlarmHistoryItems": chosen[start : start + size], "NextToken": str(start + size) if more else None}

    def put_composite_alarm(self, request: dict[str, Any]) -> None:
        """An alarm on the states of others. moto keeps one; here it is made."""
        from moto.cloudwatch.models import cloudwatch_backends

        name, now = request["AlarmName"], self._cloud.clock.now()
        try:
            rule = Rule(request["AlarmRule"])
        except Unsupported as error:
            raise AwsError("ValidationError", str(error)) from error
        backend = cloudwatch_backends[self._cloud.account][self._cloud.region]
        with self._cloud.host.locks.quiet("cloudwatch", PATIENCE):
            if absent := [each for _, each in rule.alarms if each not in backend.alarms]:
                listed = ", ".join(absent)
                text = f"Could not save the composite alarm as alarms [{listed}] in the alarm rule do not exist"
                raise AwsError("ValidationError", text)
            known = backend.alarms.get(name)
            alarm = backend.put_metric_alarm(**_composed(request))
            alarm.alarm_rule = request["AlarmRule"]
            if known is None:
                alarm.state_value = evaluation.INSUFFICIENT_DATA
            else:
                alarm.state_value, alarm.state_reason = known.state_value, known.state_reason
                alarm.state_updated_timestamp = known.state_updated_timestamp
            actions.remember(self._cloud, alarm, "ConfigurationUpdate", f'Alarm "{name}" updated', now)

    def beat(self, now: datetime) -> None:
        """Look at every alarm whose period is over, or that was changed since."""
        from moto.cloudwatch.models import cloudwatch_backends

        backends = cloudwatch_backends.get(self._cloud.account)
        if not backends or self._cloud.region not in backends:
            return
        backend = backends[self._cloud.region]
        if not backend.alarms:
            return
        with self._cloud.host.locks.quiet("cloudwatch", PATIENCE):
            watches = [(alarm, watched) for alarm in backend.alarms.values() if (watched := _watched(alarm))]
            if watches:
                since = min(watched.end(now) - watched.reach for _, watched in watches)
                self._data.take(backend.metric_data, since)
            for alarm, watched in watches:
                if self._looked.get(alarm.name) != self._news(alarm, watched, now):
                    self._look(alarm, watched, now)
            for alarm in [each for each in backend.alarms.values() if each.rule is not None]:
                self._look_at_composite(alarm, backend.alarms, now)
        self._looked = {name: seen for name, seen in self._looked.items() if name in backend.alarms}

    def _news(self, alarm: Any, watched: Watched, now: datetime) -> tuple[Any, ...]:
        """As long as this is the same there is no other look: a state that somebody has set stays until then."""
        return (watched.end(now), self._data.read, alarm.configuration_updated_timestamp)

    def _look(self, alarm: Any, watched: Watched, now: datetime) -> None:
        end = watched.end(now)
        values, before_ = watched.values(self._data, end), alarm.state_value
        state = evaluation.state(watched.terms, values, before_)
        if state != before_:
            reason = evaluation.reason(watched.terms, values, end, watched.period, state)
            about = {name: value for name, value in (("statistic", alarm.statistic), ("unit", alarm.unit)) if value}
            told = evaluation.reason_data(watched.terms, values, end, watched.period, now, about)
            turn(self._cloud, alarm, state, reason, told, now)
        self._looked[alarm.name] = self._news(alarm, watched, now)

    def _look_at_composite(self, alarm: Any, alarms: Mapping[str, Any], now: datetime) -> None:
        try:
            rule = Rule(alarm.rule)
        except Unsupported:
            return
        holds = rule.holds(lambda name: alarms[name].state_value if name in alarms else "")
        state = evaluation.ALARM if holds else evaluation.OK
        if state != alarm.state_value:
            newest = max(
                (alarms[name] for _, name in rule.alarms if name in alarms),
                key=lambda each: aware(each.state_updated_timestamp),
                default=alarm,
            )
            reason = f"{newest.alarm_arn} transitioned to {newest.state_value} at {now:%A %d %B, %Y %H:%M:%S} UTC"
            turn(self._cloud, alarm, state, reason, "{}", now)


def _watched(alarm: Any) -> Watched | None:
    try:
        return Watched.of(alarm) if alarm.rule is None else None
    except Unsupported:
        return None  # refused when it was made; this one comes from an older local cloud


def turn(cloud: Cloud, alarm: Any, state: str, reason: str, data: str, now: datetime) -> None:
    """Give an alarm its new state, and tell of it. Call with CloudWatch quiet."""
    alarm.update_state(reason, data, state)
    alarm.state_updated_timestamp = now.replace(tzinfo=None)
    actions.announce(cloud, alarm, now)
    cloud.host.changes.mark("cloudwatch", cloud.region)


def _composed(request: Mapping[str, Any]) -> dict[str, Any]:
    """A composite alarm as moto takes it: what it has not is nothing."""
    of_metrics = (
        "namespace", "metric_name", "comparison_operator", "evaluation_periods", "period", "threshold", "statistic",
    )  # fmt: skip
    return {
        **dict.fromkeys(of_metrics),
        "name": request["AlarmName"],
        "description": request.get("AlarmDescription"),
        "dimensions": [],
        "alarm_actions": request.get("AlarmActions", []),
        "ok_actions": request.get("OKActions", []),
        "insufficient_data_actions": request.get("InsufficientDataActions", []),
        "actions_enabled": request.get("ActionsEnabled", True),
        "rule": request["AlarmRule"],
        "tags": request.get("Tags", []),
    }


def _is_wanted(item: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    return (
        item["AlarmName"] == request.get("AlarmName", item["AlarmName"])
        and item["HistoryItemType"] == request.get("HistoryItemType", item["HistoryItemType"])
        and item["AlarmType"] in request.get("AlarmTypes", ["MetricAlarm"])
        and request.get("StartDate", item["Timestamp"]) <= item["Timestamp"]
        and item["Timestamp"] <= request.get("EndDate", item["Timestamp"] + timedelta(seconds=1))
    )


@after("cloudwatch", "SetAlarmState")
def a_state_that_is_set_does_all_that_a_state_does(asked: Asked, _reply: Reply) -> None:
    """API reference of SetAlarmState: actions are invoked; the next evaluation may turn the alarm back."""
    alarm = asked.backend().alarms[asked.request["AlarmName"]]
    now = asked.cloud.clock.now()
    alarm.state_updated_timestamp = now.replace(tzinfo=None)
    actions.announce(asked.cloud, alarm, now)


@before("cloudwatch", "PutMetricAlarm")
def an_expression_must_be_one_that_can_be_evaluated(asked: Asked) -> None:
    """Rather refused here than an alarm that never goes off."""
    request = asked.request
    if request.get("ComparisonOperator") not in evaluation.COMPARED or "EvaluationPeriods" not in request:
        raise AwsError("ValidationError", "The local cloud evaluates alarms with a static threshold only.")
    if "Metrics" not in request and not {"MetricName", "Namespace", "Period"} <= request.keys():
        text = "Exactly one of the elements Metrics and MetricName, with Namespace and Period, should be specified"
        raise AwsError("ValidationError", text)
    if request.get("DatapointsToAlarm", 1) > request["EvaluationPeriods"]:
        text = "DatapointsToAlarm must be less than or equal to EvaluationPeriods"
        raise AwsError("ValidationError", text)
    if "Metrics" not in request and bool(request.get("Statistic")) == bool(request.get("ExtendedStatistic")):
        raise AwsError("ValidationError", "Must specify exactly one of Statistic and ExtendedStatistic.")


@after("cloudwatch", "PutMetricAlarm")
def what_cannot_be_evaluated_is_not_kept(asked: Asked, _reply: Reply) -> None:
    """The configuration as moto has read it; the update is a piece of the alarm's history."""
    backend, name = asked.backend(), asked.request["AlarmName"]
    alarm = backend.alarms[name]
    try:
        Watched.of(alarm)
    except Unsupported as error:
        del backend.alarms[name]
        if (known := asked.route.memo.get("alarm")) is not None:
            backend.alarms[name] = known
        raise AwsError("ValidationError", str(error)) from error
    actions.remember(asked.cloud, alarm, "ConfigurationUpdate", f'Alarm "{name}" updated', asked.cloud.clock.now())
