"""Whether a request breaks any constraint of its shapes, without saying which: nearly all don't.

The same rules as `constraints` has, which looks again, with paths and texts, when something is wrong.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from mlplat.localcloud.validation.patterns import ANYTHING

Fine = Callable[[Any], bool]
Predicates = list[Callable[[Any], bool]]

SHORT = 256
"""Characters. Short texts come again and again (names of features), and what has been matched is remembered."""

REMEMBERED = 8192
"""Texts of a shape."""


class Quick:
    """The compiled shapes of one service, by name; None for what has no constraint."""

    def __init__(self, rules: Callable[[Any], tuple[Any, Predicates]]) -> None:
        """`rules` tells the Python types that a shape's constraints concern, and the constraints."""
        self._rules = rules
        self._checks: dict[str, Fine | None] = {}
        self._lock = threading.RLock()

    def of(self, shape: Any) -> Fine | None:
        """What tells whether a value of the shape is fine."""
        if shape.name not in self._checks:
            with self._lock:
                if shape.name not in self._checks:
                    self._checks[shape.name] = self._when_compiled(shape.name)  # a shape may hold itself
                    self._checks[shape.name] = self._compiled(shape)
        return self._checks[shape.name]

    def _when_compiled(self, name: str) -> Fine:
        def fine(value: Any) -> bool:
            with self._lock:
                compiled = self._checks[name]
            return compiled is None or compiled(value)

        return fine

    def _compiled(self, shape: Any) -> Fine | None:
        if shape.type_name == "structure":
            return self._structure(shape)
        if shape.type_name == "list":
            return self._list(shape)
        return self._map(shape) if shape.type_name == "map" else self._scalar(shape)

    def _structure(self, shape: Any) -> Fine | None:
        if shape.metadata.get("document"):
            return None
        required = tuple(shape.required_members)
        found = {name: self.of(member) for name, member in shape.members.items()}
        checks = {name: check for name, check in found.items() if check is not None}
        if not required and not checks:
            return None

        def fine(value: Any) -> bool:
            if type(value) is not dict and not isinstance(value, Mapping):
                return True
            for name in required:
                if value.get(name) is None:
                    return False
            for name, each in value.items():
                check = checks.get(name)
                if check is not None and not check(each):
                    return False
            return True

        return fine

    def _list(self, shape: Any) -> Fine | None:
        size, every = self._scalar(shape), self._every(shape.member)
        if every is None:
            return size
        if shape.member.type_name == "structure":
            every = self._columns(shape.member, every)

        def fine(value: Any) -> bool:
            if size is not None and not size(value):
                return False
            return not isinstance(value, list | tuple) or every(value)

        return fine

    def _every(self, shape: Any) -> Fine | None:
        """What tells whether all of many values of the shape are fine: sooner than one by one, if they are."""
        each = self.of(shape)
        if each is None:
            return None
        one_by_one = _one_by_one(each)
        return _texts(shape.metadata, one_by_one) if shape.type_name == "string" else one_by_one

    def _columns(self, shape: Any, one_by_one: Fine) -> Fine:
        """Structures in a list mostly have the same members: a member of all of them is looked at together."""
        required = set(shape.required_members)
        found = [(name, self._every(member), name in required) for name, member in shape.members.items()]
        columns = [each for each in found if each[1] is not None or each[2]]

        def fine(values: Any) -> bool:
            if set(map(type, values)) != {dict}:
                return one_by_one(values)
            for name, every, needed in columns:
                column = [value[name] for value in values if name in value]
                if needed and (len(column) != len(values) or None in column):
                    return False
                if column and every is not None and not every(column):
                    return False
            return True

        return fine

    def _map(self, shape: Any) -> Fine | None:
        size, key, each = self._scalar(shape), self.of(shape.key), self.of(shape.value)
        if key is None and each is None:
            return size

        def fine(value: Any) -> bool:
            if size is not None and not size(value):
                return False
            if not isinstance(value, Mapping):
                return True
            return (key is None or all(map(key, value))) and (each is None or all(map(each, value.values())))

        return fine

    def _scalar(self, shape: Any) -> Fine | None:
        types, predicates = self._rules(shape)
        if not predicates:
            return None

        def fine(value: Any) -> bool:
            if isinstance(value, types):
                for holds in predicates:
                    if not holds(value):
                        return False
            return True

        limits = shape.metadata
        if shape.type_name == "string" and "pattern" in limits and int(limits.get("max", SHORT + 1)) <= SHORT:
            remembered = lru_cache(REMEMBERED)(fine)
            return lambda value: remembered(value) if isinstance(value, str) and len(value) <= SHORT else fine(value)
        return fine


def _one_by_one(each: Fine) -> Fine:
    return lambda values: all(map(each, values))


def _texts(limits: Mapping[str, Any], one_by_one: Fine) -> Fine:
    """Many texts: where only their lengths matter, by the longest and the shortest; others as they were seen before."""
    most, least = int(limits.get("max", sys.maxsize)), int(limits.get("min", 0))
    if limits.get("pattern", ANYTHING) == ANYTHING and not limits.get("enum"):
        return _lengths(least, most, one_by_one)
    if most > SHORT:
        return one_by_one
    seen: set[str] = set()

    def known(values: Any) -> bool:
        try:
            if seen.issuperset(values):
                return True
        except TypeError:
            return one_by_one(values)
        if not one_by_one(values):
            return False
        if len(seen) > REMEMBERED:
            seen.clear()
        seen.update(each for each in values if isinstance(each, str))
        return True

    return known


def _lengths(least: int, most: int, one_by_one: Fine) -> Fine:
    def fine(values: Any) -> bool:
        try:
            return not values or (max(map(len, values)) <= most and (not least or min(map(len, values)) >= least))
        except TypeError:
            return one_by_one(values)

    return fine
