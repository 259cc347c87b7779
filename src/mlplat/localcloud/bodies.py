"""The contents of S3's objects: files named by their digest, so that a snapshot of S3 never carries them.

A file is written before anything refers to it, synced before a snapshot that does is committed, and deleted only
after a snapshot that no longer does. What is small stays in memory and in the snapshot.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

SMALL = 4096
"""Bytes up to which a body has no file of its own."""

MANY = 64
"""Files from which on one sync of everything is quicker than one of each."""


class Body:
    """A content on disk. The file may go once nobody holds this any more."""

    __slots__ = ("__weakref__", "_bodies", "digest")

    def __init__(self, bodies: Bodies, digest: str) -> None:
        self._bodies, self.digest = bodies, digest

    def read(self) -> bytes:
        """All of it."""
        return self._bodies.path(self.digest).read_bytes()

    def __reduce__(self) -> tuple[Any, ...]:
        return held, (self.digest,)

    def __del__(self) -> None:
        self._bodies._dropped.append(self.digest)


class Bodies:
    """All contents of one local cloud, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._live: WeakValueDictionary[str, Body] = WeakValueDictionary()
        self._dropped: deque[str] = deque()
        self._unsynced: set[str] = set()
        self._begun = time.time()

    def path(self, digest: str) -> Path:
        """Where the content with this digest is."""
        return self._folder / digest[:2] / digest

    def put(self, content: bytes) -> Body:
        """Keep a content; the same one twice is one file."""
        digest = hashlib.sha256(content).hexdigest()
        body = self.held(digest)  # from here on nobody deletes the file
        path = self.path(digest)
        if not path.exists():
            self._write(path, content)
        return body

    def held(self, digest: str) -> Body:
        """The body with this digest, kept for as long as it is held."""
        with self._lock:
            body = self._live.get(digest)
            if body is None:
                body = self._live[digest] = Body(self, digest)
            return body

    def sync(self) -> None:
        """Make what was written durable."""
        with self._lock:
            fresh, self._unsynced = self._unsynced, set()
        if len(fresh) > MANY:
            os.sync()
            return
        for digest in fresh:
            for path in (self.path(digest), self.path(digest).parent):
                with suppress(FileNotFoundError):
                    _sync(path)

    def dropped(self) -> list[str]:
        """What was let go of since the last call: candidates for `delete`."""
        found = []
        with suppress(IndexError):
            while True:
                found.append(self._dropped.popleft())
        return found

    def put_back(self, digests: Iterable[str]) -> None:
        """Candidates that could not be deleted yet."""
        self._dropped.extend(digests)

    def delete(self, digests: Iterable[str]) -> None:
        """Delete the files of contents that nobody holds. To be called when no snapshot names them any more."""
        for digest in digests:
            with self._lock:
                if digest not in self._live:
                    self.path(digest).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete every file that nobody holds: what a crash has left. To be called once all that is kept is loaded."""
        self.delete(path.name for path in self._folder.glob("??/*") if not path.name.endswith(".new"))
        for path in self._folder.glob("??/*.new"):
            if path.stat().st_mtime < self._begun:
                path.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        new.replace(path)
        with self._lock:
            self._unsynced.add(path.name)


_bodies: list[Bodies] = []


def use(bodies: Bodies) -> None:
    """The contents of this process's local cloud."""
    _bodies[:] = [bodies]


def put(content: bytes) -> Body:
    """Keep a content."""
    return _bodies[0].put(content)


def held(digest: str) -> Body:
    """The body with this digest."""
    return _bodies[0].held(digest)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
