"""The metrics that a job prints: found in its log by the patterns of MetricDefinitions, sent on to CloudWatch."""

from __future__ import annotations

import logging
import math
import re
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlplat.localcloud.cloud import Cloud

log = logging.getLogger(__name__)

POINTS_A_CALL = 500
"""PutMetricData takes 1,000."""


@dataclass(frozen=True)
class Point:
    """One value of a metric, as the log said it."""

    name: str
    value: float
    time: datetime


class MetricFilter:
    """The MetricDefinitions of a job: each match of a pattern in a line is a value, which its first group holds."""

    def __init__(self, definitions: Sequence[Mapping[str, str]]) -> None:
        self._patterns = [(each["Name"], re.compile(each["Regex"])) for each in definitions]

    def find(self, line: str, now: datetime) -> list[Point]:
        """The values in `line`; what isn't a finite number is passed over."""
        found = []
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                value = _number(match.group(1) if pattern.groups else match.group())
                if value is not None:
                    found.append(Point(name, value, now))
        return found


def _number(text: str | None) -> float | None:
    """As AWS keeps metrics: a 32-bit float (MetricData.Value is `Float` in the model)."""
    try:
        (single,) = struct.unpack("f", struct.pack("f", float(text or "")))
    except (ValueError, OverflowError):
        return None
    return float(single) if math.isfinite(single) else None


class JobMetrics:
    """The last value of each metric of one job, and every value on its way to CloudWatch.

    CloudWatch has them in /aws/sagemaker/TrainingJobs by TrainingJobName, where the SDK's TrainingJobAnalytics looks.
    """

    def __init__(
        self,
        cloud: Cloud,
        job: str,
        definitions: Sequence[Mapping[str, str]],
        measured: Callable[[str, float], None] = lambda *_: None,
    ) -> None:
        """`measured` is told of every value, as it is found."""
        self._cloud, self._job, self._filter, self._measured = cloud, job, MetricFilter(definitions), measured
        self._lock = threading.Lock()
        self._last: dict[str, Point] = {}
        self._waiting: list[Point] = []
        self._sent = time.monotonic()

    def see(self, line: str) -> None:
        """Look for values in a line of the log."""
        points = self._filter.find(line, datetime.now(UTC))
        if not points:
            return
        with self._lock:
            self._last |= {point.name: point for point in points}
            self._waiting += points
            due = len(self._waiting) >= POINTS_A_CALL or time.monotonic() - self._sent > 1
            if due:
                self._sent = time.monotonic()
        for point in points:
            self._measured(point.name, point.value)
        if due:
            self._cloud.later(self.flush, 0)

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList: the last value of each metric."""
        with self._lock:
            last = list(self._last.values())
        return [{"MetricName": each.name, "Value": each.value, "Timestamp": each.time} for each in last]

    def flush(self) -> None:
        """Send what waits to CloudWatch."""
        with self._lock:
            points, self._waiting = self._waiting, []
        for start in range(0, len(points), POINTS_A_CALL):
            data = [self._datum(each) for each in points[start : start + POINTS_A_CALL]]
            try:
                self._cloud.aws("cloudwatch").put_metric_data(Namespace="/aws/sagemaker/TrainingJobs", MetricData=data)
            except Exception as error:  # a metric that can't be sent must not end the job
                log.warning("sending metrics of %s to CloudWatch: %s", self._job, error)

    def _datum(self, point: Point) -> dict[str, Any]:
        dimensions = [{"Name": "TrainingJobName", "Value": self._job}]
        return {"MetricName": point.name, "Dimensions": dimensions, "Timestamp": point.time, "Value": point.value}
