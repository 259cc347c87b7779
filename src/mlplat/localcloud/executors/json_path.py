"""The part of JSONPath that batch transform knows, and what it selects.

Source: developer guide, "Associate Prediction Results with Input Records". Two of its sentences surprise: a slice
includes its end (`$[1:4]` is the second to the fifth column), and an index that isn't there is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

STEP = re.compile(r"\.?\[(?P<inside>[^\]]*)\]|\.(?P<name>\*|[^.\[\]]+)")
NAMES = re.compile(r"\s*'([^']*)'\s*(?:,|$)|\s*\"([^\"]*)\"\s*(?:,|$)")
NUMBERS = re.compile(r"\s*(?:(?P<start>-?\d*):(?P<end>-?\d*)|(?P<index>-?\d+))\s*(?:,|$)")


class PathError(ValueError):
    """An expression that isn't supported, or doesn't fit the data."""


@dataclass(frozen=True)
class Names:
    """Children of an object by name."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """Elements of an array: indexes, and slices with their ends included (None is the array's own end)."""

    parts: tuple[int | tuple[int | None, int | None], ...]


@dataclass(frozen=True)
class Everything:
    """All children."""


Step = Names | Numbers | Everything


@dataclass(frozen=True)
class JsonPath:
    """An expression such as `$`, `$.features`, `$[1:]`, `$['id','SageMakerOutput']`."""

    text: str
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Raises PathError for what batch transform doesn't support."""
        if not text.startswith("$"):
            raise PathError(f"{text} does not begin with $")
        steps, at = list[Step](), 1
        while at < len(text):
            found = STEP.match(text, at)
            if found is None:
                raise PathError(f"{text} is not supported from {text[at:]} on")
            name = found["name"]
            steps.append(_bracketed(text, found["inside"]) if name is None else _named(name))
            at = found.end()
        return cls(text, tuple(steps))

    @property
    def is_root(self) -> bool:
        """Whether it selects everything."""
        return not self.steps

    def select(self, value: Any) -> Any:
        """The part of `value`: what stands there for one, an object or an array for several. Raises PathError."""
        return _select(value, self.steps, self.text)


def _named(name: str) -> Step:
    return Everything() if name == "*" else Names((name,))


def _bracketed(text: str, inside: str) -> Step:
    if inside.strip() == "*":
        return Everything()
    names = NAMES.findall(inside)
    if names and NAMES.sub("", inside) == "":
        return Names(tuple(single or double for single, double in names))
    numbers = list(NUMBERS.finditer(inside))
    if numbers and NUMBERS.sub("", inside) == "":
        return Numbers(tuple(_part(each) for each in numbers))
    raise PathError(f"{text} is not supported: [{inside}]")


def _part(found: re.Match[str]) -> int | tuple[int | None, int | None]:
    if found["index"] is not None:
        return int(found["index"])
    start, end = (int(found[name]) if found[name] else None for name in ("start", "end"))
    return start, end


def _select(value: Any, steps: tuple[Step, ...], text: str) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, Names):
        found = {name: _child(value, name, text) for name in step.names}
        if len(found) == 1:
            return _select(next(iter(found.values())), rest, text)
        return {name: _select(each, rest, text) for name, each in found.items()}
    if isinstance(step, Everything):
        children = list(value.values()) if isinstance(value, dict) else _array(value, text)
        return [_select(each, rest, text) for each in children]
    found_at = _indexes(step, _array(value, text), text)
    if len(step.parts) == 1 and isinstance(step.parts[0], int):
        return _select(value[found_at[0]], rest, text)
    return [_select(value[index], rest, text) for index in found_at]


def _child(value: Any, name: str, text: str) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise PathError(f"{text} selects {name}, which isn't there")
    return value[name]


def _array(value: Any, text: str) -> list[Any]:
    if not isinstance(value, list):
        raise PathError(f"{text} selects from an array, but there is none")
    return value


def _indexes(step: Numbers, array: list[Any], text: str) -> list[int]:
    found = list[int]()
    for part in step.parts:
        if isinstance(part, int):
            found.append(_within(part, array, text))
            continue
        start, end = part
        first = 0 if start is None else _within(start, array, text)
        last = len(array) - 1 if end is None else _within(end, array, text)
        found += range(first, last + 1)
    return found


def _within(index: int, array: list[Any], text: str) -> int:
    at = index + len(array) if index < 0 else index
    if not 0 <= at < len(array):
        raise PathError(f"{text} selects element {index} of {len(array)}")
    return at
