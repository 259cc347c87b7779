"""ISO 8601 durations as ExpireAfter takes them: `PT1H`, `P30D`, also `p30d` and `T12H` (developer guide, SDK)."""

from __future__ import annotations

import re
from typing import Any

DAY = 86_400
SECONDS = {"Y": 365 * DAY, "M": 30 * DAY, "W": 7 * DAY, "D": DAY}
SECONDS_OF_TIME = {"H": 3600, "M": 60, "S": 1}

_DURATION = re.compile(r"P?((?:\d+[YMWD])*)(?:T((?:\d+[HMS])+))?", re.IGNORECASE)


def seconds(duration: Any) -> int | None:
    """None when it is no duration."""
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if found is None or not (found[1] or found[2]):
        return None
    return _sum(found[1], SECONDS) + _sum(found[2] or "", SECONDS_OF_TIME)


def _sum(text: str, units: dict[str, int]) -> int:
    return sum(int(number) * units[unit.upper()] for number, unit in re.findall(r"(\d+)([A-Za-z])", text))
