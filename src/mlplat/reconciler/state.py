"""The state of a namespace: one JSON document, replaced atomically, and a journal of what changed since.

While an apply runs, each change is one line of the journal, there before it is relied on; the journal is folded into
the state at the end, or by whoever comes next. A journal continues the state of its own serial; one that is older
has been folded already. What can be written to neither is left in a recovery file (`rescue`). Where the two are kept
is the backend's business: `Files` on this machine, `Objects` in S3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mlplat.errors import DamagedState, StateConflict, StateError
from mlplat.reconciler.backend import Backend, Part
from mlplat.reconciler.entries import Deposed as Deposed
from mlplat.reconciler.entries import Entry as Entry
from mlplat.reconciler.entries import State as State
from mlplat.reconciler.files import Files
from mlplat.reconciler.formats import FORMAT, Body, NewerFormat, parsed
from mlplat.reconciler.journal import Damaged, Journal
from mlplat.reconciler.ledger import Ledger as Ledger
from mlplat.reconciler.lock import Holder
from mlplat.reconciler.rescue import Kept, Rescue


class Store:
    """The state of one namespace. `tell` says to people what they should know.

    `folder` (`.mlplat`) is where recovery files go and, unless another backend is given, the state itself.
    """

    def __init__(
        self,
        folder: Path,
        namespace: str,
        tell: Callable[[str], None] = lambda _text: None,
        backend: Backend | None = None,
    ) -> None:
        self.folder, self.namespace = Path(folder), namespace
        self.backend: Backend = Files(self.folder, namespace) if backend is None else backend
        self._rescue = Rescue(self.folder, namespace, lambda: self.backend.mark)
        self._tell, self._told = tell, set[str]()
        self._older: int | None = None
        """The format of the state, when it is older than ours."""
        self._settled: list[Path] = []
        """Recovery files whose content the loaded state has."""
        self.is_there = False
        """Whether there was a state, with or without a journal, when it was loaded last."""
        self._has_journal = self._is_open = False
        self._held: Holder | None = None
        self._seen: tuple[Sequence[Kept], Journal | None, Body | None] | None = None
        """What was read since the lock was taken and nothing was written: nobody else writes meanwhile."""

    def load(self) -> State:
        """The state as it is kept, an empty one when there is none. Needs no lock.

        What is older is read first: should it be folded into the state meanwhile, that one, read last, has all of it.
        """
        if self._seen is not None:
            return self._put_together(*self._seen)
        found = self._rescue.read(), self._read_journal(), self._read_state()
        self._seen = found if self._held is not None and not self._is_open else None
        return self._put_together(*found)

    def remains(self) -> State:
        """What can still be read of the state. Raises StateError only for one of a newer mlplat, or not ours."""
        kept, journal, body = self._rescue.read(), None, None
        with suppress(DamagedState):
            journal = self._read_journal()
        with suppress(DamagedState):
            body = self._read_state()
        try:
            return self._put_together(kept, journal, body)
        except DamagedState:
            return State(self.namespace)

    def damaged(self) -> list[str]:
        """Where the parts of the state are that are there and can't be read."""
        return [self.backend.where(part) for part in self._damaged()]

    def save(self, state: State) -> None:
        """Write the whole state atomically, as a change; the lock must be held."""
        state.serial += 1
        self._write(state)

    def put(self, state: State) -> None:
        """Write the whole state as it is, serial and all: it was elsewhere until now. The lock must be held."""
        self._write(state)

    def replace(self, state: State) -> list[str]:
        """Write the whole state in place of whatever is there; answers where damaged parts are kept now."""
        spared = [self.backend.set_aside(part, "damaged") for part in self._damaged()]
        self._seen = None
        self._settled = list(self._rescue.paths)
        self.save(state)
        return spared

    def retire(self, why: str) -> str:
        """Keep the whole state under another name that says why, so that there is none any more; answers where."""
        self._write(self.load())
        try:
            return self.backend.set_aside("state", why)
        finally:
            self._seen = None

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
        """The state for many small changes, each kept before it is relied on; the lock must be held.

        When a change can't be written, it is left in a recovery file, and the StateError says where.
        """
        state = self.load()
        if self._has_journal or not self.is_there or self._settled:
            self._write(state)
        before = state.serial
        ledger = Ledger(state, lambda: self.backend.begin(state.lineage, before))
        self._seen, self._is_open = None, True
        try:
            yield ledger
        except Exception as error:
            self._close(ledger, error)
            raise
        else:
            if state.serial > before:
                self._close(ledger)
        finally:
            self._is_open = False
            ledger.close()

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Hold the namespace for `command`; may be entered again while this store holds it. Raises LockHeld."""
        with ExitStack() as stack:
            if self._held is None:
                self._held = stack.enter_context(self.backend.lock(command))
                stack.callback(self._let_go)
            yield

    def _let_go(self) -> None:
        self._held = self._seen = None

    def _put_together(self, kept: Sequence[Kept], journal: Journal | None, body: Body | None) -> State:
        """The state, the journal that continues it, and a recovery file that knows more than both."""
        self._older = body["format"] if body is not None and body["format"] < FORMAT else None
        state = self._folded(journal, body)
        mark = self.backend.mark
        found = [each for each in kept if each.mark == mark and (state is None or each.state.lineage == state.lineage)]
        self._settled = [each.path for each in found]
        best = max(found, key=lambda each: each.state.serial, default=None)
        if best is not None and (state is None or best.state.serial > state.serial):
            self.say(f"going on with the state that {best.path} kept, because it couldn't be written")
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
            raise self._damage("state", error) from error

    def _damaged(self) -> list[Part]:
        checks: tuple[tuple[Part, Callable[[], object]], ...] = (
            ("state", lambda: self._folded(None, self._read_state())),
            ("journal", self._read_journal),
        )
        return [part for part, read in checks if _is_damaged(read)]

    def _read_journal(self) -> Journal | None:
        try:
            content = self.backend.read("journal")
            self._has_journal = content is not None
            return Journal.parse(content or b"")
        except NewerFormat as error:
            raise self._newer("journal", error) from error
        except (Damaged, OSError, TypeError, KeyError, ValueError) as error:
            raise self._damage("journal", error) from error

    def _read_state(self) -> Body | None:
        try:
            content = self.backend.read("state")
            self.is_there = content is not None
            if content is None:
                return None
            body = parsed(content)
        except NewerFormat as error:
            raise self._newer("state", error) from error
        except (OSError, ValueError) as error:
            raise self._damage("state", error) from error
        if body.get("namespace") != self.namespace:
            raise StateError(
                f"reading the state {self.backend.place}: it belongs to namespace {body.get('namespace')}",
                hint=f"mlplat config show --namespace {self.namespace}",
            )
        return body

    def _newer(self, part: Part, error: NewerFormat) -> StateError:
        return StateError(
            f"reading the {part} {self.backend.where(part)}: a newer mlplat wrote it (format {error})",
            hint="pip install --upgrade mlplat",
        )

    def _damage(self, part: Part, error: Exception) -> DamagedState:
        return DamagedState(
            f"reading the {part} {self.backend.where(part)}: {error}; everything it knew can be found again by tags "
            "and names",
            hint=f"mlplat state rebuild --namespace {self.namespace}",
        )

    def say(self, text: str) -> None:
        """Tell people, once."""
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    def _close(self, ledger: Ledger, error: Exception | None = None) -> None:
        """Fold the journal. Where that fails the journal has it all, or else the recovery file."""
        try:
            self._write(ledger.state)
        except StateConflict:
            raise  # whoever came between knows better
        except StateError as unwritten:
            if not ledger.flush():
                raise self._rescued(ledger.state, error or unwritten) from (error or unwritten)
            if error is None:
                raise

    def _rescued(self, state: State, error: Exception) -> StateError:
        """The error, and where the state is now."""
        state.serial += 1
        path, what = self._rescue.keep(state), getattr(error, "message", str(error))
        hint = getattr(error, "hint", None) or "df -h ."
        if path is not None:
            kept = f"{what}; what was done is kept in {path}, the next run goes on from it"
            return StateError(kept, hint=hint, because=error)
        return StateError(
            f"{what}; what was done can be written nowhere and follows: save it as {self._rescue.paths[0]}, or make "
            f"the state anew with mlplat state rebuild",
            hint=hint,
            left=json.loads(state.dumps()),
            because=error,
        )

    def _write(self, state: State) -> None:
        """State, backup, then journal and recovery file go; at any moment `load` finds the old state or the new one."""
        self._seen = None
        kept = self.backend.write(state.dumps(), older=self._older)
        if kept is not None:
            self.say(f"the state is of format {FORMAT} now; {kept} is the one of format {self._older}")
        self._older, self._has_journal, self.is_there = None, False, True
        while self._settled:
            with suppress(OSError):  # one that stays is known to be older
                self._settled.pop().unlink(missing_ok=True)


def _is_damaged(read: Callable[[], object]) -> bool:
    try:
        read()
    except DamagedState:
        return True
    return False


def _empty(namespace: str, journal: Journal) -> Body:
    """What a journal without a state continues."""
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
