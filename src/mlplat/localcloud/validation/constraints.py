"""The constraints of botocore's shapes, compiled once into functions that look at a parsed request.

The texts are AWS's: "Member must satisfy regular expression pattern: ..." and such, as its services answer them. A
list or map of plain values is answered for as a whole; structures inside are answered for each by its own path.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud.validation import patterns
from mlplat.localcloud.validation.quick import Quick

NOT_NULL = "Member must not be null"
Path = tuple[str | int, ...]
"""Names of members, keys of maps (as `Key`) and places in lists, from 0."""


class Key(str):
    """The key of a map, which stands in a path beside names of members."""


@dataclass(frozen=True)
class Fault:
    """One value that breaks one constraint; `value` is None where a required member is missing."""

    path: Path
    value: Any
    shape: Any
    constraint: str


Check = Callable[[Any, Path, list[Fault]], None]
"""Adds to the list what is wrong with a value."""


class Constraints:
    """The compiled shapes of one service, by name: a shape is compiled when it is first needed."""

    def __init__(self) -> None:
        self._checks: dict[str, Check | None] = {}
        self._quick = Quick(_predicates)
        self._lock = threading.RLock()

    def faults(self, request: Mapping[str, Any], shape: Any) -> list[Fault]:
        """Everything that is wrong with a request of this input shape."""
        found: list[Fault] = []
        fine = self._quick.of(shape)
        if fine is None or fine(request):
            return found
        check = self._check(shape)
        if check is not None:
            check(request, (), found)
        return found

    def _check(self, shape: Any) -> Check | None:
        if shape.name in self._checks:
            return self._checks[shape.name]
        with self._lock:
            if shape.name not in self._checks:
                self._checks[shape.name] = self._when_compiled(shape.name)  # a shape may hold itself
                self._checks[shape.name] = self._compiled(shape)
            return self._checks[shape.name]

    def _when_compiled(self, name: str) -> Check:
        def check(value: Any, path: Path, faults: list[Fault]) -> None:
            with self._lock:
                compiled = self._checks[name]
            if compiled is not None:
                compiled(value, path, faults)

        return check

    def _compiled(self, shape: Any) -> Check | None:
        if shape.type_name == "structure":
            return self._structure(shape)
        if shape.type_name == "list":
            return self._list(shape)
        if shape.type_name == "map":
            return self._map(shape)
        return _scalar(shape)

    def _structure(self, shape: Any) -> Check | None:
        if shape.metadata.get("document"):
            return None
        required = [(name, shape.members[name]) for name in shape.required_members]
        checks = {name: self._check(member) for name, member in shape.members.items()}
        members = [(name, check) for name, check in checks.items() if check is not None]

        def run(value: Any, path: Path, faults: list[Fault]) -> None:
            if not isinstance(value, Mapping):
                return
            for name, member in required:
                if value.get(name) is None:
                    faults.append(Fault((*path, name), None, member, NOT_NULL))
            for name, check in members:
                each = value.get(name)
                if each is not None:
                    check(each, (*path, name), faults)

        return run if required or members else None

    def _list(self, shape: Any) -> Check | None:
        size, member, check = _scalar(shape), shape.member, self._check(shape.member)
        together = f"Member must satisfy constraint: [{', '.join(texts(member))}]" if _is_plain(member) else None

        def run(value: Any, path: Path, faults: list[Fault]) -> None:
            if size is not None:
                size(value, path, faults)
            if check is None or not isinstance(value, list | tuple):
                return
            if together is not None:
                if _any_wrong(check, value):
                    faults.append(Fault(path, value, shape, together))
                return
            for index, each in enumerate(value):
                check(each, (*path, index), faults)

        return run if size is not None or check is not None else None

    def _map(self, shape: Any) -> Check | None:
        size, keys, values = _scalar(shape), self._check(shape.key), self._check(shape.value)
        of_keys = f"Map keys must satisfy constraint: [{', '.join(texts(shape.key))}]"
        of_values = f"Map value must satisfy constraint: [{', '.join(texts(shape.value))}]"

        def run(value: Any, path: Path, faults: list[Fault]) -> None:
            if size is not None:
                size(value, path, faults)
            if not isinstance(value, Mapping):
                return
            if keys is not None and _any_wrong(keys, value):
                faults.append(Fault(path, value, shape, of_keys))
            if values is None:
                return
            if not _is_plain(shape.value):
                for key, each in value.items():
                    values(each, (*path, Key(key)), faults)
            elif _any_wrong(values, value.values()):
                faults.append(Fault(path, value, shape, of_values))

        return run if size is not None or keys is not None or values is not None else None


def texts(shape: Any) -> list[str]:
    """All constraints of a plain shape, in the order in which AWS names them for a list's or map's members."""
    limits, what = shape.metadata, _measured(shape)
    found = [f"Member must have {what} less than or equal to {limits['max']}"] if "max" in limits else []
    found += [f"Member must have {what} greater than or equal to {limits['min']}"] if "min" in limits else []
    found += [f"Member must satisfy regular expression pattern: {limits['pattern']}"] if "pattern" in limits else []
    return found + ([_one_of(limits["enum"])] if limits.get("enum") else [])


def _predicates(shape: Any) -> tuple[Any, list[Callable[[Any], bool]]]:
    return _TYPES.get(shape.type_name, (int, float)), [holds for holds, _ in _rules(shape)]


def _rules(shape: Any) -> list[tuple[Callable[[Any], bool], str]]:
    """The constraints on a value itself: a string's, a number's, how much a list, map or blob holds."""
    limits, what, kind = shape.metadata, _measured(shape), shape.type_name
    rules: list[tuple[Callable[[Any], bool], str]] = []
    if kind == "string" and limits.get("pattern", patterns.ANYTHING) != patterns.ANYTHING:
        fullmatch = patterns.compiled(limits["pattern"]).fullmatch
        text = f"Member must satisfy regular expression pattern: {limits['pattern']}"
        rules.append((lambda value: fullmatch(value) is not None, text))
    if kind == "string" and limits.get("enum"):
        rules.append((frozenset(limits["enum"]).__contains__, _one_of(limits["enum"])))
    size: Callable[[Any], Any] | None = float if what == "value" else len if kind in _SIZED else None
    if size is not None and "max" in limits:
        rules.append((_at_most(size, limits["max"]), f"Member must have {what} less than or equal to {limits['max']}"))
    if size is not None and "min" in limits:
        least = f"Member must have {what} greater than or equal to {limits['min']}"
        rules.append((_at_least(size, limits["min"]), least))
    return rules


def _scalar(shape: Any) -> Check | None:
    rules, kind = _rules(shape), shape.type_name
    if not rules:
        return None
    types = _TYPES.get(kind, (int, float))

    def run(value: Any, path: Path, faults: list[Fault]) -> None:
        if isinstance(value, types):
            for holds, constraint in rules:
                if not holds(value):
                    faults.append(Fault(path, value, shape, constraint))

    return run


_SIZED = frozenset({"string", "blob", "list", "map"})
_TYPES: dict[str, Any] = {"string": str, "blob": (bytes, bytearray, str), "list": (list, tuple), "map": Mapping}


def _at_most(size: Callable[[Any], Any], most: float) -> Callable[[Any], bool]:
    return lambda value: bool(size(value) <= most)


def _at_least(size: Callable[[Any], Any], least: float) -> Callable[[Any], bool]:
    return lambda value: bool(size(value) >= least)


def _one_of(values: list[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def _measured(shape: Any) -> str:
    return "value" if shape.type_name in ("integer", "long", "float", "double", "short", "byte") else "length"


def _is_plain(shape: Any) -> bool:
    return shape.type_name not in ("structure", "list", "map")


def _any_wrong(check: Check, values: Any) -> bool:
    faults: list[Fault] = []
    for each in values:
        if each is not None:
            check(each, (), faults)
            if faults:
                return True
    return False
