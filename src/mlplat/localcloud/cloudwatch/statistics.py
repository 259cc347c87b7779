"""GetMetricStatistics and GetMetricData: a metric is its namespace, its name and all of its dimensions.

User guide, "Dimensions": CloudWatch treats each unique combination of dimensions as a separate metric. Periods begin at
StartTime, rounded down to the minute (API reference of both). Metrics Insights is left to moto.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.cloudwatch import expressions, series
from mlplat.localcloud.cloudwatch.expressions import Unsupported
from mlplat.localcloud.cloudwatch.queries import known_statistic
from mlplat.localcloud.cloudwatch.series import Key, Sample, Values
from mlplat.localcloud.errors import AwsError, NotMine

MOST = 1440
"""Data points of one GetMetricStatistics."""
SHORT = (1, 5, 10, 20, 30)


@dataclass(frozen=True)
class Steps:
    """The periods of an answer."""

    begin: datetime
    period: int
    count: int

    @classmethod
    def of(cls, start: datetime, end: datetime, period: int) -> Steps:
        """From the start, rounded down, to the end."""
        whole = min(period, 60)
        begin = datetime.fromtimestamp(start.timestamp() // whole * whole, UTC)
        return cls(begin, period, max(1, int(-(-(end - begin).total_seconds() // period))))

    def at(self, number: int) -> datetime:
        """The begin of a period."""
        return self.begin + timedelta(seconds=self.period * number)

    def shared(self, samples: Iterable[Sample], end: datetime) -> list[list[Sample]]:
        """The samples of each period."""
        found: list[list[Sample]] = [[] for _ in range(self.count)]
        for each in samples:
            if self.begin <= each.time < end:
                found[int((each.time - self.begin).total_seconds() // self.period)].append(each)
        return found


class Statistics:
    """Both operations."""

    service = "cloudwatch"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def get_metric_statistics(self, request: dict[str, Any]) -> dict[str, Any]:
        """The statistics of one metric, by period; only periods that have data."""
        plain, extended = request.get("Statistics", ()), request.get("ExtendedStatistics", ())
        if not plain and not extended:
            raise AwsError("InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics")
        steps = self._steps(request, request["Period"])
        samples = self._samples(_key(request), request.get("Unit"))
        points = []
        for number, found in enumerate(steps.shared(samples, request["EndTime"])):
            if found:
                values = {name: series.statistic(_known(name))(found) for name in (*plain, *extended)}
                points.append({
                    "Timestamp": steps.at(number), "Unit": found[0].unit or "None",
                    **{name: values[name] for name in plain},
                    **({"ExtendedStatistics": {name: values[name] for name in extended}} if extended else {}),
                })  # fmt: skip
        return {"Label": request["MetricName"], "Datapoints": points}

    def get_metric_data(self, request: dict[str, Any]) -> dict[str, Any]:
        """Metrics and expressions over them."""
        queries = {each["Id"]: each for each in request["MetricDataQueries"]}
        if any("MetricStat" not in each and "Expression" not in each for each in queries.values()):
            raise AwsError("ValidationError", "The parameter MetricDataQueries.member.1.MetricStat is required.\n")
        if any(each.get("Expression", "").lstrip().upper().startswith("SELECT") for each in queries.values()):
            raise NotMine
        asked = _Asked(self, request, queries)
        shown = [each for each in queries.values() if each.get("ReturnData", True)]
        return {"MetricDataResults": [asked.result(each) for each in shown]}

    def _steps(self, request: Mapping[str, Any], period: int) -> Steps:
        start, end = (request[each].replace(microsecond=0) for each in ("StartTime", "EndTime"))
        if start >= end:
            raise _backwards(start == end, data="MetricDataQueries" in request)
        if period not in SHORT and period % 60:  # wording not verified
            raise AwsError(
                "InvalidParameterValue", "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60."
            )
        steps = Steps.of(start, end, period)
        if "MetricDataQueries" not in request and steps.count > MOST:
            raise AwsError(
                "InvalidParameterCombination",
                f"You have requested up to {steps.count} datapoints, which exceeds the limit of {MOST}. You may reduce "
                "the datapoints requested by increasing Period, or decreasing the time range.",
            )
        return steps

    def _samples(self, wanted: Key, unit: str | None) -> list[Sample]:
        from moto.cloudwatch.models import cloudwatch_backends

        backend = cloudwatch_backends[self._cloud.account][self._cloud.region]
        found = [each for each in backend.get_all_metrics() if (each.namespace, each.name) == wanted[:2]]
        same = [Sample.of(each) for each in found if series.key(each.namespace, each.name, each.dimensions) == wanted]
        return [each for each in same if unit is None or each.unit == unit]


@dataclass(frozen=True)
class _Asked:
    """The queries of one GetMetricData."""

    of: Statistics
    request: Mapping[str, Any]
    queries: Mapping[str, Mapping[str, Any]]

    def result(self, query: Mapping[str, Any]) -> dict[str, Any]:
        steps = self.of._steps(self.request, self._period(query["Id"], set()))
        values = self._values(query["Id"], steps, ())
        pairs = [(steps.at(number), value) for number, value in enumerate(values) if value is not None]
        if self.request.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            pairs.reverse()
        label = query.get("Label") or query["Id"]
        if "MetricStat" in query and not query.get("Label"):
            label = f"{query['MetricStat']['Metric']['MetricName']} {query['MetricStat']['Stat']}"
        return {
            "Id": query["Id"], "Label": label, "StatusCode": "Complete",
            "Timestamps": [when for when, _ in pairs], "Values": [value for _, value in pairs],
        }  # fmt: skip

    def _period(self, name: str, seen: set[str]) -> int:
        """A metric's own; an expression has the longest of what it speaks of."""
        query = self._query(name)
        if "MetricStat" in query:
            return int(query["MetricStat"]["Period"])
        inner = expressions.names(_parsed(query["Expression"])) - seen
        return max([self._period(each, {*seen, name}) for each in inner], default=int(query.get("Period", 60)))

    def _values(self, name: str, steps: Steps, within: tuple[str, ...]) -> Values:
        query = self._query(name)
        if name in within:
            raise _unreadable(f"The expressions speak of each other: {', '.join(within)}")
        if "MetricStat" in query:
            asked = query["MetricStat"]
            of = series.statistic(_known(asked["Stat"]))
            samples = self.of._samples(_key(asked["Metric"]), asked.get("Unit"))
            return [of(found) if found else None for found in steps.shared(samples, self.request["EndTime"])]
        tree = _parsed(query["Expression"])
        inputs = {each: self._values(each, steps, (*within, name)) for each in expressions.names(tree)}
        return expressions.evaluate(tree, inputs, steps.count, steps.period)

    def _query(self, name: str) -> Mapping[str, Any]:
        if name not in self.queries:
            raise _unreadable(f"The expression speaks of {name}, which is no query")
        return self.queries[name]


def _backwards(equal: bool, *, data: bool) -> AwsError:
    """Each operation has its own words, as moto has them."""
    if not data:
        text = "The parameter StartTime must be less than the parameter EndTime."
        return AwsError("InvalidParameterValue", text)
    if equal:
        return AwsError("ValidationError", "The parameter StartTime must not equal parameter EndTime.")
    return AwsError("ValidationError", "The parameter EndTime must be greater than StartTime.")


def _parsed(text: str) -> ast.expr:
    try:
        return expressions.parse(text)
    except Unsupported as error:
        raise _unreadable(str(error)) from error


def _known(stat: str) -> str:
    if not known_statistic(stat):
        raise _unreadable(f"The local cloud does not have the statistic {stat}")
    return stat


def _unreadable(why: str) -> AwsError:
    return AwsError("ValidationError", f"Error in expression or statistic: {why}")  # wording not verified


def _key(metric: Mapping[str, Any]) -> Key:
    dimensions = frozenset((each["Name"], each["Value"]) for each in metric.get("Dimensions", ()))
    return metric["Namespace"], metric["MetricName"], dimensions
