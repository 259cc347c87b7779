"""Policy documents in one form, so that two which mean the same compare equal.

IAM, KMS and S3 give a document back with a single value as a string or as a list, and the values of Action,
Resource and Principal in any order. The order of statements is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
"""A policy document as it is written, with Refs anywhere in it."""

_SETS = ("Action", "NotAction", "Resource", "NotResource")


def canonical(document: Document) -> dict[str, Any]:
    """The document with every set of values as a sorted list; Refs in it stay Refs."""
    return {**document, "Statement": [_statement(each) for each in _many(document.get("Statement"))]}


def canonical_each(documents: Mapping[str, Document]) -> dict[str, Any]:
    """The same for documents by name."""
    return {name: canonical(each) for name, each in documents.items()}


def _statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {key: _values(value) if key in _SETS else value for key, value in statement.items()}
    for key in ("Principal", "NotPrincipal"):
        if key in plain:
            plain[key] = _principal(plain[key])
    if "Condition" in plain:
        plain["Condition"] = {
            operator: {key: _values(value) for key, value in tests.items()}
            for operator, tests in plain["Condition"].items()
        }
    return plain


def _principal(principal: Any) -> Any:
    if isinstance(principal, Mapping):
        return {key: _values(value) for key, value in principal.items()}
    return {"AWS": _values(principal)}


def _values(value: Any) -> list[Any]:
    """Sorted, with the booleans of conditions as the strings that AWS keeps."""
    plain = [str(each).lower() if isinstance(each, bool) else each for each in _many(value)]
    return sorted(plain, key=str)


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
