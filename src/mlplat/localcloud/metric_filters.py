"""Metric filters of CloudWatch Logs: checked when they are put, and metrics out of every event that matches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlplat.localcloud import filter_patterns
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.filter_patterns import invalid
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

MOST_FILTERS = 100
"""Of a log group (API reference of PutMetricFilter)."""
MOST_DIMENSIONS = 3
MOST_DATA = 1000
"""In one PutMetricData."""

Filter = dict[str, Any]


@before("logs", "PutMetricFilter")
def a_filter_that_can_be(asked: Asked) -> None:
    """API reference of PutMetricFilter and MetricTransformation; the wordings are not verified."""
    request, (made,) = asked.request, asked.request["metricTransformations"]
    _check_group(asked)
    filter_patterns.matcher(request["filterPattern"])
    if made.get("dimensions") and "defaultValue" in made:
        raise invalid("Invalid metric transformation: dimensions and default value are mutually exclusive properties.")
    if len(made.get("dimensions") or {}) > MOST_DIMENSIONS:
        raise invalid(f"Invalid metric transformation: at most {MOST_DIMENSIONS} dimensions can be given.")
    value = made["metricValue"]
    if not value.startswith("$") and _number(value) is None:
        raise invalid(f"Invalid metric transformation: metricValue '{value}' is neither a number nor a selector.")
    others = [each for each in _of_group(asked) if each["filterName"] != request["filterName"]]
    if len(others) >= MOST_FILTERS:
        raise AwsError("LimitExceededException", "Resource limit exceeded.")


@before("logs", "PutMetricFilter")
def one_of_each_name(asked: Asked) -> None:
    """ "Creates or updates": moto keeps both."""
    asked.backend().filters.delete_filter(asked.request["filterName"], asked.request["logGroupName"])


@after("logs", "PutMetricFilter")
def all_that_was_given_is_told(asked: Asked, _reply: Reply) -> None:
    """creationTime, and members that moto leaves out."""
    kept = next(each for each in _of_group(asked) if each["filterName"] == asked.request["filterName"])
    kept |= asked.request | {"creationTime": int(asked.cloud.now().timestamp() * 1000)}


@before("logs", "DescribeMetricFilters", "DeleteMetricFilter")
def its_group_is_there(asked: Asked) -> None:
    """API references of both: ResourceNotFoundException."""
    if "logGroupName" in asked.request:
        _check_group(asked)


@before("logs", "DeleteMetricFilter")
def a_filter_that_is_there(asked: Asked) -> None:
    """API reference of DeleteMetricFilter; the wording is not verified."""
    if all(each["filterName"] != asked.request["filterName"] for each in _of_group(asked)):
        raise AwsError("ResourceNotFoundException", "The specified metric filter does not exist.")


@after("logs", "DeleteLogGroup")
def a_group_takes_its_filters_with_it(asked: Asked, _reply: Reply) -> None:
    """API reference of DeleteLogGroup: the group and all that is archived with it."""
    for each in list(_of_group(asked)):
        asked.backend().filters.delete_filter(each["filterName"], each["logGroupName"])


@after("logs", "PutLogEvents")
def events_become_metrics(asked: Asked, _reply: Reply) -> None:
    """Soon after, and without holding up whoever logs."""
    filters = [dict(each) for each in _of_group(asked)]
    if filters:
        events = asked.request["logEvents"]
        asked.cloud.later(lambda: publish(asked.cloud, filters, events), 0)


class MetricFilters:
    """TestMetricFilter, which moto doesn't have."""

    service = "logs"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def test_metric_filter(self, request: dict[str, Any]) -> dict[str, Any]:
        """Which messages match, counted from 1, and the values that the pattern names."""
        match, matches = filter_patterns.matcher(request["filterPattern"]), []
        for number, message in enumerate(request["logEventMessages"], 1):
            if (values := match(message)) is not None:
                extracted = {name: _text(value) for name, value in values.items()}
                matches.append({"eventNumber": number, "eventMessage": message, "extractedValues": extracted})
        return {"matches": matches}


def publish(cloud: Cloud, filters: list[Filter], events: list[dict[str, Any]]) -> None:
    """Every match is a datum at its event's time.

    AWS publishes a default value for minutes whose events don't match; here for calls of PutLogEvents.
    """
    for each in filters:
        (made,) = each["metricTransformations"]
        data = list(_data(each["filterPattern"], made, events))
        if not data and "defaultValue" in made:
            data = [_datum(made, made["defaultValue"], events[-1]["timestamp"], {})]
        for at in range(0, len(data), MOST_DATA):
            cloud.aws("cloudwatch").put_metric_data(
                Namespace=made["metricNamespace"], MetricData=data[at : at + MOST_DATA]
            )


def _data(pattern: str, made: Mapping[str, Any], events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    match = filter_patterns.matcher(pattern)
    for event in events:
        message = event["message"]
        if (values := match(message)) is None:
            continue
        given = made["metricValue"]
        value = _number(filter_patterns.value_of(message, given, values) if given.startswith("$") else given)
        named = made.get("dimensions") or {}
        dimensions = {name: filter_patterns.value_of(message, selector, values) for name, selector in named.items()}
        if value is not None and None not in dimensions.values():
            yield _datum(made, value, event["timestamp"], dimensions)


def _datum(made: Mapping[str, Any], value: float, timestamp: int, dimensions: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "MetricName": made["metricName"],
        "Value": value,
        "Timestamp": timestamp / 1000,
        "Unit": made.get("unit", "None"),
        "Dimensions": [{"Name": name, "Value": _text(value)} for name, value in dimensions.items()],
    }


def _number(value: Any) -> float | None:
    return float(value) if re.fullmatch(r"-?\d+(\.\d*)?([eE][+-]?\d+)?", str(value)) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _of_group(asked: Asked) -> list[Filter]:
    group = asked.request.get("logGroupName")
    return [each for each in asked.backend().filters.metric_filters if each["logGroupName"] == group]


def _check_group(asked: Asked) -> None:
    if asked.request["logGroupName"] not in asked.backend().groups:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
