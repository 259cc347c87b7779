"""A disk that fails: the calls of the operating system that write under some folders, from one of them on."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

FULL, READ_ONLY = errno.ENOSPC, errno.EROFS

WRITES = ("write", "pwrite", "fsync", "ftruncate")
"""Calls with the handle of a file."""

CHANGES = {"mkdir": 0, "link": 1, "replace": 1, "rename": 1, "unlink": 0}
"""Calls with paths, and which of them says where something is changed."""

FREE = frozenset({"open", "unlink", "replace", "rename", "ftruncate"})
"""What a full disk still does."""


@dataclass
class Disk:
    """Within the block the `at`-th write under `folders` fails, and every later one. `at` None: none does."""

    folders: Sequence[Path]
    at: int | None = None
    error: int = FULL
    counts: dict[int, int] = field(default_factory=lambda: {FULL: 0, READ_ONLY: 0})
    """Writes so far that a disk with such an error would refuse."""
    struck: bool = False
    when: Callable[[], None] = lambda: None
    """Told of the first write that fails."""
    _handles: set[int] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.RLock)
    _patches: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        for name in WRITES:
            self._around(name, self._writing)
        for name, which in CHANGES.items():
            self._around(name, lambda do, *args, _which=which, **more: self._changing(do, _which, *args, **more))
        self._around("open", self._opening)
        self._around("close", self._closing)
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def _around(self, name: str, instead: Callable[..., Any]) -> None:
        do = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            return instead(do, *args, **more)

        call.__name__ = name
        self._patches.enter_context(patch.object(os, name, call))

    def _opening(self, do: Any, path: Any, flags: int, *args: Any, **more: Any) -> int:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and self._is_here(path):
            self._count("open" if Path(os.fsdecode(path)).exists() else "create")
            handle = int(do(path, flags, *args, **more))
            with self._lock:
                self._handles.add(handle)
            return handle
        return int(do(path, flags, *args, **more))

    def _closing(self, do: Any, handle: int) -> None:
        with self._lock:
            self._handles.discard(handle)
        do(handle)

    def _writing(self, do: Any, handle: int, *args: Any) -> Any:
        if handle in self._handles:
            self._count(do.__name__)
        return do(handle, *args)

    def _changing(self, do: Any, which: int, *args: Any, **more: Any) -> Any:
        if self._is_here(args[which]):
            self._count(do.__name__)
        return do(*args, **more)

    def _is_here(self, path: Any) -> bool:
        where = Path(os.fsdecode(path))
        return any(where == folder or folder in where.parents for folder in self.folders)

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[READ_ONLY] += 1
            self.counts[FULL] += what not in FREE
            if self.at is None or self.counts[self.error] <= self.at or (self.error == FULL and what in FREE):
                return
            first, self.struck = not self.struck, True
        if first:
            self.when()
        raise OSError(self.error, os.strerror(self.error))
