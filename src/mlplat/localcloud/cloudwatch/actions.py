"""What the turn of an alarm sets off: an event, a message, a function, a scaling policy; and its history."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.cloudwatch import permissions
from mlplat.localcloud.cloudwatch.series import aware

log = logging.getLogger(__name__)

HISTORY = "alarm_history"
"""The store: items of DescribeAlarmHistory by alarm."""

KEPT = 200
"""Items that are kept of an alarm."""


def announce(cloud: Cloud, alarm: Any, now: datetime) -> None:
    """The alarm has a state that it was given just now; tell of it in the background, if it is another one."""
    _, reason, data, before, time = alarm.history[-1]
    del alarm.history[:-1]
    if before == alarm.state_value:
        return
    previous = {"value": before, "reason": reason, "reasonData": data, "timestamp": _stamp(aware(time))}
    told = _history(alarm, before, reason, data)
    remember(cloud, alarm, "StateUpdate", f"Alarm updated from {before} to {alarm.state_value}", now, told)
    event, message = _event(alarm, previous, now), _message(cloud, alarm, before, now)
    arns = list(_actions(alarm)) if alarm.actions_enabled else []

    def act() -> None:
        from mlplat.localcloud.eventbridge import bus

        bus.put(cloud, "aws.cloudwatch", "CloudWatch Alarm State Change", [alarm.alarm_arn], event)
        for arn in arns:
            _act(cloud, alarm, arn, message, event)

    cloud.later(act, 0)


def remember(
    cloud: Cloud, alarm: Any, kind: str, summary: str, now: datetime, data: Mapping[str, Any] | None = None
) -> None:
    """One more item of the alarm's history."""
    item = {
        "AlarmName": alarm.name,
        "AlarmType": "MetricAlarm" if alarm.rule is None else "CompositeAlarm",
        "Timestamp": now,
        "HistoryItemType": kind,
        "HistorySummary": summary,
        "HistoryData": json.dumps({"version": "1.0", **(data or {})}),
    }
    with cloud.lock:
        items = cloud.store(HISTORY).setdefault(alarm.name, [])
        items.append(item)
        del items[:-KEPT]


def _actions(alarm: Any) -> list[str]:
    by_state = {
        "OK": alarm.ok_actions,
        "ALARM": alarm.alarm_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }
    return list(by_state[alarm.state_value] or ())


def _act(cloud: Cloud, alarm: Any, arn: str, message: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    try:
        _run(cloud, arn, message, event)
    except Exception as error:
        summary = f"Failed to execute action {arn}. Received error: {error}"
        log.warning("alarm %s: %s", alarm.name, summary)
    else:
        summary = f"Successfully executed action {arn}"
    told = {"actionState": "Failed" if summary.startswith("Failed") else "Succeeded", "notificationResource": arn}
    remember(cloud, alarm, "Action", summary, cloud.clock.now(), told)


class NoSuchAction(Exception):
    """The local cloud can't do what the action asks for."""


def _run(cloud: Cloud, arn: str, message: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    service = arn.split(":")[2]
    if service == "sns":
        permissions.check(cloud, message["AlarmArn"], arn)
        subject = f'{message["NewStateValue"]}: "{message["AlarmName"]}" in {message["Region"]}'
        cloud.aws("sns").publish(TopicArn=arn, Subject=subject[:100], Message=json.dumps(message))
    elif service == "lambda":
        told = {"source": "aws.cloudwatch", "alarmArn": message["AlarmArn"], "accountId": cloud.account}
        told |= {"time": message["StateChangeTime"], "region": cloud.region, "alarmData": event}
        cloud.aws("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=json.dumps(told))
    elif service == "autoscaling" and "resource/sagemaker/" in arn:
        return  # the scaling policy watches the states of its alarms itself
    else:
        raise NoSuchAction(f"the local cloud has no alarm actions of {service}")


def _event(alarm: Any, previous: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """User guide, "Alarm events and EventBridge"."""
    state = {"value": alarm.state_value, "reason": alarm.state_reason, "timestamp": _stamp(now)}
    if alarm.state_reason_data:
        state["reasonData"] = alarm.state_reason_data
    configuration: dict[str, Any] = {"description": alarm.description} if alarm.description else {}
    if alarm.rule is not None:
        configuration["alarmRule"] = alarm.rule
    else:
        configuration["metrics"] = _metrics(alarm)
    return {
        "alarmName": alarm.name,
        "state": state,
        "previousState": {name: value for name, value in previous.items() if value},
        "configuration": configuration,
    }


def _metrics(alarm: Any) -> list[dict[str, Any]]:
    if not alarm.metric_data_queries:
        stat = {"period": int(alarm.period), "stat": alarm.extended_statistic or alarm.statistic}
        return [{"id": "m1", "metricStat": {"metric": _metric(alarm), **stat}, "returnData": True}]
    found = []
    for each in alarm.metric_data_queries:
        one = {"id": each.id, "returnData": each.return_data is not False}
        if each.expression:
            one["expression"] = each.expression
        if each.metric_stat:
            metric = each.metric_stat
            one["metricStat"] = {"metric": _metric(metric.metric), "period": int(metric.period), "stat": metric.stat}
        found.append(one)
    return found


def _metric(metric: Any) -> dict[str, Any]:
    dimensions = {each.name: each.value for each in metric.dimensions}
    return {"namespace": metric.namespace, "name": metric.metric_name, "dimensions": dimensions}


def _message(cloud: Cloud, alarm: Any, before: str, now: datetime) -> dict[str, Any]:
    """What an alarm publishes to SNS (user guide, "Notifying users on alarm changes")."""
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": cloud.account,
        "AlarmConfigurationUpdatedTimestamp": _stamp(aware(alarm.configuration_updated_timestamp)),
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": _stamp(now),
        "Region": place(cloud.region),
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before,
        "OKActions": list(alarm.ok_actions or ()),
        "AlarmActions": list(alarm.alarm_actions or ()),
        "InsufficientDataActions": list(alarm.insufficient_data_actions or ()),
        **({"AlarmRule": alarm.rule} if alarm.rule is not None else {"Trigger": _trigger(alarm)}),
    }


def _trigger(alarm: Any) -> dict[str, Any]:
    terms = {
        "Period": int(alarm.period) if alarm.period else None,
        "EvaluationPeriods": int(alarm.evaluation_periods),
        "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": float(alarm.threshold),
        "TreatMissingData": alarm.treat_missing_data or "missing",
        "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile or "",
    }
    if alarm.metric_data_queries:
        return {"Metrics": _metrics(alarm), **terms}
    kind = {"StatisticType": "Statistic", "Statistic": (alarm.statistic or "").upper()}
    if alarm.extended_statistic:
        kind = {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": alarm.extended_statistic}
    dimensions = [{"value": each.value, "name": each.name} for each in alarm.dimensions]
    named = {"MetricName": alarm.metric_name, "Namespace": alarm.namespace}
    return {**named, **kind, "Unit": alarm.unit, "Dimensions": dimensions, **terms}


def _history(alarm: Any, before: str, reason: str, data: str) -> dict[str, Any]:
    return {
        "oldState": {"stateValue": before, "stateReason": reason, "stateReasonData": data},
        "newState": {
            "stateValue": alarm.state_value,
            "stateReason": alarm.state_reason,
            "stateReasonData": alarm.state_reason_data,
        },
    }


@cache
def place(region: str) -> str:
    """How AWS calls the region in messages."""
    import botocore.session

    for partition in botocore.session.get_session().get_data("endpoints")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"])
    return region


def _stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}+0000"
