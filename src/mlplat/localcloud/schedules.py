"""Schedule expressions as EventBridge reads them: rate(...) and cron(...) with six fields."""

from __future__ import annotations

import re

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_RATE = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_DAY_OF_MONTH = re.compile(r"\?|L|LW|([12]?\d|3[01])W")
_DAY_OF_WEEK = re.compile(rf"\?|L|([1-7]|{'|'.join(DAYS)})(L|#[1-5])")


def is_valid(expression: str) -> bool:
    """User guide, "Schedule expressions using rate or cron": singular for one, and one day field is `?`."""
    rate = _RATE.fullmatch(expression)
    if rate:
        return (rate[1] == "1") == (rate[3] == "")
    cron = _CRON.fullmatch(expression)
    return cron is not None and _is_cron(*cron.groups())


def _is_cron(minutes: str, hours: str, day: str, month: str, weekday: str, year: str) -> bool:
    return (
        (day == "?") != (weekday == "?")
        and _is_field(minutes, 0, 59)
        and _is_field(hours, 0, 23)
        and (_DAY_OF_MONTH.fullmatch(day) is not None or _is_field(day, 1, 31))
        and _is_field(month, 1, 12, MONTHS)
        and (_DAY_OF_WEEK.fullmatch(weekday) is not None or _is_field(weekday, 1, 7, DAYS))
        and _is_field(year, 1970, 2199)
    )


def _is_field(text: str, least: int, most: int, names: tuple[str, ...] = ()) -> bool:
    """Values, ranges, `*` and steps, divided by commas."""
    return all(_is_part(part, least, most, names) for part in text.split(","))


def _is_part(text: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    span, slash, step = text.partition("/")
    if slash and not (step.isdigit() and int(step) > 0):
        return False
    return span == "*" or all(_is_value(each, least, most, names) for each in span.split("-", 1))


def _is_value(text: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    return text in names or (text.isdigit() and least <= int(text) <= most)
