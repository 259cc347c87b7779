"""The state on disk: one JSON file a namespace, replaced atomically, and a journal of what changed since.

`NAMESPACE.state.json` is written whole (new file, fsync, rename, fsync of the folder) with the one before kept as
`.backup`. While an apply runs, each change is one synced line in `NAMESPACE.state.journal`, which is folded into
the file at the end, or by whoever comes next. A journal continues the state of its own serial; one that is older
than the file has been folded already.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any

from mlplat.errors import StateError
from mlplat.reconciler import lock
from mlplat.reconciler.entries import Deposed as Deposed
from mlplat.reconciler.entries import Entry as Entry
from mlplat.reconciler.entries import NewerFormat
from mlplat.reconciler.entries import State as State
from mlplat.reconciler.journal import Damaged, Journal, Record, Writer

Change = Callable[[Entry | None], Entry | None]
"""What becomes of an entry; None: there is none."""


class Ledger:
    """The state while many threads change it: a change is on disk before the call returns.

    Raises StateError when it can't be written; nothing more may be started then.
    """

    def __init__(self, state: State, begin: Callable[[], Writer]) -> None:
        self.state, self._begin, self._lock = state, begin, threading.Lock()
        self._writer: Writer | None = None

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
            raise StateError(
                f"saving the state of {key}: {error}; nothing further is started, what is done is found again",
                hint="df -h .",
            ) from error


class Store:
    """The state of one namespace as files in `folder` (`.mlplat`)."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.namespace = Path(folder), namespace
        self.path = self.folder / f"{namespace}.state.json"
        self.backup = self.folder / f"{namespace}.state.json.backup"
        self.journal = self.folder / f"{namespace}.state.journal"
        self._held: lock.Holder | None = None

    def load(self) -> State:
        """The state as it is on disk, an empty one when there is none. Needs no lock.

        The journal is read first: should it be folded meanwhile, the file read after it has all of it.
        """
        journal = self._read_journal()
        state = self._read_file()
        if journal is None:
            return state or State(self.namespace)
        if state is None:
            state = State(self.namespace, lineage=journal.lineage)
        if journal.lineage == state.lineage and journal.serial + len(journal.records) > state.serial:
            _fold(journal, state)
        return state

    def save(self, state: State) -> None:
        """Write the whole state atomically, as a change; the lock must be held."""
        state.serial += 1
        self._write(state)

    @contextmanager
    def edit(self, command: str = "edit") -> Iterator[State]:
        """Change the state under the lock; it is saved when the block ends without an error.

        `with store.edit("deploy") as state: state.releases[endpoint] = release.to_json()`
        """
        with self.lock(command):
            state = self.load()
            yield state
            self.save(state)

    @contextmanager
    def open(self) -> Iterator[Ledger]:
        """The state for many small changes, each on disk at once; the lock must be held."""
        state = self.load()
        if self.journal.exists() or not self.path.exists():
            self._write(state)
        before = state.serial
        ledger = Ledger(state, lambda: Writer(self.journal, state.lineage, before))
        try:
            yield ledger
        except Exception:
            with suppress(StateError):  # the first error says more, and the journal has what could be written
                self._write(state)
            raise
        else:
            if state.serial > before:
                self._write(state)
        finally:
            ledger.close()

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Hold the namespace for `command`; may be entered again while this store holds it. Raises LockHeld."""
        with ExitStack() as stack:
            if self._held is None:
                self._make_folder()
                path = self.folder / f"{self.namespace}.lock"
                self._held = stack.enter_context(lock.held(path, self.namespace, command))
                stack.callback(setattr, self, "_held", None)
            yield

    def _read_journal(self) -> Journal | None:
        try:
            return Journal.read(self.journal)
        except NewerFormat as error:
            raise self._newer(self.journal, error) from error
        except (Damaged, OSError, TypeError, KeyError, ValueError) as error:
            raise StateError(
                f"reading the state journal {self.journal}: {error}; without it, objects are found again by their tags",
                hint=_mv(self.journal, ".damaged"),
            ) from error

    def _read_file(self) -> State | None:
        try:
            state = State.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except NewerFormat as error:
            raise self._newer(self.path, error) from error
        except (OSError, ValueError) as error:
            raise StateError(f"reading the state file {self.path}: {error}", hint=self._way_out()) from error
        if state.namespace != self.namespace:
            raise StateError(
                f"reading the state file {self.path}: it belongs to namespace {state.namespace}",
                hint=_mv(self.path, ".other"),
            )
        return state

    def _newer(self, path: Path, error: NewerFormat) -> StateError:
        return StateError(
            f"reading the state file {path}: a newer mlplat wrote it (format {error})",
            hint="pip install --upgrade mlplat",
        )

    def _way_out(self) -> str:
        """The one before is as good: what happened since is found again by tags. So is, with more reading, none."""
        try:
            State.loads(self.backup.read_bytes())
        except (OSError, ValueError, NewerFormat):
            return _mv(self.path, ".damaged")
        return f"cp {quote(str(self.backup))} {quote(str(self.path))}"

    def _write(self, state: State) -> None:
        """File, backup, then the journal goes; at any moment `load` finds the old state or the new one."""
        try:
            self._make_folder()
            fresh = self.path.with_suffix(".new")
            _write_synced(fresh, state.dumps())
            if self.path.exists():
                spare = self.backup.with_suffix(".new-backup")
                spare.unlink(missing_ok=True)
                os.link(self.path, spare)
                spare.replace(self.backup)
            fresh.replace(self.path)
            _sync_folder(self.folder)
            self.journal.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StateError:
        return StateError(
            f"writing the state file {self.path}: {error}", hint=f"ls -ld {quote(str(self.folder))} && df -h ."
        )


def _mv(path: Path, suffix: str) -> str:
    return f"mv {quote(str(path))} {quote(str(path) + suffix)}"


def _fold(journal: Journal, state: State) -> None:
    """Bring the journal's changes into the state."""
    for record in journal.records:
        part: dict[str, Any] = state.entries if record.part == "entries" else state.releases
        if record.value is None:
            part.pop(record.key, None)
        else:
            part[record.key] = Entry.from_json(record.value) if record.part == "entries" else record.value
    state.serial = max(state.serial, journal.serial + len(journal.records))


def _write_synced(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
