"""The journal beside a state file: one line a change, on disk before the change is relied on.

It exists so that saving around every step costs one short write instead of the whole state. Each line carries a
checksum; a last line that was cut by a crash is not there, any other damage is an error. Its first line says
which state it continues.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplat.reconciler.formats import FORMAT, NewerFormat


class Damaged(Exception):
    """A line before the last one isn't what was written."""


@dataclass(frozen=True)
class Record:
    """One change: the value that `key` has now in a part of the state ("entries", "releases"); None: it is gone."""

    part: str
    key: str
    value: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """As a line keeps it."""
        return {"part": self.part, "key": self.key, "value": self.value}


@dataclass(frozen=True)
class Journal:
    """A journal as it was read: which state it continues, and the changes since."""

    lineage: str
    serial: int
    records: tuple[Record, ...]
    format: int = FORMAT

    @property
    def end(self) -> int:
        """The serial of the state that it leads to."""
        return self.serial + len(self.records)

    @classmethod
    def parse(cls, content: bytes) -> Journal | None:
        """None when it ended before its first line was whole. Raises `Damaged`, and `NewerFormat` for a newer one."""
        *lines, _cut = content.split(b"\n")
        values = [_parse(line) for line in lines]
        if values and values[-1] is None:
            values.pop()
        good = [value for value in values if value is not None]
        if len(good) < len(values):
            raise Damaged(f"line {values.index(None) + 1} is not what was written")
        if not good:
            return None
        head, *records = good
        if head["format"] > FORMAT:
            raise NewerFormat(head["format"])
        return cls(head["lineage"], head["serial"], tuple(Record(**each) for each in records), head["format"])


class Writer:
    """Appends to a new journal. Threads share it; those that come while the disk is busy are synced together."""

    def __init__(self, path: Path, lineage: str, serial: int) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._writing, self._syncing = threading.Lock(), threading.Lock()
        self._written = self._synced = 0
        self._broken: OSError | None = None
        self.sync(self.write({"format": FORMAT, "lineage": lineage, "serial": serial}))

    def write(self, value: Mapping[str, Any]) -> int:
        """Append a line; the answer is for `sync`. After the first OSError every further call raises it again."""
        line = line_of(value)
        with self._writing:
            self._guarded(lambda: _write_all(self._handle, line))
            self._written += 1
            return self._written

    def sync(self, line: int) -> None:
        """Return when that line is on disk."""
        with self._syncing:
            if self._synced < line:
                upto = self._written
                self._guarded(lambda: os.fsync(self._handle))
                self._synced = upto

    def settle(self, line: int) -> None:
        """The same: a disk is fast."""
        self.sync(line)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._handle)

    def _guarded(self, act: Callable[[], None]) -> None:
        """After a failed write nobody knows what is on disk, so nothing may follow it."""
        if self._broken is not None:
            raise OSError(*self._broken.args)
        try:
            act()
        except OSError as error:
            self._broken = error
            raise


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def line_of(value: Mapping[str, Any]) -> bytes:
    """A line as it stands in a journal, with its checksum."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> dict[str, Any] | None:
    """None for a line that is not whole."""
    check, _, text = line.partition(b" ")
    if len(check) != 8 or check != b"%08x" % zlib.crc32(text):
        return None
    value: dict[str, Any] = json.loads(text)
    return value
