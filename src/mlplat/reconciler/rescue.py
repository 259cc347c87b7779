"""Where a state goes that can't be written where it belongs: a recovery file, for the next run to pick up.

It is a whole state file under another name, beside the state file or, when that fails too, in the system's folder for
temporary files, under a name that only this folder and namespace have.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlplat.reconciler.entries import State
from mlplat.reconciler.formats import NewerFormat


@dataclass(frozen=True)
class Kept:
    """A state that a recovery file holds."""

    path: Path
    state: State
    mark: str = ""
    """The version of the state that it continues; a recovery of any other is out of date."""


class Rescue:
    """The recovery files of one namespace's state in `folder`.

    `mark` tells which version of the state would be continued: where others write it too, they may have gone on since.
    """

    def __init__(self, folder: Path, namespace: str, mark: Callable[[], str] = lambda: "") -> None:
        self._folder, self._namespace, self._mark = folder, namespace, mark

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where they may be, the better place first."""
        name = f"{self._namespace}.{self._mark()}.recovery.json" if self._mark() else f"{self._namespace}.recovery.json"
        return tuple(folder / f"{start}{name}" for folder, start in self._places())

    def keep(self, state: State) -> Path | None:
        """Write the state where it can be written; None when it can't be anywhere."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        for path in self.paths:
            try:
                write_synced(path, state.dumps())
            except OSError:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            else:
                return path
        return None

    def read(self) -> list[Kept]:
        """Every readable recovery file; a cut one, or one that isn't ours, holds nothing that can be believed."""
        return list(self._readable())

    def _places(self) -> tuple[tuple[Path, str], ...]:
        """Folders, and what the names of our files in them begin with."""
        folder = hashlib.sha256(os.fsencode(self._folder.resolve())).hexdigest()[:12]
        return (self._folder, ""), (Path(tempfile.gettempdir()), f"mlplat-{os.getuid()}-{folder}-")

    def _readable(self) -> Iterator[Kept]:
        for folder, start in self._places():
            head = f"{start}{self._namespace}."
            for path in sorted(folder.glob(f"{head}*recovery.json")):
                with suppress(OSError, ValueError, NewerFormat):
                    state = State.loads(_own(path))
                    if state.namespace == self._namespace:
                        yield Kept(path, state, path.name.removeprefix(head).removesuffix("recovery.json").strip("."))


def write_synced(path: Path, content: bytes) -> None:
    """Write a file that only the user can read, and return when it is on disk. Follows no link in its place."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(handle)
    finally:
        os.close(handle)


def _own(path: Path) -> bytes:
    """The content of a file of the user's own: anybody may write to the folder for temporary files."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if about.st_uid != os.getuid() or not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{path} belongs to somebody else")
        return file.read()
