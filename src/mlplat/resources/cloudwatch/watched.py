"""What an alarm watches, as PutMetricAlarm takes it and as DescribeAlarms tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

STATISTICS = frozenset({"SampleCount", "Average", "Sum", "Minimum", "Maximum"})

Description = Mapping[str, Any]


def request(metrics: Sequence[Description], expression: str, period: int) -> dict[str, Any]:
    """One metric by parameters of its own; an expression over several by queries."""
    if not expression:
        (metric,) = metrics
        statistic = "Statistic" if metric["statistic"] in STATISTICS else "ExtendedStatistic"
        return {**_metric(metric), statistic: metric["statistic"], "Period": period}
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {"Metric": _metric(each), "Period": period, "Stat": each["statistic"]},
            "ReturnData": False,
        }
        for number, each in enumerate(metrics, 1)
    ]
    return {"Metrics": [*queries, {"Id": "result", "Expression": expression, "ReturnData": True}]}


def described(alarm: Description) -> dict[str, Any]:
    """`metrics`, `expression` and `period` as they are; the expression is the one query whose result is compared."""
    queries = sorted(alarm.get("Metrics") or [], key=lambda each: (len(each["Id"]), each["Id"]))  # m2 before m10
    if not queries:
        statistic = alarm.get("Statistic") or alarm.get("ExtendedStatistic")
        return {"metrics": [_told(alarm, statistic)], "expression": "", "period": int(alarm["Period"])}
    stats = [each["MetricStat"] for each in queries if each.get("MetricStat")]
    result = next((each.get("Expression", "") for each in queries if each.get("ReturnData", True)), "")
    periods = [int(each["Period"]) for each in stats]
    metrics = [_told(each["Metric"], each["Stat"]) for each in stats]
    return {"metrics": metrics, "expression": result, "period": max(periods, default=0)}


def _metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in metric["dimensions"].items()]
    return {"Namespace": metric["namespace"], "MetricName": metric["name"], "Dimensions": dimensions}


def _told(metric: Description, statistic: str | None) -> dict[str, Any]:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", ())}
    named = {"namespace": metric.get("Namespace"), "name": metric.get("MetricName")}
    return {**named, "dimensions": dimensions, "statistic": statistic}
