"""When a schedule fires next: rate(...), cron(...) in AWS's six fields, at(...).

User guide of EventBridge, "Schedule expressions using rate or cron"; of EventBridge Scheduler, "Schedule types". The
expressions have been checked when the rule was made (`schedules`, and by moto for the Scheduler).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from mlplat.localcloud.schedules import DAYS, MONTHS

SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
YEARS = 3
"""How far ahead is looked: a cron expression may speak of the past, or of February 30."""


def following(expression: str, since: datetime, zone: str = "UTC", *, begun: datetime | None = None) -> datetime | None:
    """The first time after `since`; None: never again. Rates count from `begun`, or from `since`."""
    kind, _, rest = expression.partition("(")
    inside = rest.rstrip(")").strip()
    if kind == "rate":
        return _rate(inside, since, begun or since)
    place = ZoneInfo(zone)
    if kind == "at":
        time = datetime.fromisoformat(inside).replace(tzinfo=place)
        return time.astimezone(UTC) if time > since else None
    return next(_cron(inside.split(), since.astimezone(place)), None)


def _rate(inside: str, since: datetime, begun: datetime) -> datetime:
    count, unit = inside.split()
    step = timedelta(seconds=int(count) * SECONDS[unit.rstrip("s")])
    return begun + step * (0 if begun > since else (since - begun) // step + 1)


def _cron(fields: list[str], since: datetime) -> Iterator[datetime]:
    minutes = sorted(_numbers(fields[0], 0, 59))
    hours = sorted(_numbers(fields[1], 0, 23))
    months, years = _numbers(fields[3], 1, 12, MONTHS), _numbers(fields[5], 1970, 2199)
    day = since.date()
    for _ in range(YEARS * 366):
        if day.month in months and day.year in years and _is_day(day, fields[2], fields[4]):
            for hour in hours:
                for minute in minutes:
                    time = datetime(day.year, day.month, day.day, hour, minute, tzinfo=since.tzinfo)
                    if time > since:
                        yield time.astimezone(UTC)
        day += timedelta(days=1)


def _is_day(day: date, of_month: str, of_week: str) -> bool:
    """One of the two is `?`."""
    return _is_day_of_month(day, of_month) if of_week == "?" else _is_day_of_week(day, of_week)


def _is_day_of_month(day: date, field: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if field in ("?", "*"):
        return True
    if field == "L":
        return day.day == last
    if field.endswith("W"):
        wanted = last if field == "LW" else min(int(field[:-1]), last)
        return day == _nearest_weekday(day.replace(day=wanted), last)
    return day.day in _numbers(field, 1, 31)


def _nearest_weekday(day: date, last: int) -> date:
    """The weekday nearest to a day, in the same month."""
    if day.weekday() == 5:
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if day.weekday() == 6:
        return day + timedelta(days=1) if day.day < last else day - timedelta(days=2)
    return day


def _is_day_of_week(day: date, field: str) -> bool:
    """1 is Sunday, and so is SUN."""
    number = day.isoweekday() % 7 + 1
    if field == "L":
        return number == 7
    if found := re.fullmatch(r"(\w+)#([1-5])", field):
        return number in _numbers(found[1], 1, 7, DAYS) and (day.day - 1) // 7 + 1 == int(found[2])
    if field.endswith("L"):
        last = calendar.monthrange(day.year, day.month)[1]
        return number in _numbers(field[:-1], 1, 7, DAYS) and day.day > last - 7
    return number in _numbers(field, 1, 7, DAYS)


def _numbers(field: str, least: int, most: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    """The numbers that a field means."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, end = span.partition("-")
        if span in ("*", "?"):
            begin, until = least, most
        else:
            begin = _number(first, names)
            until = _number(end, names) if end else most if step else begin
        if until < begin:  # FRI-MON
            found |= set(range(begin, most + 1)) | set(range(least, until + 1))
        else:
            found |= set(range(begin, until + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, names: tuple[str, ...]) -> int:
    return names.index(text) + 1 if text in names else int(text)
