"""Application Auto Scaling for endpoint variants: policies that act on alarms, schedules, and the activities."""

from __future__ import annotations

from mlplat.localcloud.autoscaling.scaling import Scaling

__all__ = ["Scaling"]
