"""The state while an apply runs: many threads change it, and each change is on disk before it is relied on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlplat.errors import StateError
from mlplat.reconciler.entries import Entry, State
from mlplat.reconciler.journal import Record, Writer

Change = Callable[[Entry | None], Entry | None]
"""What becomes of an entry; None: there is none."""


class Ledger:
    """The state while many threads change it: a change is on disk before the call returns.

    Raises StateError when it can't be written; nothing more may be started then.
    """

    def __init__(self, state: State, begin: Callable[[], Writer]) -> None:
        self.state, self._begin, self._lock = state, begin, threading.Lock()
        self._writer: Writer | None = None
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
        self._sync(address, line)

    def drop_release(self, endpoint: str) -> None:
        """Forget what an endpoint served."""
        with self._saving(endpoint), self._lock:
            self.state.releases.pop(endpoint, None)
            line = self._write(Record("releases", endpoint, None))
        self._sync(endpoint, line)

    def close(self) -> None:
        """Give the journal back."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, record: Record) -> int:
        if self._writer is None:
            self._writer = self._begin()
        self.state.serial += 1
        return self._writer.write(record.to_json())

    def _sync(self, key: str, line: int) -> None:
        """Outside the lock, so that many threads share one turn of the disk."""
        if self._writer is not None:
            with self._saving(key):
                self._writer.sync(line)

    @contextmanager
    def _saving(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failed = True
            raise StateError(
                f"saving the state of {key}: {error}; nothing further is started", hint="df -h ."
            ) from error
