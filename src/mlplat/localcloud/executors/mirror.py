"""Folders of a running job that are copied to S3 as they change: outputs in mode Continuous, and checkpoints."""

from __future__ import annotations

import contextlib
import logging
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlplat.localcloud.executors.s3_data import DataError, Place, upload

log = logging.getLogger(__name__)


class Mirror:
    """A folder whose files are copied to S3 as they change, also while they are being written.

    Symbolic links are not followed. Source: developer guide, "Configures Input and Output For Your Processing
    Container". What is deleted locally stays on S3.
    """

    def __init__(self, s3: Any, folder: Path, place: Place, kms_key: str | None = None) -> None:
        self._s3, self._folder, self._place, self._kms_key = s3, folder, place, kms_key
        self._seen: dict[Path, tuple[int, int]] = {}

    def know(self) -> None:
        """Take what is there now for known: it came from S3."""
        self._seen = dict(self._files())

    def copy(self) -> None:
        """Upload what is new or has changed since. Raises DataError."""
        for file, mark in self._files():
            if self._seen.get(file) == mark:
                continue
            with contextlib.suppress(FileNotFoundError):  # deleted, or renamed as checkpoints are
                upload(self._s3, file, self._place.below(file.relative_to(self._folder).as_posix()), self._kms_key)
                self._seen[file] = mark

    def _files(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for each in sorted(self._folder.rglob("*")):
            with contextlib.suppress(OSError):
                about = each.lstat()
                if stat.S_ISREG(about.st_mode):
                    yield each, (about.st_mtime_ns, about.st_size)


class Copying:
    """Mirrors that are brought up to date once in a while, by a thread of its own, until `close`."""

    def __init__(self, mirrors: Sequence[Mirror], every: float = 1.0) -> None:
        self._mirrors, self._every = mirrors, every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._copy, name="copying to S3", daemon=True)
        if mirrors:
            self._thread.start()

    def close(self) -> None:
        """Copy a last time. Raises DataError."""
        self._end.set()
        if self._mirrors:
            self._thread.join()
        for each in self._mirrors:
            each.copy()

    def _copy(self) -> None:
        while not self._end.wait(self._every):
            for each in self._mirrors:
                try:
                    each.copy()
                except (DataError, OSError) as error:
                    log.warning("copying to S3: %s", error)  # `close` tells the job
