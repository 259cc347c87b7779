"""The layers as pydantic-settings takes them: sources, which it asks from the highest to the lowest, and merges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from mlplat.settings.layers import Layer, is_like
from mlplat.settings.problems import KeyPath

WHOLE: tuple[KeyPath, ...] = (("workloads", "*", "tuning", "ranges", "*"),)
"""Tables that a higher layer replaces instead of completing: a range of another type has other keys."""


class Source(PydanticBaseSettingsSource):
    """One layer. Each has a class of its own, because pydantic-settings tells sources apart by their class's name."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """What pydantic-settings asks of every source; whole layers are taken at once, by calling it."""
        return self._layer.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The layer's values, without what the layers above it replace."""
        return {name: _uncovered((name,), each, self.current_state) for name, each in self._layer.values.items()}


class Flags(Source):
    """What was given on the command line, and the namespace, however it was chosen."""


class Environment(Source):
    """What the environment says."""


class NamespaceFile(Source):
    """The file of the namespace."""


class DefaultsFile(Source):
    """default.toml."""


class BuiltIn(PydanticBaseSettingsSource):
    """The lowest one. It has nothing to say, for the models have their defaults; it sees what was merged above it."""

    def __init__(self, settings_cls: type[BaseSettings], layers: Layers) -> None:
        super().__init__(settings_cls)
        self._layers = layers

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Nothing."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Nothing; but the errors that follow will want to know what stands where."""
        self._layers.values = self.current_state
        return {}


@dataclass
class Layers:
    """All that settings are read from. `values` is what pydantic-settings has made of it, once it has."""

    flags: Layer
    environment: Layer
    namespace_file: Layer
    defaults_file: Layer
    values: dict[str, Any] = field(default_factory=dict)

    def sources(self, settings_cls: type[BaseSettings]) -> tuple[PydanticBaseSettingsSource, ...]:
        """The highest first."""
        return (
            Flags(settings_cls, self.flags),
            Environment(settings_cls, self.environment),
            NamespaceFile(settings_cls, self.namespace_file),
            DefaultsFile(settings_cls, self.defaults_file),
            BuiltIn(settings_cls, self),
        )

    def merged(self) -> Layer:
        """The values that are in force, each with its origin."""
        whole = Layer(self.values)
        for layer in (self.defaults_file, self.namespace_file, self.environment, self.flags):
            whole.origins |= {key: origin for key, origin in layer.origins.items() if whole.at(key) is not ...}
        return whole

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Settings that are made in here are made of these layers."""
        token = _IN_FORCE.set(self)
        try:
            yield
        finally:
            _IN_FORCE.reset(token)


_IN_FORCE: ContextVar[Layers | None] = ContextVar("layers in force", default=None)
"""pydantic-settings asks a class for its sources; what differs from one load to the next comes to it by here."""


def sources_in_force(settings_cls: type[BaseSettings]) -> tuple[PydanticBaseSettingsSource, ...]:
    """The sources of the layers in force, none outside of `Layers.in_force`."""
    layers = _IN_FORCE.get()
    return layers.sources(settings_cls) if layers else ()


def _uncovered(key: KeyPath, value: Any, above: Any) -> Any:
    """A value without what is replaced as a whole. Its table stays, empty, so that tables keep their order."""
    above = above.get(key[-1]) if isinstance(above, dict) else None
    if not isinstance(value, dict) or not isinstance(above, dict):
        return value
    if is_like(key, WHOLE) and "type" in above:
        return {}
    return {name: _uncovered((*key, name), each, above) for name, each in value.items()}
