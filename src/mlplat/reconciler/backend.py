"""What keeps the state of a namespace: `Files` on this machine, `Objects` in S3. `Store` is the same on both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

from mlplat.reconciler.lock import Holder

Part = Literal["state", "journal"]


class Appender(Protocol):
    """Appends to a journal. Threads share it. Raises OSError or MlplatError, and the same ever after."""

    def write(self, value: Mapping[str, Any]) -> int:
        """Append a line; the answer is for `sync` and `settle`."""

    def sync(self, line: int) -> None:
        """Return when that line, and all before it, would be found by whoever comes next."""

    def settle(self, line: int) -> None:
        """Return when nobody need wait for that line: what it says can be found out without it."""

    def close(self) -> None:
        """Give the journal back, as far as it was synced."""


class Backend(Protocol):
    """Two things that are written (the state, and the journal of what changed since) and a lock."""

    @property
    def place(self) -> str:
        """Where the state is, for people."""

    @property
    def mark(self) -> str:
        """Which version of the state this one has read or written; "" where nobody else could have written it."""

    def where(self, part: Part) -> str:
        """Where a part is, for people."""

    def read(self, part: Part) -> bytes | None:
        """A part as it is now, None when it isn't there. Raises OSError or MlplatError."""

    def write(self, content: bytes, *, older: int | None = None) -> str | None:
        """Replace the state atomically by what continues it, then drop the journal. Raises StateError.

        What was there is kept: as the backup and, when it is of an `older` format, for good; answers where that is.
        """

    def begin(self, lineage: str, serial: int) -> Appender:
        """A new journal, which continues the state of that serial."""

    def set_aside(self, part: Part, why: str) -> str:
        """Keep a part under another name that says why, out of the way; answers where it is now. Raises StateError."""

    def lock(self, command: str) -> AbstractContextManager[Holder]:
        """Hold the namespace. Raises LockHeld, or StateError when that can't be found out."""

    def holder(self) -> Holder | None:
        """Who holds the lock now, None when nobody does; takes a look without taking the lock."""

    def unlock(self, *, id: str | None = None, force: bool = False) -> Holder | None:
        """Take the lock away from a holder that is dead, or is the one of that id, or, with `force`, from anybody.

        Answers whose it was, None when there is none. Raises LockHeld while the holder may live.
        """
