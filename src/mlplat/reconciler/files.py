"""The state as files of this machine: replaced atomically, the one before kept as `.backup`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, suppress
from itertools import count
from pathlib import Path
from shlex import quote

from mlplat.errors import StateError
from mlplat.reconciler import lock
from mlplat.reconciler.backend import Part
from mlplat.reconciler.journal import Writer
from mlplat.reconciler.lock import Holder
from mlplat.reconciler.rescue import write_synced


class Files:
    """`NAMESPACE.state.json` and what stands beside it, in `folder` (`.mlplat`)."""

    mark = ""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.namespace = Path(folder), namespace
        self.path = self.folder / f"{namespace}.state.json"
        self.backup = self.folder / f"{namespace}.state.json.backup"
        self.journal = self.folder / f"{namespace}.state.journal"
        self.lock_path = self.folder / f"{namespace}.lock"

    @property
    def place(self) -> str:
        """The path of the state file."""
        return str(self.path)

    def where(self, part: Part) -> str:
        """The path of a part."""
        return str(self._path(part))

    def read(self, part: Part) -> bytes | None:
        """The content of a file, None when it isn't there."""
        try:
            return self._path(part).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, content: bytes, *, older: int | None = None) -> str | None:
        """New file, fsync, backup, rename, fsync of the folder; then the journal goes."""
        fresh = self.path.with_suffix(".new")
        try:
            self._make_folder()
            write_synced(fresh, content)
            kept = self._spare(older) if self.path.exists() else None
            fresh.replace(self.path)
            _sync_folder(self.folder)
            self.journal.unlink(missing_ok=True)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)  # a full disk needs the room
            raise self._unwritable(error) from error
        return kept

    def begin(self, lineage: str, serial: int) -> Writer:
        """A new journal; the one before, if any, has been folded."""
        return Writer(self.journal, lineage, serial)

    def set_aside(self, part: Part, why: str) -> str:
        """Rename to the first `.<why>-<n>` that is free."""
        path = self._path(part)
        names = (path.with_name(f"{path.name}.{why}-{number}") for number in count(1))
        free = next(name for name in names if not os.path.lexists(name))
        try:
            return str(path.rename(free))
        except OSError as error:
            raise self._unwritable(error) from error

    def lock(self, command: str) -> AbstractContextManager[Holder]:
        """Hold the lock file."""
        self._make_folder()
        return lock.held(self.lock_path, self.namespace, command)

    def holder(self) -> Holder | None:
        """Who stands in the lock file and lives, or may live."""
        return lock.holder(self.lock_path)

    def unlock(self, *, id: str | None = None, force: bool = False) -> Holder | None:
        """Remove the lock file."""
        return lock.unlock(self.lock_path, self.namespace, id=id, force=force)

    def _path(self, part: Part) -> Path:
        return self.path if part == "state" else self.journal

    def _spare(self, older: int | None) -> str | None:
        """Keep the file that is about to be replaced; one of an older format for good."""
        keep = None
        if older is not None:
            keep = self.path.with_name(f"{self.path.name}.format-{older}")
            keep.unlink(missing_ok=True)
            os.link(self.path, keep)
        spare = self.backup.with_suffix(".new-backup")
        spare.unlink(missing_ok=True)
        os.link(self.path, spare)
        spare.replace(self.backup)
        return str(keep) if keep is not None else None

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StateError:
        return StateError(
            f"writing the state file {self.path}: {error}", hint=f"ls -ld {quote(str(self.folder))} && df -h ."
        )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
