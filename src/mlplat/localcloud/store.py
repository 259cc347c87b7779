"""What the local cloud keeps on disk: one SQLite file, written in whole transactions, read once at start.

Rows are opaque here. They are pickles, so the file is only read when nobody but this user can have written it, and
only by the versions that wrote it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

FORMAT = 1
"""Raise it when what is kept changes in a way that an older or newer local cloud can't read."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS stamp (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    region TEXT NOT NULL, store TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (region, store, name));
CREATE TABLE IF NOT EXISTS backends (
    service TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, part TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (service, account, region, part));
"""


class StoreRefused(Exception):
    """What is kept can't be used any more; the text says why."""


class StoreUnusable(Exception):
    """The file can't be used now, and nothing says that what it holds is lost: a full disk, or one without writes."""


class Name(NamedTuple):
    """One of our own objects."""

    region: str
    store: str
    name: str


class Part(NamedTuple):
    """A piece of one of moto's backends; the backend itself is the part without a name."""

    service: str
    account: str
    region: str
    part: str = ""


@dataclass
class Batch:
    """What one transaction changes. `data` None deletes."""

    objects: dict[Name, tuple[int, bytes] | None] = field(default_factory=dict)
    parts: dict[Part, bytes | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.objects or self.parts)


class Store:
    """The file FOLDER/store.sqlite. Raises StoreRefused when it isn't safe, or isn't ours to read; or StoreUnusable."""

    def __init__(self, folder: Path) -> None:
        file = folder / "store.sqlite"
        _check(folder, 0o700)
        if file.exists() or file.is_symlink():
            _check(file, 0o600)
        else:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            self._db = sqlite3.connect(str(file), check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(SCHEMA)
            self._stamp()
        except sqlite3.OperationalError as error:  # what SQLite takes for damage is another class
            raise StoreUnusable(f"{file}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreRefused(f"{file} is damaged ({error})") from error

    def identity(self) -> dict[str, str]:
        """What the local cloud is known by: its keys and its port, so that what points to it still does."""
        return dict(self._db.execute("SELECT name, value FROM identity"))

    def remember(self, identity: Mapping[str, str]) -> None:
        """Keep what it is known by."""
        self._db.executemany("INSERT OR REPLACE INTO identity VALUES (?, ?)", identity.items())

    def objects(self) -> Iterable[tuple[Name, int, bytes]]:
        """All of our own objects, in the order in which they were made."""
        for *name, number, data in self._db.execute(
            "SELECT region, store, name, number, data FROM objects ORDER BY number"
        ):
            yield Name(*name), number, data

    def parts(self) -> Iterable[tuple[Part, bytes]]:
        """All pieces of moto's backends."""
        for *part, data in self._db.execute("SELECT service, account, region, part, data FROM backends"):
            yield Part(*part), data

    def write(self, batch: Batch) -> None:
        """Everything of the batch, or nothing; it is on the disk when this returns."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for name, row in batch.objects.items():
                self._db.execute("DELETE FROM objects WHERE region = ? AND store = ? AND name = ?", name)
                if row is not None:
                    self._db.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?)", (*name, *row))
            for part, data in batch.parts.items():
                where = "service = ? AND account = ? AND region = ? AND part = ?"
                self._db.execute(f"DELETE FROM backends WHERE {where}", part)  # noqa: S608
                if data is not None:
                    self._db.execute("INSERT INTO backends VALUES (?, ?, ?, ?, ?)", (*part, data))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _stamp(self) -> None:
        ours = versions()
        found = dict(self._db.execute("SELECT name, value FROM stamp"))
        if not found:
            self._db.executemany("INSERT INTO stamp VALUES (?, ?)", ours.items())
        elif found != ours:
            raise StoreRefused(f"what is kept was written by {_told(found)}, and this is {_told(ours)}")


def versions() -> dict[str, str]:
    """What must be the same for pickles to mean the same."""
    from importlib.metadata import version

    return {
        "format": str(FORMAT),
        "moto": version("moto"),
        "python": ".".join(str(each) for each in sys.version_info[:2]),
    }


def _told(stamp: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(stamp.items()))


def _check(path: Path, most: int) -> None:
    """Only what this user alone can write is read; a link may lead anywhere."""
    seen = path.lstat()
    if seen.st_uid != os.geteuid():
        raise StoreRefused(f"{path} belongs to another user")
    if stat.S_ISLNK(seen.st_mode):
        raise StoreRefused(f"{path} is a link")
    if stat.S_IMODE(seen.st_mode) & ~most:
        raise StoreRefused(f"{path} is open to other users (mode {stat.S_IMODE(seen.st_mode):o})")
