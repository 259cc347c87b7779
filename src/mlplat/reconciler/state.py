"""The state: what mlplat remembers of a namespace. It is a cache of reality, kept so that it is never wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
"""The version of the file's format; a file of a newer one is refused."""


@dataclass
class Deposed:
    """An object that was, or was about to be, replaced create-first and is still to be deleted."""

    id: str | None
    fields: dict[str, Any]
    needs: list[str] = field(default_factory=list)


@dataclass
class Entry:
    """One address: the object as it was last applied.

    `intent` is what was about to be done when the process ended ({"verb": ...}); None when it was completed.
    """

    kind: str
    id: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    intent: dict[str, Any] | None = None
    deposed: list[Deposed] = field(default_factory=list)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Entry:
        """Raises TypeError or ValueError for anything that is no entry."""
        deposed = [Deposed(**each) for each in value.get("deposed", ())]
        return cls(**{**value, "deposed": deposed})


@dataclass
class State:
    """Everything remembered of one namespace. `serial` counts its changes, `lineage` tells its lives apart."""

    namespace: str
    lineage: str = field(default_factory=lambda: str(uuid.uuid4()))
    serial: int = 0
    format: int = FORMAT
    entries: dict[str, Entry] = field(default_factory=dict)
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Endpoint name in the configuration -> its release, as `Release.to_json` gives it."""


class Store:
    """The state of one namespace as files in `folder` (`.mlplat`)."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.namespace = Path(folder), namespace

    def load(self) -> State:
        """The state as it is on disk, an empty one when there is none. Needs no lock."""
        raise NotImplementedError

    def save(self, state: State) -> None:
        """Write the whole state atomically; the lock must be held."""
        raise NotImplementedError

    @contextmanager
    def edit(self, command: str = "edit") -> Iterator[State]:
        """Change the state under the lock: `with store.edit() as state: state.releases[...] = ...`. Saved at the end."""
        raise NotImplementedError
        yield State(self.namespace)

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Hold the namespace for `command`; may be entered again while held. Raises LockHeld."""
        raise NotImplementedError
        yield
