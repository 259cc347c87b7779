"""The state as objects in S3, for teams: the state, the journal beside it, and a lock that anybody can read.

S3 can't append, so a journal is one object that grows by being replaced, compressed; changes that come while a
replacement is on its way share the next one. Every write carries the ETag of what it replaces (`cell`), so a run whose
lock was taken away from it can't write over what its successor wrote. The bucket keeps the versions before.
"""

from __future__ import annotations

import secrets
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import count
from typing import Any

from mlplat.aws import Session
from mlplat.errors import MlplatError, StateError
from mlplat.reconciler import lock_object
from mlplat.reconciler.backend import Part
from mlplat.reconciler.cell import Cell
from mlplat.reconciler.formats import FORMAT
from mlplat.reconciler.journal import line_of
from mlplat.reconciler.lock import Holder

LINGER = 0.5
"""Seconds after which a result goes into the journal that no intent has taken along."""

GZIP = 31
"""zlib's word for gzip's format."""


class Objects:
    """`KEY`, `KEY.journal` and `KEY.lock` in a bucket. `tell` says to people what they should know."""

    def __init__(
        self, session: Session, bucket: str, key: str, tell: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._session, self._tell = session, tell
        self.state, self.journal = Cell(session, bucket, key), Cell(session, bucket, f"{key}.journal")
        self._content: bytes | None = None
        self._growing: GrowingObject | None = None

    @property
    def place(self) -> str:
        """The address of the state."""
        return self.state.place

    @property
    def mark(self) -> str:
        """From the ETag."""
        return sha256(f"{self.place} {self.state.etag}".encode()).hexdigest()[:8]

    def where(self, part: Part) -> str:
        """The address of a part."""
        return self._cell(part).place

    def read(self, part: Part) -> bytes | None:
        """The content of an object, None when it isn't there."""
        if part == "state":
            self._content = self.state.read()
            return self._content
        packed = self.journal.read()
        try:
            return packed if packed is None else zlib.decompressobj(GZIP).decompress(packed)
        except zlib.error as error:
            raise ValueError(str(error)) from error

    def write(self, content: bytes, *, older: int | None = None) -> str | None:
        """Put on condition that nobody else has; then the journal goes. One that stays is known to be older."""
        with _unwritable():
            kept = self._keep(f"format-{older}", self._content) if older is not None and self._content else None
            self.state.write(content)
        self._content = content
        if self._growing is not None:
            self._growing.close()  # a late result would put it there again
        with suppress(MlplatError):
            self.journal.delete()
        return kept

    def begin(self, lineage: str, serial: int) -> GrowingObject:
        """A new journal."""
        self._growing = GrowingObject(self.journal, {"format": FORMAT, "lineage": lineage, "serial": serial})
        return self._growing

    def set_aside(self, part: Part, why: str) -> str:
        """Copy to the first `.<why>-<n>` that is free, then delete."""
        cell = self._cell(part)
        with _unwritable():
            kept = self._keep(why, cell.read() or b"", cell.key)
            cell.delete()
        return kept

    @contextmanager
    def lock(self, command: str) -> Iterator[Holder]:
        """Hold the lock object."""
        with lock_object.held(self._lock_cell(), self._session.namespace, command, self._tell) as me:
            yield me

    def holder(self) -> Holder | None:
        """Who stands in the lock object, unless it is known to be dead."""
        found = lock_object.read(self._lock_cell())
        return None if found is None or found.has_died else found

    def unlock(self, *, id: str | None = None, force: bool = False) -> Holder | None:
        """Delete the lock object."""
        return lock_object.unlock(self._lock_cell(), self._session.namespace, id=id, force=force)

    def _cell(self, part: Part) -> Cell:
        return self.state if part == "state" else self.journal

    def _lock_cell(self) -> Cell:
        return Cell(self._session, self.state.bucket, f"{self.state.key}.lock")

    def _keep(self, why: str, content: bytes, key: str | None = None) -> str:
        for number in count(1):
            copy = Cell(self._session, self.state.bucket, f"{key or self.state.key}.{why}-{number}")
            if copy.read() is None:
                copy.write(content)
                return copy.place
        raise AssertionError("unreachable: there is always a free number")


class GrowingObject:
    """A journal that is one object. Whoever waits for a line puts everything that was written until then."""

    def __init__(self, cell: Cell, head: Mapping[str, Any]) -> None:
        self._cell, self._packer, self._body = cell, zlib.compressobj(wbits=GZIP), bytearray()
        self._writing, self._syncing = threading.Lock(), threading.Lock()
        self._written = self._synced = 0
        self._broken: MlplatError | None = None
        self._closed = threading.Event()
        self.write({**head, "run": secrets.token_hex(8)})
        self._lingerer = threading.Thread(target=self._linger, name="journal", daemon=True)
        self._lingerer.start()

    def write(self, value: Mapping[str, Any]) -> int:
        """Append a line here; `sync` brings it to S3."""
        with self._writing:
            self._body += self._packer.compress(line_of(value))
            self._written += 1
            return self._written

    def sync(self, line: int) -> None:
        """Return when that line is in S3. Raises MlplatError; nothing may be written after that."""
        with self._syncing:
            if self._synced >= line:
                return
            if self._broken is not None:
                raise self._broken
            with self._writing:
                self._body += self._packer.flush(zlib.Z_SYNC_FLUSH)
                upto, body = self._written, bytes(self._body)
            try:
                self._cell.write(body)
            except MlplatError as error:
                self._broken = error
                raise
            self._synced = upto

    def settle(self, line: int) -> None:
        """A result waits for nobody: it goes with the next intent, or after `LINGER`."""
        if self._broken is not None:
            raise self._broken

    def close(self) -> None:
        """End the thread that brings late results."""
        self._closed.set()
        self._lingerer.join()

    def _linger(self) -> None:
        while not self._closed.wait(LINGER):
            with suppress(MlplatError):
                self.sync(self._written)


@contextmanager
def _unwritable() -> Iterator[None]:
    """What S3 refuses, or credentials that have expired, told as a state that can't be written."""
    try:
        yield
    except StateError:
        raise
    except MlplatError as error:
        raise StateError(error.message, hint=error.hint, because=error) from error
