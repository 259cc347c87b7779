"""A row of somebody's data as a record of a feature group, or why it can't be one.

Rules: SageMaker's developer guide, Feature Store, "Quotas, naming rules and data types": Integral is a signed integer
of 64 bits, an event time is ISO 8601 in UTC (seconds or milliseconds) or, when Fractional, seconds since the epoch,
a feature without a value is left out, a value has at most 350 KB and an identifier 2 KB.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from mlplat.workflows.features.groups import Feature, Schema

Record = list[dict[str, Any]]
"""A record on the wire: FeatureName and ValueAsString or ValueAsStringList."""

LARGEST_VALUE, LARGEST_IDENTIFIER = 350 * 1024, 2 * 1024

_INTEGRAL = re.compile(r"[+-]?\d+(\.0*)?")
_FRACTIONAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TEXT_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


class Unfit(ValueError):
    """A value that isn't of its feature's type; the text says why."""


class Checker:
    """Turns rows into records of one group."""

    def __init__(self, schema: Schema, stamp: str | None = None) -> None:
        """`stamp`, ISO 8601 in UTC, is the event time of rows that have none."""
        self._schema = schema
        self._parts = [(each.name, _writer(each, each.name == schema.event_time)) for each in schema.features.values()]
        seconds = schema.features[schema.event_time].type == "Fractional"
        self._stamp = str(datetime.fromisoformat(stamp).timestamp()) if stamp and seconds else stamp

    def check(self, values: Mapping[str, Any]) -> Record | str:
        """The record of a row, or what is wrong with it, by column."""
        record: Record = []
        taken = 0
        for name, write in self._parts:
            value = values.get(name)
            taken += name in values
            if value is None or value == "":
                continue
            try:
                if (each := write(value)) is not None:
                    record.append(each)
            except Unfit as error:
                return f"column {name}: {error}"
        if taken != len(values):
            unknown = ", ".join(str(name) for name in values if name not in self._schema.features)
            return f"column {unknown}: the feature group has no such feature"
        return self._whole(record)

    def _whole(self, record: Record) -> Record | str:
        there = {each["FeatureName"]: each for each in record}
        identifier, event_time = self._schema.identifier, self._schema.event_time
        if identifier not in there:
            return f"column {identifier}: the record identifier is empty"
        if len(there[identifier]["ValueAsString"].encode()) > LARGEST_IDENTIFIER:
            return f"column {identifier}: a record identifier has at most {LARGEST_IDENTIFIER} bytes"
        if event_time not in there:
            if self._stamp is None:
                return f"column {event_time}: the event time is empty"
            record.append({"FeatureName": event_time, "ValueAsString": self._stamp})
        return record


def value_of(record: Record, name: str) -> str:
    """The text of one feature; empty when the record has none."""
    return next((str(each["ValueAsString"]) for each in record if each["FeatureName"] == name), "")


def _writer(feature: Feature, is_event_time: bool) -> Callable[[Any], dict[str, Any] | None]:
    """How a value of the feature goes on the wire; None is a null."""
    kind = _event_time if is_event_time and feature.type == "String" else _SCALARS[feature.type]
    if feature.collection:
        return lambda value: {"FeatureName": feature.name, "ValueAsStringList": _collection(feature, value, kind)}

    def write(value: Any) -> dict[str, Any] | None:
        text = kind(value)
        return None if text is None else {"FeatureName": feature.name, "ValueAsString": text}

    return write


def _collection(feature: Feature, value: Any, kind: Callable[[Any], str | None]) -> list[str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Unfit(f"{_shown(value)} is not a JSON list") from None
    if not isinstance(value, list | tuple) and not hasattr(value, "tolist"):
        raise Unfit(f"{_shown(value)} is not a list")
    texts = [None if each is None else kind(each) for each in value]
    if None in texts:
        raise Unfit("a list has no nulls")
    if feature.dimension is not None and len(texts) != feature.dimension:
        raise Unfit(f"a vector of {feature.dimension} dimensions, but {len(texts)} values are given")
    return [str(each) for each in texts]


def _string(value: Any) -> str | None:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, float):
        if math.isnan(value):
            return None
        value = repr(value)
    elif isinstance(value, datetime):
        value = _iso(value)
    elif isinstance(value, dict | list):
        value = json.dumps(value)
    text = value if isinstance(value, str) else str(value)
    if len(text) * 4 > LARGEST_VALUE and len(text.encode()) > LARGEST_VALUE:
        raise Unfit(f"a value has at most {LARGEST_VALUE:,} bytes")
    return text


def _integral(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and math.isnan(value):
        return None
    text = value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)
    text = text.strip()
    if not _INTEGRAL.fullmatch(text):
        raise Unfit(f"{_shown(value)} is not Integral")
    text = text.partition(".")[0]
    if len(text) > 18 and not -(2**63) <= int(text) < 2**63:
        raise Unfit(f"{_shown(value)} is not Integral: it needs more than 64 bits")
    return text


def _fractional(value: Any) -> str | None:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            raise Unfit(f"{value} is not Fractional")
        return repr(value)
    if isinstance(value, bool):
        return str(int(value))
    text = (value if isinstance(value, str) else str(value)).strip()
    if not _FRACTIONAL.fullmatch(text):
        if isinstance(value, datetime):
            return str(value.timestamp() if value.tzinfo else value.replace(tzinfo=UTC).timestamp())
        raise Unfit(f"{_shown(value)} is not Fractional")
    return text


def _event_time(value: Any) -> str | None:
    if isinstance(value, datetime):
        return _iso(value)
    return _time_text(value) if isinstance(value, str) else _refuse_time(value)


@lru_cache(maxsize=4096)
def _time_text(text: str) -> str:
    """As AWS takes it; a time with a zone is the same time in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _refuse_time(text)
    if _TEXT_TIME.fullmatch(text):
        return text
    return _iso(moment) if moment.tzinfo else _refuse_time(text)


def _refuse_time(value: Any) -> str:
    raise Unfit(f"{_shown(value)} is not an event time like 2026-01-31T12:00:00Z (ISO 8601 with its zone)")


def _iso(moment: datetime) -> str:
    """In UTC; a time without a zone, as Parquet has it, is taken to be UTC. Milliseconds where there are any."""
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _shown(value: Any) -> str:
    text = repr(str(value) if isinstance(value, date | Decimal) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_SCALARS: Mapping[str, Callable[[Any], str | None]] = {
    "String": _string,
    "Integral": _integral,
    "Fractional": _fractional,
}
