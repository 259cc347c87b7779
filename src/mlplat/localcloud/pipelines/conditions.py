"""Conditions of a Condition step. Source: the SDK's `core.workflow.conditions`, the JSON schema of definitions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from mlplat.localcloud.pipelines.expressions import Scope, Unresolved, evaluated

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
MEMBERS = {
    **dict.fromkeys(COMPARISONS, ("LeftValue", "RightValue")),
    "In": ("QueryValue", "Values"),
    "Not": ("Expression",),
    "Or": ("Conditions",),
}
"""What a condition of each type must have."""
SDK_NOT = "Condition"
"""The SDK calls the inside of Not so; the schema says Expression."""


def holds(condition: Mapping[str, Any], scope: Scope) -> bool:
    """Whether the condition is true now. Raises Unresolved."""
    kind = condition["Type"]
    if kind == "Not":
        return not holds(negated(condition), scope)
    if kind == "Or":
        return any(holds(each, scope) for each in condition["Conditions"])
    if kind == "In":
        return evaluated(condition["QueryValue"], scope) in evaluated(condition["Values"], scope)
    left, right = (evaluated(condition[side], scope) for side in MEMBERS[kind])
    try:
        return bool(COMPARISONS[kind](left, right))
    except TypeError as error:
        raise Unresolved(f"{left!r} and {right!r} can't be compared") from error


def negated(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a Not is about."""
    found: Mapping[str, Any] = condition.get("Expression", condition.get(SDK_NOT, {}))
    return found


def fault(condition: Any) -> str | None:
    """What is wrong with a condition as it is written."""
    if not isinstance(condition, Mapping):
        return "Expecting start of Json Object."
    kind = condition.get("Type")
    if kind not in MEMBERS:
        return f"Unknown condition type: {kind}."
    if kind == "Not":
        return fault(negated(condition) or None)
    if missing := [name for name in MEMBERS[kind] if name not in condition]:
        return f"The condition {kind} requires {', '.join(missing)}."
    inside = condition["Conditions"] if kind == "Or" else []
    if isinstance(condition.get("Values", []), list) and isinstance(inside, list):
        return next((found for found in map(fault, inside) if found), None)
    return "Expecting start of Json Array."
