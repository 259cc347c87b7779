"""What an alarm watches: one metric, or the result of queries and expressions over several."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mlplat.localcloud.cloudwatch import expressions
from mlplat.localcloud.cloudwatch.evaluation import COMPARED, MORE, Terms
from mlplat.localcloud.cloudwatch.expressions import Unsupported
from mlplat.localcloud.cloudwatch.series import Data, Key, Values, key

SHORT = 60
"""Seconds: alarms are looked at every minute, those with shorter periods every ten seconds."""


@dataclass(frozen=True)
class Metric:
    """A metric's statistic."""

    metric: Key
    stat: str
    unit: str | None


@dataclass(frozen=True)
class Watched:
    """What is watched, and in which steps."""

    terms: Terms
    period: int
    queries: dict[str, Metric | ast.expr]
    result: str
    """The id of the query that is compared with the threshold."""

    @classmethod
    def of(cls, alarm: Any) -> Watched:
        """From moto's alarm. Raises Unsupported."""
        if alarm.comparison_operator not in COMPARED or alarm.threshold is None or not alarm.evaluation_periods:
            raise Unsupported("The local cloud does not evaluate alarms on anomaly detection or evaluation windows")
        periods = int(alarm.evaluation_periods)
        terms = Terms(
            alarm.comparison_operator,
            float(alarm.threshold),
            periods,
            int(alarm.datapoints_to_alarm or periods),
            alarm.treat_missing_data or "missing",
        )
        if not alarm.metric_data_queries:
            metric = Metric(
                key(alarm.namespace, alarm.metric_name, alarm.dimensions),
                alarm.extended_statistic or alarm.statistic,
                alarm.unit,
            )
            return cls(terms, int(alarm.period), {"m": metric}, "m")
        queries = {each.id: _query(each) for each in alarm.metric_data_queries}
        result = [each.id for each in alarm.metric_data_queries if each.return_data is not False]
        if len(result) != 1:
            raise Unsupported("Exactly one of the metrics of an alarm must have ReturnData set to true")
        _check_names(queries)
        seconds = [int(each.metric_stat.period if each.metric_stat else each.period or 0)
                   for each in alarm.metric_data_queries]  # fmt: skip
        return cls(terms, max(seconds) or SHORT, queries, result[0])

    @property
    def every(self) -> int:
        """Seconds between two looks."""
        return SHORT if self.period >= SHORT else 10

    def end(self, now: datetime) -> datetime:
        """The end of the newest period that is over."""
        return datetime.fromtimestamp(now.timestamp() // self.every * self.every, UTC)

    @property
    def reach(self) -> timedelta:
        """How far back data is looked for."""
        return timedelta(seconds=self.period * (self.terms.periods + MORE) + self.every)

    def values(self, data: Data, end: datetime) -> Values:
        """What is compared with the threshold, one value a period."""
        count = self.terms.periods + MORE
        found: dict[str, Values] = {}

        def of(name: str) -> Values:
            if name not in found:
                query = self.queries[name]
                if isinstance(query, Metric):
                    found[name] = data.values(query.metric, query.stat, query.unit, end, self.period, count)
                else:
                    inputs = {each: of(each) for each in expressions.names(query)}
                    found[name] = expressions.evaluate(query, inputs, count, self.period)
            return found[name]

        return of(self.result)


def _query(query: Any) -> Metric | ast.expr:
    if query.expression:
        return expressions.parse(query.expression)
    metric = query.metric_stat.metric
    stat = query.metric_stat.stat
    if not known_statistic(stat):
        raise Unsupported(f"The local cloud does not have the statistic {stat}")
    return Metric(key(metric.namespace, metric.metric_name, metric.dimensions), stat, query.metric_stat.unit)


def known_statistic(stat: str) -> bool:
    """Whether it can be computed here: a plain one, or a percentile (p90, p99.9)."""
    percentile = stat.startswith("p") and stat[1:].replace(".", "", 1).isdigit()
    return percentile or stat in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")


def _check_names(queries: dict[str, Metric | ast.expr]) -> None:
    """Expressions may speak of each other, in no circle."""
    left = {name: set() if isinstance(q, Metric) else expressions.names(q) for name, q in queries.items()}
    while left:
        done = {name for name, needs in left.items() if not needs & left.keys()}
        unknown = set().union(*left.values()) - queries.keys()
        if not done or unknown:
            raise Unsupported(f"The expressions of the alarm speak of {', '.join(sorted(unknown)) or 'each other'}")
        left = {name: needs for name, needs in left.items() if name not in done}
