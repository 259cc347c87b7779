"""The state while an apply runs: many threads change it, and no call is made before its intent is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlplat.errors import MlplatError, StateConflict, StateError
from mlplat.reconciler.backend import Appender
from mlplat.reconciler.entries import Entry, State
from mlplat.reconciler.journal import Record

Change = Callable[[Entry | None], Entry | None]
"""What becomes of an entry; None: there is none."""


class Ledger:
    """The state while many threads change it: an intent is in the journal before the call returns.

    A result may come there a little later, but before any intent that is written after it: until then its own intent
    stands there, and the next run would look and find what became of it.
    Raises StateError when it can't be written; nothing more may be started then.
    """

    def __init__(self, state: State, begin: Callable[[], Appender]) -> None:
        self.state, self._begin, self._lock = state, begin, threading.Lock()
        self._writer: Appender | None = None
        self._line = 0
        self.failed = False
        """Whether a change could not be written: `state` then knows more than the disk does."""

    def entry(self, address: str) -> Entry | None:
        """What is known of an address now."""
        return self.state.entries.get(address)

    def change(self, address: str, change: Change) -> None:
        """Replace the entry of an address by what `change` makes of it."""
        with self._saving(address), self._lock:
            entry = change(self.state.entries.get(address))
            if entry is None:
                self.state.entries.pop(address, None)
            else:
                self.state.entries[address] = entry
            line = self._write(Record("entries", address, entry.to_json() if entry else None))
        self._sync(address, line, waits=entry is not None and bool(entry.intent or entry.deposed))

    def drop_release(self, endpoint: str) -> None:
        """Forget what an endpoint served."""
        with self._saving(endpoint), self._lock:
            self.state.releases.pop(endpoint, None)
            line = self._write(Record("releases", endpoint, None))
        self._sync(endpoint, line, waits=True)

    def flush(self) -> bool:
        """Whether the journal has every change, after a last try."""
        try:
            if self._writer is not None:
                self._writer.sync(self._line)
        except (OSError, MlplatError):
            return False
        return not self.failed

    def move_release(self, old: str, new: str) -> None:
        """What an endpoint served is what the renamed one serves, unless that has a release of its own."""
        if old not in self.state.releases:
            return
        with self._saving(new), self._lock:
            release = self.state.releases.setdefault(new, self.state.releases[old])
            line = self._write(Record("releases", new, release))
        self._sync(new, line, waits=True)
        self.drop_release(old)

    def close(self) -> None:
        """Give the journal back."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, record: Record) -> int:
        if self._writer is None:
            self._writer = self._begin()
        self.state.serial += 1
        self._line = self._writer.write(record.to_json())
        return self._line

    def _sync(self, key: str, line: int, *, waits: bool) -> None:
        """Outside the lock, so that many threads share one turn of the disk."""
        if self._writer is not None:
            with self._saving(key):
                (self._writer.sync if waits else self._writer.settle)(line)

    @contextmanager
    def _saving(self, key: str) -> Iterator[None]:
        try:
            yield
        except StateConflict:
            self.failed = True
            raise
        except (OSError, MlplatError) as error:
            self.failed = True
            raise StateError(
                f"saving the state of {key}: {error}; nothing further is started",
                hint=error.hint if isinstance(error, MlplatError) else "df -h .",
                because=error,
            ) from error
