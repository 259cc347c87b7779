"""CloudWatch's alarms, evaluated: metrics and expressions over time, states, their history, and what they set off."""

from __future__ import annotations

from mlplat.localcloud.cloudwatch.alarms import Alarms

__all__ = ["Alarms"]
