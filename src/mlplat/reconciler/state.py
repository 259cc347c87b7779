"""The state on disk: one JSON file a namespace, replaced atomically, and a journal of what changed since.

`NAMESPACE.state.json` is written whole (new file, fsync, rename, fsync of the folder) with the one before kept as
`.backup`. While an apply runs, each change is one synced line in `NAMESPACE.state.journal`, which is folded into
the file at the end, or by whoever comes next. A journal continues the state of its own serial; one that is older
than the file has been folded already. What can be written to neither is left in a recovery file (`rescue`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from shlex import quote

from mlplat.errors import DamagedState, StateError
from mlplat.reconciler import lock
from mlplat.reconciler.entries import Deposed as Deposed
from mlplat.reconciler.entries import Entry as Entry
from mlplat.reconciler.entries import State as State
from mlplat.reconciler.formats import FORMAT, Body, NewerFormat, parsed
from mlplat.reconciler.journal import Damaged, Journal, Writer
from mlplat.reconciler.ledger import Ledger as Ledger
from mlplat.reconciler.rescue import Kept, Rescue, write_synced


class Store:
    """The state of one namespace as files in `folder` (`.mlplat`). `tell` says to people what they should know."""

    def __init__(self, folder: Path, namespace: str, tell: Callable[[str], None] = lambda _text: None) -> None:
        self.folder, self.namespace = Path(folder), namespace
        self.path = self.folder / f"{namespace}.state.json"
        self.backup = self.folder / f"{namespace}.state.json.backup"
        self.journal = self.folder / f"{namespace}.state.journal"
        self.lock_path = self.folder / f"{namespace}.lock"
        self._rescue = Rescue(self.folder, namespace)
        self._tell, self._told = tell, set[str]()
        self._older: int | None = None
        """The format of the file, when it is older than ours."""
        self._settled: list[Path] = []
        """Recovery files whose content the loaded state has."""
        self._held: lock.Holder | None = None

    def load(self) -> State:
        """The state as it is on disk, an empty one when there is none. Needs no lock.

        What is older is read first: should it be folded into the file meanwhile, the file read after it has all of it.
        """
        kept = self._rescue.read()
        journal = self._read_journal()
        return self._put_together(kept, journal, self._read_file())

    def remains(self) -> State:
        """What can still be read of the state. Raises StateError only for a file of a newer mlplat, or not ours."""
        kept, journal, body = self._rescue.read(), None, None
        with suppress(DamagedState):
            journal = self._read_journal()
        with suppress(DamagedState):
            body = self._read_file()
        try:
            return self._put_together(kept, journal, body)
        except DamagedState:
            return State(self.namespace)

    def damaged(self) -> list[Path]:
        """The files of the state that are there and can't be read."""
        return [
            path
            for path, read in ((self.path, self._read_state), (self.journal, self._read_journal))
            if _is_damaged(read)
        ]

    def save(self, state: State) -> None:
        """Write the whole state atomically, as a change; the lock must be held."""
        state.serial += 1
        self._write(state)

    def replace(self, state: State) -> list[Path]:
        """Write the whole state in place of whatever is there; answers where damaged files are kept now."""
        spared = [_set_aside(path, self._unwritable) for path in self.damaged()]
        self._settled = list(self._rescue.paths)
        self.save(state)
        return spared

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
        """The state for many small changes, each on disk at once; the lock must be held.

        When a change can't be written, it is left in a recovery file, and the StateError says where.
        """
        state = self.load()
        if self.journal.exists() or not self.path.exists() or self._settled:
            self._write(state)
        before = state.serial
        ledger = Ledger(state, lambda: Writer(self.journal, state.lineage, before))
        try:
            yield ledger
        except Exception as error:
            self._close(ledger, error)
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
                self._held = stack.enter_context(lock.held(self.lock_path, self.namespace, command))
                stack.callback(setattr, self, "_held", None)
            yield

    def _put_together(self, kept: Sequence[Kept], journal: Journal | None, body: Body | None) -> State:
        """The file, the journal that continues it, and a recovery file that knows more than both."""
        self._older = body["format"] if body is not None and body["format"] < FORMAT else None
        state = self._folded(journal, body)
        found = [each for each in kept if state is None or each.state.lineage == state.lineage]
        self._settled = [each.path for each in found]
        best = max(found, key=lambda each: each.state.serial, default=None)
        if best is not None and (state is None or best.state.serial > state.serial):
            self._say(f"going on with the state that {best.path} kept, because it couldn't be written")
            return best.state
        return state or State(self.namespace)

    def _folded(self, journal: Journal | None, body: Body | None) -> State | None:
        """In the format they were written in, before anything is migrated. Raises DamagedState."""
        if body is None and journal is None:
            return None
        if journal is not None:
            body = body or _empty(self.namespace, journal)
            continues = journal.lineage == body["lineage"] and journal.format == body["format"]
            if continues and journal.end > body["serial"]:
                body = _fold(journal, body)
        try:
            return State.of(body or {})
        except ValueError as error:
            raise self._damage(self.path, "file", error) from error

    def _read_journal(self) -> Journal | None:
        try:
            return Journal.read(self.journal)
        except NewerFormat as error:
            raise self._newer(self.journal, error) from error
        except (Damaged, OSError, TypeError, KeyError, ValueError) as error:
            raise self._damage(self.journal, "journal", error) from error

    def _read_state(self) -> State | None:
        return self._folded(None, self._read_file())

    def _read_file(self) -> Body | None:
        try:
            body = parsed(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except NewerFormat as error:
            raise self._newer(self.path, error) from error
        except (OSError, ValueError) as error:
            raise self._damage(self.path, "file", error) from error
        if body.get("namespace") != self.namespace:
            raise StateError(
                f"reading the state file {self.path}: it belongs to namespace {body.get('namespace')}",
                hint=f"mv {quote(str(self.path))} {quote(str(self.path) + '.other')}",
            )
        return body

    def _newer(self, path: Path, error: NewerFormat) -> StateError:
        return StateError(
            f"reading the state file {path}: a newer mlplat wrote it (format {error})",
            hint="pip install --upgrade mlplat",
        )

    def _damage(self, path: Path, what: str, error: Exception) -> DamagedState:
        return DamagedState(
            f"reading the state {what} {path}: {error}; everything it knew can be found again by tags and names",
            hint=f"mlplat state rebuild --namespace {self.namespace}",
        )

    def _say(self, text: str) -> None:
        """Once."""
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    def _close(self, ledger: Ledger, error: Exception) -> None:
        """Fold the journal after an error. Where that fails too, the journal has it all, or else the recovery file."""
        try:
            self._write(ledger.state)
        except StateError:
            if ledger.failed:
                raise self._rescued(ledger.state, error) from error

    def _rescued(self, state: State, error: Exception) -> StateError:
        """The error, and where the state is now."""
        state.serial += 1
        path, what = self._rescue.keep(state), getattr(error, "message", str(error))
        if path is not None:
            return StateError(f"{what}; what was done is kept in {path}, the next run goes on from it", hint="df -h .")
        return StateError(
            f"{what}; what was done can be written nowhere and follows: save it as {self._rescue.paths[0]}, or make "
            f"the state anew with mlplat state rebuild",
            hint="df -h .",
            left=json.loads(state.dumps()),
        )

    def _write(self, state: State) -> None:
        """File, backup, then journal and recovery file go; at any moment `load` finds the old state or the new one."""
        fresh = self.path.with_suffix(".new")
        try:
            self._make_folder()
            write_synced(fresh, state.dumps())
            if self.path.exists():
                self._spare()
            fresh.replace(self.path)
            _sync_folder(self.folder)
            self.journal.unlink(missing_ok=True)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)  # a full disk needs the room
            raise self._unwritable(error) from error
        self._older = None
        while self._settled:
            with suppress(OSError):  # one that stays is known to be older
                self._settled.pop().unlink(missing_ok=True)

    def _spare(self) -> None:
        """Keep the file that is about to be replaced; one of an older format for good."""
        if self._older is not None:
            keep = self.path.with_name(f"{self.path.name}.format-{self._older}")
            keep.unlink(missing_ok=True)
            os.link(self.path, keep)
            self._say(f"the state is of format {FORMAT} now; {keep} is the file of format {self._older}")
        spare = self.backup.with_suffix(".new-backup")
        spare.unlink(missing_ok=True)
        os.link(self.path, spare)
        spare.replace(self.backup)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StateError:
        return StateError(
            f"writing the state file {self.path}: {error}", hint=f"ls -ld {quote(str(self.folder))} && df -h ."
        )


def _is_damaged(read: Callable[[], object]) -> bool:
    try:
        read()
    except DamagedState:
        return True
    return False


def _set_aside(path: Path, unwritable: Callable[[OSError], StateError]) -> Path:
    """Rename a damaged file to the first `.damaged-<n>` that is free."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    free = next(name for name in names if not os.path.lexists(name))
    try:
        return path.rename(free)
    except OSError as error:
        raise unwritable(error) from error


def _empty(namespace: str, journal: Journal) -> Body:
    """What a journal without a file continues."""
    known = {"format": journal.format, "namespace": namespace, "lineage": journal.lineage}
    return {**known, "serial": journal.serial, "entries": {}, "releases": {}}


def _fold(journal: Journal, body: Body) -> Body:
    """The body with the journal's changes in it."""
    parts = {part: dict(body.get(part, {})) for part in {record.part for record in journal.records}}
    for record in journal.records:
        if record.value is None:
            parts[record.part].pop(record.key, None)
        else:
            parts[record.part][record.key] = record.value
    return {**body, **parts, "serial": journal.end}


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
