"""IAM policy documents evaluated: an explicit Deny wins, then an Allow, otherwise nothing is allowed.

Actions, resources, conditions, and variables where the document's Version is 2012-10-17. How several kinds of policies
meet (boundaries, sessions, resources) is decided in `access.enforcement`; organisations' policies are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlplat.localcloud import conditions
from mlplat.localcloud.conditions import Context, Pattern, listed

__all__ = ["Context", "Decision", "Document", "concerns", "decide", "lets_in", "listed", "matches"]

Document = Mapping[str, Any]

WITH_VARIABLES = "2012-10-17"
"""In documents of the older version, or of none, `${aws:username}` is text (user guide, "Version")."""


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
        variables = document.get("Version") == WITH_VARIABLES
        for statement in listed(document.get("Statement")):
            if concerns(statement, action, resource, context if variables else None) and conditions.holds(
                statement.get("Condition", {}), context, decision.missing, variables=variables
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
    about = {**document, "Statement": statements}
    return decide({"policy": about}, action, resource, context).outcome == "allowed"


def _principals(statement: Document, principal: str) -> list[str]:
    """Those that the statement names; `principal` among them when everybody is meant."""
    named = statement.get("Principal", {})
    found = ["*"] if named == "*" else [each for kind in named.values() for each in listed(kind)]
    return [principal] if "*" in found else found


def concerns(statement: Document, action: str, resource: str, context: Context | None = None) -> bool:
    """Whether the statement speaks of this action (compared without case) on this resource (with it).

    With a context the variables in its resources are read.
    """
    actions = [Pattern(((str(each), True),)).lower() for each in _written(statement, "Action")]
    resources = [conditions.pattern(str(each), context) for each in _written(statement, "Resource")]
    return _named(statement, "Action", actions, action.lower()) and _named(statement, "Resource", resources, resource)


def matches(pattern: str, value: str) -> bool:
    """`*` and `?`, nothing else."""
    return Pattern(((pattern, True),)).matches(value)


def _written(statement: Document, member: str) -> list[Any]:
    return listed(statement.get(member, statement.get(f"Not{member}")))


def _named(statement: Document, member: str, patterns: list[Pattern] | list[Pattern | None], value: str) -> bool:
    found = any(each is not None and each.matches(value) for each in patterns)
    if member in statement or f"Not{member}" in statement:
        return found is (member in statement)
    return member == "Resource"  # a resource's own policy may leave it out
