"""Requests checked as AWS checks them: boto3 itself looks at types, required members and minimum lengths only.

`watch(events)` hooks on to a botocore session or client: each request with a value outside the service model's
pattern, enum, length or range raises Refused before it is sent, with the path of the value.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

CLASSES = {"Alnum": "a-zA-Z0-9", "ASCII": r"\x00-\x7f", "Print": r"\x20-\x7e"}
"""Java's POSIX classes; all other `\\p{...}` in the models are Unicode's general categories."""

ASTRAL = r"\uD800\uDC00-\uDBFF\uDFFF"
"""How Java's UTF-16 says: everything above U+FFFF."""


class Refused(AssertionError):
    """What AWS would answer with ValidationException."""


def watch(events: Any) -> None:
    """Check every request made through a botocore session, or through a client's `meta.events`."""
    register = events.meta.events.register if hasattr(events, "meta") else events.register
    register("before-parameter-build", check)


def check(params: Mapping[str, Any], model: Any, **_kwargs: Any) -> None:
    """Raises Refused for a request that the operation's input shape doesn't allow."""
    problems = list(faults(params, model.input_shape)) if model.input_shape is not None else []
    if problems:
        raise Refused(f"{model.service_model.service_name} {model.name}: {'; '.join(problems)}")


def faults(value: Any, shape: Any, path: str = "") -> Iterator[str]:
    """What is wrong with a value, and where."""
    yield from (f"{path or 'request'}: {problem}" for problem in _own_faults(value, shape))
    if shape.type_name == "structure" and not shape.metadata.get("document"):
        for name in value:
            if name not in shape.members:
                yield f"{path}: no member {name}"
            elif value[name] is not None:
                yield from faults(value[name], shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for index, each in enumerate(value):
            yield from faults(each, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, each in value.items():
            yield from faults(key, shape.key, f"{path} key {key!r}")
            yield from faults(each, shape.value, f"{path}[{key!r}]")


def _own_faults(value: Any, shape: Any) -> Iterator[str]:
    limits = shape.metadata
    size = _size(value, shape.type_name)
    if size is not None and "min" in limits and size < limits["min"]:
        yield f"{value!r} is under {limits['min']}"
    if size is not None and "max" in limits and size > limits["max"]:
        yield f"{value!r} is over {limits['max']}"
    if shape.type_name != "string" or not isinstance(value, str):
        return
    if limits.get("enum") and value not in limits["enum"]:
        yield f"{value!r} is not one of {', '.join(limits['enum'][:10])}..."
    if "pattern" in limits and not re.fullmatch(translated(limits["pattern"]), value):
        yield f"{value!r} does not match {limits['pattern']}"


def _size(value: Any, kind: str) -> float | None:
    """What min and max are about: the number itself, or how many characters, bytes or items there are."""
    if kind in ("integer", "long", "float", "double"):
        return float(value)
    return len(value) if kind in ("string", "blob", "list", "map") and hasattr(value, "__len__") else None


@cache
def translated(pattern: str) -> str:
    """A pattern of the models, which are Java's, in Python's words."""
    python = pattern.replace(ASTRAL, r"\U00010000-\U0010FFFF")
    python = re.sub(r"^\\p\{(\w+)\}", lambda match: f"[{_class(match[1])}]", python)  # all others stand in brackets
    python = re.sub(r"\\p\{(\w+)\}", lambda match: _class(match[1]), python)
    python = re.sub(r"\$\{\d+,\d+\}", "$", python)  # a repeated end is an end
    return python.replace(r"\z", r"\Z").replace(r"[\w-_]", r"[\w_-]")


@cache
def _class(name: str) -> str:
    """What `\\p{name}` is inside brackets."""
    if name in CLASSES:
        return CLASSES[name]
    found = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith(name)]
    spans: list[list[int]] = []
    for code in found:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)
