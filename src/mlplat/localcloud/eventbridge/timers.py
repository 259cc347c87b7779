"""Schedules as time goes by: EventBridge's scheduled rules, and those of EventBridge Scheduler.

When each fires next is kept in the store `timers`, so that a restart neither forgets nor repeats it. What was missed
while the local cloud was stopped is made up for once.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mlplat.localcloud import schedules
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.eventbridge import bus, permissions, targets, timetable, universal
from mlplat.localcloud.eventbridge.targets import Sender
from mlplat.localcloud.rules import Asked, before

log = logging.getLogger(__name__)

PATIENCE = 1.0
STORE = "timers"
SCHEDULER = "scheduler.amazonaws.com"


@dataclass(frozen=True)
class Timer:
    """One schedule of either service."""

    arn: str
    expression: str
    zone: str
    begin: datetime | None
    end: datetime | None
    owner: Any
    """moto's rule or schedule."""

    @property
    def terms(self) -> list[Any]:
        """What it fires by: when that changes, it is a new schedule."""
        return [self.expression, self.zone, self.begin, self.end]


class Timers:
    """Fires the schedules of a region."""

    service = "scheduler"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def beat(self, now: datetime) -> None:
        """Fire what is due."""
        with self._cloud.host.locks.quiet("events", PATIENCE), self._cloud.host.locks.quiet("scheduler", PATIENCE):
            timers = {each.arn: each for each in [*self._rules(), *self._schedules()]}
        with self._cloud.lock:
            kept = self._cloud.store(STORE)
            for arn in [arn for arn in kept if arn not in timers]:
                del kept[arn]
            due = [each for each in timers.values() if self._is_due(each, kept, now)]
        for timer in due:
            self._fire(timer, now)

    def _is_due(self, timer: Timer, kept: dict[str, Any], now: datetime) -> bool:
        """Whether it fires now; when it does so next is written down."""
        known = kept.get(timer.arn)
        if known is None or known["Terms"] != timer.terms:
            kept[timer.arn] = {"Terms": timer.terms, "Begun": now, "Next": _first(timer, now)}
            known = kept[timer.arn]
        due = known["Next"] is not None and known["Next"] <= now
        if due:
            kept[timer.arn] = {**known, "Next": _next(timer, now, known["Begun"])}
        return due

    def _fire(self, timer: Timer, now: datetime) -> None:
        if hasattr(timer.owner, "scheduled_expression"):
            event = bus.made(self._cloud, "aws.events", "Scheduled Event", [timer.arn], {})
            targets.count(self._cloud, Sender.of(timer.owner), "TriggeredRules")
            for target in list(timer.owner.targets):
                targets.send(self._cloud, Sender.of(timer.owner), dict(target), event)
            return
        target = dict(timer.owner.target)
        sender = Sender(timer.arn, timer.owner.name, SCHEDULER, target.get("RoleArn"))
        event = bus.made(self._cloud, "aws.scheduler", "Scheduled Event", [timer.arn], {}) | {"detail": "{}"}
        if target["Arn"].startswith(universal.PREFIX):
            universal.call(self._cloud, sender, target)
        else:
            targets.send(self._cloud, sender, target, event)
        with self._cloud.lock:
            over = self._cloud.store(STORE).get(timer.arn, {}).get("Next") is None
        if over and timer.owner.action_after_completion == "DELETE":
            group, name = timer.owner.group_name, timer.owner.name
            self._cloud.later(lambda: self._cloud.aws("scheduler").delete_schedule(GroupName=group, Name=name), 0)

    def _rules(self) -> Iterator[Timer]:
        from moto.events.models import events_backends

        regions = events_backends.get(self._cloud.account) or {}
        if self._cloud.region in regions:
            for event_bus in regions[self._cloud.region].event_buses.values():
                for rule in event_bus.rules.values():
                    if rule.scheduled_expression and rule.state != "DISABLED":
                        yield Timer(rule.arn, rule.scheduled_expression, "UTC", None, None, rule)

    def _schedules(self) -> Iterator[Timer]:
        from moto.scheduler.models import scheduler_backends

        regions = scheduler_backends.get(self._cloud.account) or {}
        if self._cloud.region in regions:
            for group in regions[self._cloud.region].schedule_groups.values():
                for each in group.schedules.values():
                    if each.state != "DISABLED":
                        begin, end = _time(each.start_date), _time(each.end_date)
                        zone = each.schedule_expression_timezone
                        yield Timer(each.arn, each.schedule_expression, zone, begin, end, each)


def _first(timer: Timer, now: datetime) -> datetime | None:
    """A rate of the Scheduler without a start begins at once; a rule's after its first period."""
    if timer.expression.startswith("rate") and not hasattr(timer.owner, "scheduled_expression"):
        return timer.begin if timer.begin and timer.begin > now else now
    since = max(now, timer.begin) if timer.begin else now
    return _until(timer, timetable.following(timer.expression, since, timer.zone))


def _next(timer: Timer, now: datetime, begun: datetime) -> datetime | None:
    return _until(timer, timetable.following(timer.expression, now, timer.zone, begun=timer.begin or begun))


def _until(timer: Timer, time: datetime | None) -> datetime | None:
    return time if time and (timer.end is None or time <= timer.end) else None


def _time(given: Any) -> datetime | None:
    if given is None:
        return None
    if isinstance(given, str) and "T" in given:
        given = datetime.fromisoformat(given.replace("Z", "+00:00"))
    return given if isinstance(given, datetime) else datetime.fromtimestamp(float(given), UTC)


@before("scheduler", "CreateSchedule", "UpdateSchedule")
def a_schedule_can_be_read(asked: Asked) -> None:
    """User guide of EventBridge Scheduler, "Schedule types"."""
    expression, zone = asked.request["ScheduleExpression"], asked.request.get("ScheduleExpressionTimezone", "UTC")
    if not (schedules.is_valid(expression) or _is_once(expression)):
        raise AwsError("ValidationException", f"Invalid Schedule Expression {expression}.")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise AwsError("ValidationException", "The timezone is not supported.") from error
    target = asked.request["Target"]
    if "Input" in target and target["Arn"].startswith(universal.PREFIX):
        try:
            json.loads(target["Input"])
        except ValueError as error:
            raise AwsError("ValidationException", "Invalid RequestJson provided. Reason: not JSON.") from error


@before("scheduler", "CreateSchedule", "UpdateSchedule")
def a_role_lets_the_scheduler_in(asked: Asked) -> None:
    """Scheduler user guide, "Troubleshooting": the text is recorded from AWS's answers."""
    name, group = asked.request["Name"], asked.request.get("GroupName", "default")
    sender = asked.cloud.arn(f"schedule/{group}/{name}", "scheduler")
    if not permissions.assumes(asked.cloud, SCHEDULER, sender, asked.request["Target"]["RoleArn"]):
        raise AwsError(
            "ValidationException",
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
        )


def _is_once(expression: str) -> bool:
    if not re.fullmatch(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)", expression):
        return False
    try:
        datetime.fromisoformat(expression[3:-1])
    except ValueError:
        return False
    return True
