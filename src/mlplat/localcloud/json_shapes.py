"""Shapes of botocore's models made into functions, each once: looking shapes up value by value takes far longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Convert = Callable[[Any], Any]


class Shapes:
    """The compiled shapes of one service, by name; subclasses say what the function of each kind of shape does."""

    def __init__(self) -> None:
        self._known: dict[str, Convert] = {}
        self._making: dict[str, Convert] = {}
        self._lock = threading.RLock()

    def of(self, shape: Any) -> Convert:
        """The function of a shape. One that holds itself is looked up again when a value needs it."""
        if shape.type_name not in ("structure", "list", "map"):
            return self.scalar(shape)
        name = f"{shape.type_name} {shape.name}"  # what it is, whoever has it as a member
        known = self._known.get(name)
        return known if known is not None else self._make(name, shape)

    def _make(self, name: str, shape: Any) -> Convert:
        with self._lock:  # until the outermost shape is done, so that nobody meets half a model
            if name not in self._known:
                if name in self._making:
                    return self._making[name]
                self._making[name] = lambda value: self.of(shape)(value)
                self._known[name] = getattr(self, shape.type_name)(shape)
            return self._known[name]

    def scalar(self, shape: Any) -> Convert:
        """What to do with text, a number, a time, a blob."""
        raise NotImplementedError

    def structure(self, shape: Any) -> Convert:
        """What to do with a structure."""
        raise NotImplementedError

    def list(self, shape: Any) -> Convert:
        """What to do with a list."""
        raise NotImplementedError

    def map(self, shape: Any) -> Convert:
        """What to do with a map."""
        raise NotImplementedError


def same(value: Any) -> Any:
    """The value as it is."""
    return value
