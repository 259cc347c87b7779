"""The customers: which columns there are, and how they are read from CSV or JSON. Training and inference share it.

Written for Python 3.8 and numpy alone: that is what AWS's scikit-learn containers offer at the least.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Iterable, Sequence

import numpy as np

CATEGORIES = ("state", "area_code", "international_plan", "voice_mail_plan")
NUMBERS = (
    "account_length",
    "number_vmail_messages",
    "total_day_minutes",
    "total_day_calls",
    "total_day_charge",
    "total_eve_minutes",
    "total_eve_calls",
    "total_eve_charge",
    "total_night_minutes",
    "total_night_calls",
    "total_night_charge",
    "total_intl_minutes",
    "total_intl_calls",
    "total_intl_charge",
    "number_customer_service_calls",
)
FEATURES = CATEGORIES + NUMBERS
"""The order of the columns that the model sees; rows without a header come in it."""

LABEL = "churn"


class DataError(ValueError):
    """The data can't be used; the message says where and why."""


def from_csv(text: str, where: str = "the request") -> tuple[np.ndarray, list[str] | None]:
    """Feature matrix and labels (None without that column) of CSV text; the header may be missing."""
    rows = [(line, row) for line, row in enumerate(csv.reader(io.StringIO(text)), 1) if row]
    if not rows:
        raise DataError(f"{where}: there are no rows")
    header = [name.strip().lstrip("\ufeff") for name in rows[0][1]]
    if not {*header} & {*FEATURES, LABEL}:
        return _matrix(
            (f"{where}, line {line}", _by_position(row, f"{where}, line {line}")) for line, row in rows
        ), None
    _require(header, where)
    if not rows[1:]:
        raise DataError(f"{where}: there are no rows below the header")
    named = [(f"{where}, line {line}", _by_name(header, row, f"{where}, line {line}")) for line, row in rows[1:]]
    labels = [record[LABEL] for _, record in named] if LABEL in header else None
    return _matrix(named), labels


def from_json(text: str, where: str = "the request") -> np.ndarray:
    """Feature matrix of one record, a list of records, or {"instances": [...]}; a record is an object or a list."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if isinstance(value, dict):
        value = value.get("instances", [value])
    if not isinstance(value, list) or not value:
        raise DataError(f'{where}: send a record, a list of records, or {{"instances": [...]}}')
    if not isinstance(value[0], (dict, list)):
        value = [value]
    return _matrix((f"{where}, record {n}", _record(row, f"{where}, record {n}")) for n, row in enumerate(value, 1))


def truth(labels: list[str] | None, where: str) -> np.ndarray:
    """Labels as 0 and 1; anything but yes and no is an error."""
    if labels is None:
        raise DataError(f'{where}: no column "{LABEL}"')
    for number, label in enumerate(labels, 1):
        if label not in ("yes", "no"):
            raise DataError(f'{where}, customer {number}: column "{LABEL}" is {label!r}, not yes or no')
    return np.array([label == "yes" for label in labels], dtype=int)


def _record(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        return _by_position(row, where)
    _require(row, where)
    return row


def _by_name(header: Sequence[str], row: Sequence[str], where: str) -> dict[str, str]:
    if len(row) != len(header):
        raise DataError(f"{where}: {len(row)} values, but the header has {len(header)}")
    return dict(zip(header, row))


def _by_position(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(FEATURES):
        count = len(row) if isinstance(row, list) else 1
        wanted = f"{len(FEATURES)}: {', '.join(FEATURES)}"
        raise DataError(f"{where}: {count} values without names, but a customer has {wanted}")
    return dict(zip(FEATURES, row))


def _require(given: Iterable[str], where: str) -> None:
    present = set(given)
    missing = [f'"{name}"' for name in FEATURES if name not in present]
    if missing:
        raise DataError(f"{where}: no column{'s' if len(missing) > 1 else ''} {', '.join(missing)}")


def _matrix(records: Iterable[tuple[str, dict[str, Any]]]) -> np.ndarray:
    """Rows in FEATURES' order: text for categories, floats (nan when empty) for numbers."""
    rows = [
        [str(record[name]) for name in CATEGORIES] + [_number(record[name], where, name) for name in NUMBERS]
        for where, record in records
    ]
    return np.array(rows, dtype=object)


def _number(value: Any, where: str, name: str) -> float:
    if value is None or value == "":
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f'{where}: column "{name}" is {value!r}, not a number') from error
