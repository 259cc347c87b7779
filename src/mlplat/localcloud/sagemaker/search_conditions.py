"""Conditions of Search: the properties that a type of objects has, by botocore's model, and how they are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from mlplat.localcloud.sagemaker.errors import invalid

Record = Mapping[str, Any]
ORDERED = ("GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
NUMBERS = ("integer", "long", "float", "double")
METRICS, TAGS = "Metrics", "Tags"


@dataclass(frozen=True)
class Properties:
    """What an object of one type has."""

    kind: str
    shape: Any

    @classmethod
    @cache
    def of(cls, kind: str) -> Properties:
        """By the shape of SearchRecord's member for the type."""
        from moto.core.utils import get_service_model

        return cls(kind, get_service_model("sagemaker").shape_for("SearchRecord").members[kind])

    def has(self, name: str) -> bool:
        """Whether there is such a property."""
        return self._type(name) is not None

    def check(self, condition: Mapping[str, Any]) -> None:
        """Refuse a filter on what isn't there, or that can't be compared so. Wordings not verified but the first."""
        name, operator, value = condition["Name"], condition.get("Operator", "Equals"), condition.get("Value")
        kind = self._type(name)
        if kind is None:
            raise invalid(f"Unknown property name: {name}")
        if (value is None) != (operator in ("Exists", "NotExists")):
            raise invalid(f"The operator {operator} of the filter on {name} must have {_needs(operator)}.")
        if operator in ORDERED and kind in ("string", "boolean"):
            raise invalid(f"The operator {operator} is not supported for the text property {name}.")
        if operator in ("Contains", "In") and kind not in ("string", "any"):
            raise invalid(f"The operator {operator} is supported only for text properties, which {name} is not.")
        if value is not None and kind in NUMBERS and _number(value) is None:
            raise invalid(f"The value {value} for the property {name} is not a number.")
        if value is not None and kind == "timestamp" and _time(value) is None:
            raise invalid(f"The value {value} for the property {name} is not a time (YYYY-mm-dd'T'HH:MM:SS).")

    def values(self, name: str, record: Record) -> Iterator[Any]:
        """The property's values: several where lists are on the way to it."""
        first, _, rest = name.partition(".")
        if first == TAGS and rest:
            yield from (each["Value"] for each in record.get(TAGS, ()) if each["Key"] == rest)
        elif first == METRICS and self.kind == "TrainingJob":
            metrics = record.get("FinalMetricDataList") or ()
            yield from (each["Value"] for each in metrics if each["MetricName"] == rest)
        else:
            yield from _along(self.shape, name, record)

    def _type(self, name: str) -> str | None:
        first, _, rest = name.partition(".")
        if first == METRICS and rest and self.kind == "TrainingJob":
            return "double"
        if first == TAGS and rest:
            return "string" if TAGS in self.shape.members else None
        return _type_along(self.shape, name)


def meets(properties: Properties, expression: Mapping[str, Any], record: Record) -> bool:
    """Whether the record satisfies the expression; an empty one is satisfied by all."""
    results = [
        *(_holds(properties, each, record) for each in expression.get("Filters", ())),
        *(_nested(properties, each, record) for each in expression.get("NestedFilters", ())),
        *(meets(properties, each, record) for each in expression.get("SubExpressions", ())),
    ]
    return any(results) if results and expression.get("Operator") == "Or" else all(results)


def _nested(properties: Properties, nested: Mapping[str, Any], record: Record) -> bool:
    """ "Satisfied if a single object in the list satisfies all Boolean expressions." """
    path = nested["NestedPropertyName"]
    *outer, last = path.split(".")
    holders = _along(properties.shape, ".".join(outer), record) if outer else [record]
    for holder in holders:
        for item in holder.get(last) or ():
            one = _with(record, path, item)
            if all(_holds(properties, each, one) for each in nested["Filters"]):
                return True
    return False


def _with(record: Record, path: str, item: Any) -> Record:
    """The record with a list that holds only the item."""
    first, _, rest = path.partition(".")
    return {**record, first: _with(record.get(first) or {}, rest, item) if rest else [item]}


def _holds(properties: Properties, condition: Mapping[str, Any], record: Record) -> bool:
    found = list(properties.values(condition["Name"], record))
    operator = condition.get("Operator", "Equals")
    if operator in ("Exists", "NotExists"):
        return bool(found) is (operator == "Exists")
    if operator == "NotEquals":
        return not any(_compared("Equals", each, condition["Value"]) for each in found)
    return any(_compared(operator, each, condition["Value"]) for each in found)


def _compared(operator: str, value: Any, wanted: str) -> bool:
    if operator == "Contains":
        return wanted in str(value)
    if operator == "In":
        return str(value) in [each.strip() for each in wanted.split(",")]
    left, right = _read(value, wanted)
    if left is None or right is None:
        return False
    return _COMPARISONS[operator](left, right)


def _read(value: Any, wanted: str) -> tuple[Any, Any]:
    """Both as what the value is. A hyperparameter is a number when the wanted value is, to the same precision."""
    if isinstance(value, datetime):
        return value.astimezone(UTC), _time(wanted)
    if isinstance(value, bool):
        return str(value).lower(), wanted.lower()
    if isinstance(value, int | float):
        return float(value), _number(wanted)
    left, right = _number(value), _number(wanted)
    if left is None or right is None:
        return str(value), wanted
    return (float(int(left)), right) if wanted.lstrip("-").isdigit() else (left, right)


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _needs(operator: str) -> str:
    return "no Value" if operator in ("Exists", "NotExists") else "a Value"


def _type_along(shape: Any, name: str) -> str | None:
    """The type of what a name leads to: through members, the items of lists, and any key of a map."""
    first, _, rest = name.partition(".")
    while shape.type_name == "list":
        shape = shape.member
    if shape.type_name == "map":
        return "any" if name else None
    if shape.type_name != "structure" or first not in shape.members:
        return None
    inner = shape.members[first]
    if rest:
        return _type_along(inner, rest)
    while inner.type_name == "list":
        inner = inner.member
    return "any" if inner.type_name in ("structure", "map") else str(inner.type_name)


def _along(shape: Any, name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        inner = shape.member if shape.type_name == "list" else shape
        for each in value:
            yield from _along(inner, name, each)
    elif value is not None and not name:
        yield value
    elif isinstance(value, Mapping):
        if shape.type_name == "map":
            if name in value:
                yield value[name]
            return
        first, _, rest = name.partition(".")
        if first in shape.members:
            yield from _along(shape.members[first], rest, value.get(first))


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda left, right: bool(left == right),
    "GreaterThan": lambda left, right: bool(left > right),
    "GreaterThanOrEqualTo": lambda left, right: bool(left >= right),
    "LessThan": lambda left, right: bool(left < right),
    "LessThanOrEqualTo": lambda left, right: bool(left <= right),
}
