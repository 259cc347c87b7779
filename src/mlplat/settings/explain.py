"""Pydantic's errors in mlplat's words: the key as it stands in the file, the value, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mlplat.settings.layers import Layer
from mlplat.settings.problems import KeyPath, Problem, dotted, nearest
from mlplat.settings.schema import bounds_at, fields_at

_INNER = frozenset({"[key]", "continuous", "integer", "categorical", "bool", "int", "float", "str"})
"""Parts of pydantic's locations that are no keys: which member of a union it tried."""

_PLAIN: Mapping[str, str] = {
    "missing": "missing",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "list_type": "must be a list, as in [1, 2]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "union_tag_not_found": 'missing; "continuous", "integer" or "categorical"',
}

_LIMITS: Mapping[str, str] = {"string_too_long": "characters", "too_long": "entries"}
_BOUNDS = frozenset({"greater_than_equal", "less_than_equal"})


def explain(error: ValidationError, layers: Layer, prefix: KeyPath = ()) -> list[Problem]:
    """Every problem in a ValidationError, each once; `prefix` is where the validated value stands."""
    found: dict[KeyPath, Problem] = {}
    for each in error.errors(include_url=False):
        key = _key((*prefix, *each["loc"]), layers)
        for problem in _problems(key, each, layers):
            found.setdefault(problem.key, problem)
    return list(found.values())


def _key(location: Sequence[str | int], layers: Layer) -> KeyPath:
    """The location without the members of unions and the places in lists; tables of an array keep theirs."""
    key: KeyPath = ()
    for part in location:
        if (*key, str(part)) in layers.origins:
            key = (*key, str(part))
        elif isinstance(part, str) and (layers.at((*key, part)) is not ... or part not in _INNER):
            key = (*key, part)
    return key


def _problems(key: KeyPath, error: Mapping[str, Any], layers: Layer) -> Iterator[Problem]:
    if error["type"] == "refused":
        for refusal in error["ctx"]["refusals"]:
            full = (*key, *refusal.key)
            yield _problem(full, refusal.reason, refusal.nearest, layers, _element(error, full, layers))
        return
    if error["type"].startswith("union_tag"):
        key = (*key, "type")
    reason, guess = _reason(key, error)
    yield _problem(key, reason, guess, layers, _element(error, key, layers))


def _problem(key: KeyPath, reason: str, guess: str | None, layers: Layer, value: Any) -> Problem:
    return Problem(layers.origin(key), key, reason, ... if isinstance(value, dict) else value, guess)


def _element(error: Mapping[str, Any], key: KeyPath, layers: Layer) -> Any:
    """The offending value; of a list only the element that is wrong."""
    location = error["loc"]
    return error["input"] if location and isinstance(location[-1], int) else layers.at(key)


def _reason(key: KeyPath, error: Mapping[str, Any]) -> tuple[str, str | None]:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(key)
    if error["loc"][-1:] and error["loc"][-1] in ("bool", "int", "float", "str"):
        return "must be text, a number, true or false", None
    if kind in _BOUNDS:
        return _range(key, context), None
    if kind in _LIMITS:
        return f"must have at most {context['max_length']} {_LIMITS[kind]}", None
    if kind in ("literal_error", "union_tag_invalid"):
        return _choice(context.get("expected") or context["expected_tags"], str(context.get("tag", error["input"])))
    return _PLAIN.get(kind, error["msg"]), None


def _unknown(key: KeyPath) -> tuple[str, str | None]:
    known = fields_at(tuple(part for part in key[:-1] if not part.isdecimal()))
    where = f"[{dotted(key[:-1])}]" if key[:-1] else "the configuration"
    return f"unknown key; {where} has {', '.join(known)}", nearest(key[-1], known)


def _range(key: KeyPath, context: Mapping[str, Any]) -> str:
    least, greatest = bounds_at(key)
    if least is not None and greatest is not None:
        return f"must be {least} to {greatest}"
    return f"must be at least {context['ge']}" if "ge" in context else f"must be at most {context['le']}"


def _choice(expected: str, value: str) -> tuple[str, str | None]:
    options = re.findall(r"'([^']*)'", expected)
    quoted = [f'"{each}"' for each in options]
    listed = " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))
    return f"must be {listed}", nearest(value, options)
