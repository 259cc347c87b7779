"""Statistic sets: what many values of a metric come to, in one datum of CloudWatch, however many there were."""

from __future__ import annotations

from dataclasses import dataclass


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
