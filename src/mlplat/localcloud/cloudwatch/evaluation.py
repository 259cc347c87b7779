"""What an alarm says of its data: OK, ALARM, INSUFFICIENT_DATA, or nothing new, with AWS's reason.

Pure functions. The rules are those of the user guide, "Evaluating an alarm" and "Configuring how CloudWatch alarms
treat missing data"; the tests have its tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlplat.localcloud.cloudwatch.series import Values

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"

MORE = 2
"""Periods that are looked at beyond the evaluation periods, for data that stands in for missing one."""

COMPARED: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": ("greater than", lambda value, threshold: value > threshold),
    "GreaterThanOrEqualToThreshold": ("greater than or equal to", lambda value, threshold: value >= threshold),
    "LessThanThreshold": ("less than", lambda value, threshold: value < threshold),
    "LessThanOrEqualToThreshold": ("less than or equal to", lambda value, threshold: value <= threshold),
}
"""By ComparisonOperator: how the reason says it, and the comparison. The others are for anomaly detection."""


@dataclass(frozen=True)
class Terms:
    """When the alarm goes off: `wanted` of the last `periods` data are beyond the threshold."""

    comparison: str
    threshold: float
    periods: int
    wanted: int
    missing: str = "missing"
    """TreatMissingData: missing, ignore, breaching, notBreaching."""

    def breaches(self, value: float) -> bool:
        """Whether the value is beyond the threshold."""
        return COMPARED[self.comparison][1](value, self.threshold)


def state(terms: Terms, values: Values, now: str) -> str:
    """The state after these values, oldest first; `now` is the state before."""
    recent = [terms.breaches(each) for each in values if each is not None][-terms.periods :]
    lacking = terms.periods - len(recent)
    if lacking > 0 and terms.missing in ("breaching", "notBreaching"):
        recent += [terms.missing == "breaching"] * lacking
        lacking = 0
    if not recent:
        return INSUFFICIENT_DATA if terms.missing == "missing" else now
    if sum(recent) >= terms.wanted:
        return ALARM
    if lacking <= 0 or not all(recent):
        return OK
    if terms.missing == "missing" and _is_old_enough(terms, values):
        return ALARM
    return now  # too early to tell


def _is_old_enough(terms: Terms, values: Values) -> bool:
    """Whether the oldest breach is as old as DatapointsToAlarm, and nothing since says otherwise."""
    oldest = next(index for index, value in enumerate(values) if value is not None)
    return len(values) - oldest >= terms.wanted


def reason(terms: Terms, values: Values, end: datetime, period: int, after: str) -> str:
    """StateReason in AWS's words."""
    known = _dated(values, end, period)[-terms.periods :]
    if after == INSUFFICIENT_DATA:
        many = "datapoints were" if terms.periods > 1 else "datapoint was"
        return f"Insufficient Data: {terms.periods} {many} unknown."
    if not known:
        treated = "Breaching" if after == ALARM else "NonBreaching"
        return (
            f"Threshold Crossed: no datapoints were received for {_many(terms.periods, 'period')} and "
            f"{_many(terms.periods, 'missing datapoint')} were treated as [{treated}]."
        )
    verb, _ = COMPARED[terms.comparison]
    wrong = after == ALARM
    counted = [each for each in known if terms.breaches(each[1]) is wrong]
    listed = ", ".join(f"{value} ({time:%d/%m/%y %H:%M:%S})" for time, value in counted)
    least = terms.wanted if wrong else terms.periods - terms.wanted + 1
    said = "was" if len(counted) == 1 else "were"
    return (
        f"Threshold Crossed: {len(counted)} out of the last {_many(len(known), 'datapoint')} [{listed}] {said} "
        f"{'' if wrong else 'not '}{verb} the threshold ({terms.threshold}) (minimum {_many(least, 'datapoint')} for "
        f"{'OK -> ALARM' if wrong else 'ALARM -> OK'} transition)."
    )


def reason_data(
    terms: Terms, values: Values, end: datetime, period: int, queried: datetime, about: dict[str, Any]
) -> str:
    """StateReasonData: what was evaluated, as JSON."""
    known = _dated(values, end, period)[-terms.periods :]
    data = {
        "version": "1.0",
        "queryDate": _stamp(queried),
        **({"startDate": _stamp(known[0][0])} if known else {}),
        **about,
        "period": period,
        "recentDatapoints": [value for _, value in known],
        "threshold": terms.threshold,
        "evaluatedDatapoints": [{"timestamp": _stamp(time), "value": value} for time, value in reversed(known)],
    }
    return json.dumps(data, separators=(",", ":"))


def _dated(values: Values, end: datetime, period: int) -> list[tuple[datetime, float]]:
    begin = end - timedelta(seconds=period * len(values))
    return [
        (begin + timedelta(seconds=period * index), value) for index, value in enumerate(values) if value is not None
    ]


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}+0000"
