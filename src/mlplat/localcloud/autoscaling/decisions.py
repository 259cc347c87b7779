"""How many instances a policy wants: pure arithmetic.

User guides of Application Auto Scaling, "Target tracking scaling policies" and "Step scaling policies". AWS does not
say how target tracking computes; in proportion to the metric is what it does for a metric per instance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

COOLDOWN = 300
"""Seconds, when a policy for an endpoint doesn't say."""


def out(current: int, value: float, target: float) -> int:
    """Enough instances to bring the metric down to its target: one more at least."""
    return max(current + 1, math.ceil(current * value / target))


def back(current: int, value: float, target: float) -> int:
    """As few instances as keep the metric below its target: one less at least."""
    return min(current - 1, max(math.ceil(current * value / target), 0))


def stepped(current: int, beyond: float, policy: Mapping[str, Any]) -> int:
    """What a step policy makes of a metric that is so far beyond the alarm's threshold."""
    for step in policy["StepAdjustments"]:
        low, high = step.get("MetricIntervalLowerBound", -math.inf), step.get("MetricIntervalUpperBound", math.inf)
        if low <= beyond < high or (beyond < 0 and low < beyond <= high):
            return _adjusted(current, step["ScalingAdjustment"], policy)
    return current


def _adjusted(current: int, adjustment: int, policy: Mapping[str, Any]) -> int:
    kind = policy.get("AdjustmentType")
    if kind == "ExactCapacity":
        return adjustment
    if kind == "ChangeInCapacity":
        return current + adjustment
    change = current * adjustment / 100
    whole = math.floor(change) if change > 1 else math.ceil(change) if change < -1 else math.copysign(1, change)
    least = policy.get("MinAdjustmentMagnitude", 0)
    return current + int(math.copysign(max(abs(whole), least), change) if change else 0)


def is_cooling(
    now: datetime, activities: Sequence[Mapping[str, Any]], *, more: bool, seconds: int
) -> bool:  # fmt: skip
    """Whether it is too early: to add after instances were added, to take away after any change."""
    for each in reversed(activities):
        if not more or each["More"]:
            return bool(now - each["StartTime"] < timedelta(seconds=seconds))
    return False
