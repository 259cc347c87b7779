"""CloudWatch's alarms, evaluated: metrics and expressions over time, states, their history, and what they set off."""

from __future__ import annotations

from mlplat.localcloud.cloudwatch.alarms import Alarms
from mlplat.localcloud.cloudwatch.statistics import Statistics

__all__ = ["Alarms", "Statistics"]
