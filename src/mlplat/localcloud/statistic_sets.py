"""Statistic sets: what many values of a metric come to, in one datum of CloudWatch, however many there were."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from mlplat.localcloud.cloud import Cloud

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two sendings; AWS's own metrics come once a minute."""

MOST = 500
"""Data that are sent in one call."""

Dimensions = tuple[tuple[str, str], ...]
"""Name and value of each."""


@dataclass(slots=True)
class StatisticSet:
    """Values that were counted."""

    count: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float) -> None:
        """One value more."""
        self.count += 1
        self.total += value
        if value < self.least:
            self.least = value
        if value > self.most:
            self.most = value

    def to_aws(self) -> dict[str, float]:
        """StatisticValues of a MetricDatum."""
        return {"SampleCount": self.count, "Sum": self.total, "Minimum": self.least, "Maximum": self.most}


class Counted:
    """The metrics of a namespace in one region: counted as they come, sent every few seconds.

    Those whose name ends in Latency are microseconds, all others have no unit.
    """

    def __init__(self, cloud: Cloud, namespace: str) -> None:
        self._cloud, self._namespace = cloud, namespace
        self._lock = threading.Lock()
        self._seen: defaultdict[Dimensions, defaultdict[str, StatisticSet]] = defaultdict(_nothing)
        self._armed = False

    def count(self, dimensions: Dimensions, values: Mapping[str, float]) -> None:
        """A value of each metric."""
        with self._lock:
            seen = self._seen[dimensions]
            for name, value in values.items():
                seen[name].add(value)
            arm, self._armed = not self._armed, True
        if arm:
            self._cloud.later(self.flush, EVERY)

    def flush(self) -> None:
        """Send what was counted."""
        with self._lock:
            seen, self._seen, self._armed = self._seen, defaultdict(_nothing), False
        data = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                "StatisticValues": values.to_aws(),
                "Unit": "Microseconds" if name.endswith("Latency") else "None",
            }
            for dimensions, metrics in seen.items()
            for name, values in metrics.items()
        ]
        for start in range(0, len(data), MOST):
            try:
                self._cloud.aws("cloudwatch").put_metric_data(
                    Namespace=self._namespace, MetricData=data[start : start + MOST]
                )
            except Exception as error:  # metrics that can't be sent must not end what they are about
                log.warning("sending metrics of %s to CloudWatch: %s", self._namespace, error)


def _nothing() -> defaultdict[str, StatisticSet]:
    return defaultdict(StatisticSet)
