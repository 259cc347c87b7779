"""EventBridge: buses whose rules really deliver, schedules that fire, and the events that SageMaker puts on the bus."""

from __future__ import annotations

from mlplat.localcloud.eventbridge.states import States
from mlplat.localcloud.eventbridge.timers import Timers

__all__ = ["States", "Timers"]
