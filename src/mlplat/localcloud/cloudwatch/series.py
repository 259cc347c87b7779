"""Metric data as alarms see it: one value a period, by statistic."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Key = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, name and dimensions of a metric: other dimensions make another metric."""

KEPT_LONGER = timedelta(minutes=10)

Values = list[float | None]
"""One a period, oldest first; None where there was no data."""


@dataclass(frozen=True)
class Sample:
    """One datum: a value, or the statistics of many."""

    time: datetime
    count: float
    total: float
    least: float
    most: float
    unit: str | None

    @classmethod
    def of(cls, datum: Any) -> Sample:
        """From moto's datum."""
        if hasattr(datum, "value"):
            return cls(aware(datum.timestamp), 1.0, datum.value, datum.value, datum.value, datum.unit)
        return cls(aware(datum.timestamp), datum.sample_count, datum.sum, datum.min, datum.max, datum.unit)


class Data:
    """moto's metric data by metric, as far back as anybody looks. Each datum is read once."""

    def __init__(self) -> None:
        self._source: Sequence[Any] = ()
        self._samples: defaultdict[Key, list[Sample]] = defaultdict(list)
        self._since = datetime.max.replace(tzinfo=UTC)
        self.read = 0
        """How many data have been read; more means news."""

    def take(self, source: Sequence[Any], since: datetime) -> None:
        """Read what is new in moto's list, which only grows; drop what is older than `since`."""
        if source is not self._source or len(source) < self.read or since < self._since:
            self._samples.clear()
            self._source, self.read, self._since = source, 0, since
        for each in source[self.read :]:
            if aware(each.timestamp) >= since:
                self._samples[key(each.namespace, each.name, each.dimensions)].append(Sample.of(each))
        self.read = len(source)
        if since - self._since > KEPT_LONGER:
            self._since = since
            for metric in list(self._samples):
                self._samples[metric] = [each for each in self._samples[metric] if each.time >= since]

    def values(self, metric: Key, stat: str, unit: str | None, end: datetime, period: int, count: int) -> Values:
        """The statistic of each of the `count` periods that end at `end`."""
        begin = end - timedelta(seconds=period * count)
        periods: list[list[Sample]] = [[] for _ in range(count)]
        for sample in self._samples.get(metric, ()):
            if begin <= sample.time < end and (unit is None or sample.unit == unit):
                periods[int((sample.time - begin).total_seconds() // period)].append(sample)
        of = statistic(stat)
        return [of(samples) if samples else None for samples in periods]


def key(namespace: str, name: str, dimensions: Iterable[Any]) -> Key:
    """The identity of a metric, from moto's dimensions."""
    return namespace, name, frozenset((each.name, each.value) for each in dimensions)


def aware(time: datetime) -> datetime:
    """moto's times are UTC and don't say so."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def statistic(name: str) -> Callable[[Sequence[Sample]], float | None]:
    """What a statistic, or a percentile (p90, p99.9), makes of the samples of a period."""
    if name.startswith("p"):
        return lambda samples: percentile(samples, float(name[1:]))
    return _STATISTICS[name]


def percentile(samples: Sequence[Sample], percent: float) -> float | None:
    """None when it can't be known: statistic sets whose values differ (user guide, "Percentiles")."""
    values: list[float] = []
    for sample in samples:
        if sample.least != sample.most:
            return None
        values += [sample.least] * max(int(sample.count), 1)
    values.sort()
    place = (len(values) - 1) * percent / 100
    below, above = math.floor(place), math.ceil(place)
    return values[below] + (values[above] - values[below]) * (place - below)


def _average(samples: Sequence[Sample]) -> float | None:
    count = sum(each.count for each in samples)
    return sum(each.total for each in samples) / count if count else None


_STATISTICS: dict[str, Callable[[Sequence[Sample]], float | None]] = {
    "SampleCount": lambda samples: sum(each.count for each in samples),
    "Sum": lambda samples: sum(each.total for each in samples),
    "Average": _average,
    "Minimum": lambda samples: min(each.least for each in samples),
    "Maximum": lambda samples: max(each.most for each in samples),
}
