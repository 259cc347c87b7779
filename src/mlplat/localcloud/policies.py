"""IAM policy documents evaluated: an explicit Deny wins, then an Allow, otherwise nothing is allowed.

Actions, resources and the usual condition operators with wildcards. Not here: permission boundaries, service control
policies, session policies and policy variables (`${aws:username}` stays as it is written).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)

Document = Mapping[str, Any]
Context = Mapping[str, Sequence[str]]
"""Condition keys in lower case, each with its values."""


@dataclass
class Decision:
    """The outcome, which documents decided it, and condition keys that the context didn't have."""

    outcome: str = "implicitDeny"
    matched: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)


def decide(documents: Mapping[str, Document], action: str, resource: str, context: Context) -> Decision:
    """Whether the documents (by name) allow the action: `allowed`, `explicitDeny` or `implicitDeny`."""
    decision, by_effect = Decision(), dict[str, list[str]]()
    for name, document in documents.items():
        for statement in listed(document.get("Statement")):
            if concerns(statement, action, resource) and holds(
                statement.get("Condition", {}), context, decision.missing
            ):
                by_effect.setdefault(statement.get("Effect", ""), []).append(name)
    if "Deny" in by_effect:
        decision.outcome, decision.matched = "explicitDeny", by_effect["Deny"]
    elif "Allow" in by_effect:
        decision.outcome, decision.matched = "allowed", by_effect["Allow"]
    return decision


def lets_in(document: Document, principal: str, action: str, resource: str, context: Context) -> bool:
    """Whether a resource's own policy allows the action to a principal: a service, or an ARN."""
    statements = [each for each in listed(document.get("Statement")) if principal in _principals(each, principal)]
    return decide({"policy": {"Statement": statements}}, action, resource, context).outcome == "allowed"


def _principals(statement: Document, principal: str) -> list[str]:
    """Those that the statement names; `principal` among them when everybody is meant."""
    named = statement.get("Principal", {})
    found = ["*"] if named == "*" else [each for kind in named.values() for each in listed(kind)]
    return [principal] if "*" in found else found


def concerns(statement: Document, action: str, resource: str) -> bool:
    """Whether the statement speaks of this action (compared without case) on this resource (with it)."""
    return _named(statement, "Action", action, lower=True) and _named(statement, "Resource", resource, lower=False)


def holds(conditions: Mapping[str, Mapping[str, Any]], context: Context, missing: set[str] | None = None) -> bool:
    """Whether all conditions of a statement hold; keys that the context lacks are added to `missing`."""
    return all(
        _holds(operator, key, [_text(each) for each in listed(wanted)], context, missing)
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def listed(value: Any) -> list[Any]:
    """A value that policies may write alone or in a list."""
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def matches(pattern: str, value: str) -> bool:
    """`*` and `?`, nothing else."""
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, value, re.DOTALL) is not None


def _named(statement: Document, member: str, value: str, *, lower: bool) -> bool:
    value = value.lower() if lower else value
    for name, wanted in ((member, True), (f"Not{member}", False)):
        if name in statement:
            patterns = [each.lower() if lower else each for each in listed(statement[name])]
            return any(matches(each, value) for each in patterns) is wanted
    return member == "Resource"  # a resource's own policy may leave it out


def _holds(operator: str, key: str, wanted: list[str], context: Context, missing: set[str] | None) -> bool:
    """A key that isn't there meets only the opposites, `Null`, `...IfExists` and `ForAllValues:`."""
    quantifier, _, name = operator.rpartition(":")
    name, optional, present = name.removesuffix("IfExists"), name.endswith("IfExists"), context.get(key.lower())
    if name == "Null":
        return (present is None) == (wanted == ["true"])
    compare, opposite = _OPERATORS.get(name.replace("Not", "")), "Not" in name
    if compare is None:
        log.warning("a policy uses %s, which the local cloud can't evaluate: its statement is ignored", operator)
        return False
    if present is None:
        if missing is not None:
            missing.add(key)
        return optional or opposite or quantifier == "ForAllValues"
    results = [any(compare(value, pattern) for pattern in wanted) is not opposite for value in present]
    return all(results) if quantifier == "ForAllValues" or (opposite and not quantifier) else any(results)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same(value: str, wanted: str) -> bool:
    return value == wanted


def _alike(value: str, wanted: str) -> bool:
    return value.casefold() == wanted.casefold()


def _like(value: str, wanted: str) -> bool:
    return matches(wanted, value)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringEqualsIgnoreCase": _alike,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _alike,
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
    "NumericLessThan": lambda value, wanted: float(value) < float(wanted),
    "NumericLessThanEquals": lambda value, wanted: float(value) <= float(wanted),
    "NumericGreaterThan": lambda value, wanted: float(value) > float(wanted),
    "NumericGreaterThanEquals": lambda value, wanted: float(value) >= float(wanted),
}
"""By operator; its opposite has `Not` before the verb (IAM user guide, "Condition operators"). Dates, IP addresses and
BinaryEquals are missing: a statement with one never applies."""
