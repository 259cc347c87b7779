"""The records of all feature groups: the newest one of each identifier online, and what waits for the offline store.

One SQLite file in WAL mode behind one lock: a write costs tens of microseconds, is there again after a restart, and a
crash loses nothing that was answered. Knows nothing of AWS: groups are keys, records are lists of values.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

Values = list[dict[str, Any]]
"""A record as the API carries it: [{"FeatureName", "ValueAsString" or "ValueAsStringList"}, ...]."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS online (
    grp TEXT NOT NULL, id TEXT NOT NULL, event INTEGER NOT NULL, record TEXT, expires INTEGER,
    PRIMARY KEY (grp, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS online_expires ON online (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS offline (
    number INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL, event INTEGER NOT NULL, record TEXT NOT NULL,
    invoked INTEGER NOT NULL, deleted INTEGER NOT NULL);
"""

ROWS_A_STATEMENT, NUMBERS_A_STATEMENT = 25, 500
"""What one statement writes, as much as a BatchWriteRecord has, and deletes; SQLite before 3.32 takes 999 values."""


@cache
def _put(rows: int) -> str:
    """Many rows go in one statement: between two of them other threads take the interpreter, and keep it."""
    return f"""INSERT INTO online (grp, id, event, record, expires) VALUES {_marks(rows)}
        ON CONFLICT (grp, id) DO UPDATE SET event = excluded.event, record = excluded.record, expires = excluded.expires
        WHERE excluded.event >= online.event"""  # noqa: S608


@cache
def _append(rows: int) -> str:
    return f"INSERT INTO offline (grp, event, record, invoked, deleted) VALUES {_marks(rows)}"  # noqa: S608


def _marks(rows: int) -> str:
    return ", ".join(["(?, ?, ?, ?, ?)"] * rows)


@dataclass(frozen=True)
class Online:
    """What the online store holds for one identifier; `values` is None after a soft delete. Times in microseconds."""

    event: int
    values: Values | None
    expires: int | None


class Write(NamedTuple):
    """One record to be written. `online` and `offline` say where to; times are in microseconds since the epoch."""

    group: str
    id: str
    event: int
    record: str
    """Values as JSON."""
    expires: int | None = None
    online: bool = True
    offline: bool = False


@dataclass(frozen=True)
class Appended:
    """A row on its way to the offline store."""

    number: int
    event: int
    values: Values
    invoked: int
    deleted: bool


class Records:
    """The store of one account and region, in `file`."""

    def __init__(self, file: Path | str) -> None:
        self._lock = Lock()
        self._db = sqlite3.connect(str(file), check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def put(self, writes: Collection[Write], now: int) -> None:
        """Write records in one transaction. Online the newest event time wins, and an equal one overwrites."""
        online = [(each.group, each.id, each.event, each.record, each.expires) for each in writes if each.online]
        offline = [(each.group, each.event, each.record, now, 0) for each in writes if each.offline]
        with self._transaction() as db:
            _insert(db, _put, online)
            _insert(db, _append, offline)

    def replace(self, write: Write, seen: int | None, now: int) -> bool:
        """Put `write` if the online event time still is `seen` (None: nothing there); False when it has moved on."""
        with self._transaction() as db:
            row = db.execute("SELECT event FROM online WHERE grp = ? AND id = ?", (write.group, write.id)).fetchone()
            if (row[0] if row else None) != seen:
                return False
            if write.online:
                _insert(db, _put, [(write.group, write.id, write.event, write.record, write.expires)])
            if write.offline:
                _insert(db, _append, [(write.group, write.event, write.record, now, 0)])
        return True

    def get(self, group: str, ids: Sequence[str], now: int) -> dict[str, Online]:
        """What is online and not expired, by identifier; soft-deleted ones are there with `values` None."""
        marks = ",".join("?" * len(ids))
        query = f"SELECT id, event, record, expires FROM online WHERE grp = ? AND id IN ({marks})"  # noqa: S608
        with self._lock:
            rows = self._db.execute(query, (group, *ids)).fetchall()
        return {
            id: Online(event, json.loads(record) if record else None, expires)
            for id, event, record, expires in rows
            if expires is None or expires > now
        }

    def delete(self, mark: Write, now: int, *, hard: bool) -> bool:
        """Delete `mark.id` as of `mark.event`; False when what is online is not older, and then it stays.

        A soft delete leaves a tombstone that keeps older records out and appends its marker offline in any case; a
        hard one that fails appends nothing. `mark.record` is the marker that the offline store keeps.
        """
        with self._transaction() as db:
            row = db.execute("SELECT event FROM online WHERE grp = ? AND id = ?", (mark.group, mark.id)).fetchone()
            newer = row is None or mark.event > row[0]
            if mark.online and newer:
                _remove(db, mark, hard)
            if mark.offline and (newer or not hard or not mark.online):
                _insert(db, _append, [(mark.group, mark.event, mark.record, now, 1)])
        return newer

    def identifiers(self, group: str, after: str, limit: int, now: int, *, deleted: bool) -> list[str]:
        """Up to `limit` identifiers greater than `after`, in order; soft-deleted ones only if `deleted`."""
        query = """SELECT id FROM online WHERE grp = ? AND id > ? AND (expires IS NULL OR expires > ?)
                   AND (record IS NOT NULL OR ?) ORDER BY id LIMIT ?"""
        with self._lock:
            return [id for (id,) in self._db.execute(query, (group, after, now, deleted, limit))]

    def expire(self, now: int) -> list[tuple[str, str, int]]:
        """Take out what has outlived its time to live: (group, identifier, when it expired)."""
        with self._transaction() as db:
            gone = db.execute("SELECT grp, id, expires FROM online WHERE expires <= ?", (now,)).fetchall()
            db.execute("DELETE FROM online WHERE expires <= ?", (now,))
        return gone

    def next_expiry(self) -> int | None:
        """When the first record will have outlived its time to live."""
        with self._lock:
            row = self._db.execute("SELECT min(expires) FROM online WHERE expires IS NOT NULL").fetchone()
        return None if row[0] is None else int(row[0])

    def append(self, mark: Write, now: int) -> None:
        """A deletion marker for the offline store alone, as expiry leaves it."""
        with self._transaction() as db:
            _insert(db, _append, [(mark.group, mark.event, mark.record, now, 1)])

    def waiting(self, limit: int, without: Collection[str] = ()) -> dict[str, list[Appended]]:
        """The oldest `limit` rows that the offline store has not got yet, by group; not those of some groups."""
        query = f"""SELECT number, grp, event, record, invoked, deleted FROM offline
                    WHERE grp NOT IN ({",".join("?" * len(without))}) ORDER BY number LIMIT ?"""  # noqa: S608
        found: dict[str, list[Appended]] = {}
        with self._lock:
            rows = self._db.execute(query, (*without, limit)).fetchall()
        records = json.loads(f"[{','.join(row[3] for row in rows)}]")  # far faster than one by one
        for (number, group, event, _, invoked, deleted), values in zip(rows, records, strict=True):
            found.setdefault(group, []).append(Appended(number, event, values, invoked, bool(deleted)))
        return found

    def stored(self, rows: Collection[Appended]) -> None:
        """Rows that are in the offline store now wait no longer."""
        with self._transaction() as db:
            for numbers in _parts([row.number for row in rows], NUMBERS_A_STATEMENT):
                marks = ",".join("?" * len(numbers))
                db.execute(f"DELETE FROM offline WHERE number IN ({marks})", numbers)  # noqa: S608

    def keep_only(self, name: str, group: str) -> None:
        """Forget the online records of earlier groups `<name>@...`; what waits for the offline store still goes."""
        with self._transaction() as db:
            bounds = (f"{name}@", f"{name}A", group)  # "A" follows "@"
            db.execute("DELETE FROM online WHERE grp >= ? AND grp < ? AND grp != ?", bounds)

    def close(self) -> None:
        """Close the file; what waits for the offline store is there again when it is opened."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _remove(db: sqlite3.Connection, mark: Write, hard: bool) -> None:
    if hard:
        db.execute("DELETE FROM online WHERE grp = ? AND id = ?", (mark.group, mark.id))
    else:
        _insert(db, _put, [(mark.group, mark.id, mark.event, None, mark.expires)])


def _insert(db: sqlite3.Connection, statement: Callable[[int], str], rows: Sequence[tuple[Any, ...]]) -> None:
    for part in _parts(rows, ROWS_A_STATEMENT):
        db.execute(statement(len(part)), tuple(chain.from_iterable(part)))


def _parts(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (things[at : at + size] for at in range(0, len(things), size))
