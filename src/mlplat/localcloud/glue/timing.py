"""Schedules of crawlers and triggers: when each fires next is kept; a restart neither forgets nor repeats it."""

from __future__ import annotations

from datetime import datetime

from mlplat.localcloud import schedules
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import timetable
from mlplat.localcloud.glue.errors import invalid

STORE = "glue_timers"


def check(expression: str) -> None:
    """Developer guide, "Time-based schedules for jobs and crawlers": cron only, in UTC. Wording not verified."""
    if not (expression.startswith("cron(") and schedules.is_valid(expression)):
        raise invalid(f"Invalid schedule expression: {expression}")


def due(cloud: Cloud, name: str, expression: str | None, now: datetime) -> bool:
    """Whether it fires now. Hold the cloud's lock; None forgets it."""
    kept = cloud.store(STORE)
    if expression is None:
        kept.pop(name, None)
        return False
    known = kept.get(name)
    if known is None or known["Expression"] != expression:
        kept[name] = {"Expression": expression, "Next": timetable.following(expression, now)}
        return False
    if known["Next"] is None or known["Next"] > now:
        return False
    kept[name] = {"Expression": expression, "Next": timetable.following(expression, now)}
    return True
