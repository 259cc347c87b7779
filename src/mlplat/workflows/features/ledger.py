"""How far an ingestion has come: a SQLite file per group and content, so that a second run goes on where one ended.

It also keeps which keys have been seen, to find rows that are there twice, and the rows that were refused; all on
disk, because a file may have more rows than memory has room for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlplat.workflows.features.sources import WHERE, WHY

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS keys (hash BLOB PRIMARY KEY, number INTEGER NOT NULL, place TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY, place TEXT, reason TEXT, row TEXT);
"""


class Ledger:
    """One ingestion. Rows are numbered from 0 over all its files; those below `watermark` are dealt with for good."""

    def __init__(self, path: Path | None) -> None:
        """`path` is None for what can be read only once: nothing is kept."""
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(str(path) if path else "", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        self._db.execute("BEGIN")
        self.watermark = int(self.fact("watermark") or 0)
        for table in ("keys", "refused"):  # what was read but not written when the last run ended is read again
            self._db.execute(f"DELETE FROM {table} WHERE number >= ?", (self.watermark,))  # noqa: S608

    def fact(self, name: str) -> str | None:
        """Something remembered about the ingestion."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> str:
        """Remember it, unless there is a value already; returns what is remembered."""
        self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
        return self.fact(name) or value

    def earlier(self, key: Sequence[str], number: int, where: str) -> str | None:
        """Where a row with the same key was before this one; None when this is the first."""
        digest = hashlib.blake2b("\0".join(key).encode(), digest_size=16).digest()
        done = self._db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", (digest, number, where))
        if done.rowcount:
            return None
        return str(self._db.execute("SELECT place FROM keys WHERE hash = ?", (digest,)).fetchone()[0])

    def refuse(self, number: int, where: str, reason: str, row: Any) -> None:
        """Keep a row that can't be written, and why."""
        text = json.dumps(row, default=str)
        self._db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)", (number, where, reason, text))

    def refused(self, limit: int = -1) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(where, reason, row) of the rows that were refused, in their order."""
        found = self._db.execute("SELECT place, reason, row FROM refused ORDER BY number LIMIT ?", (limit,))
        return ((where, reason, json.loads(row)) for where, reason, row in found)

    @property
    def refusals(self) -> int:
        """How many rows were refused."""
        return int(self._db.execute("SELECT count(*) FROM refused").fetchone()[0])

    def save(self, watermark: int) -> None:
        """All rows below `watermark` are dealt with: on disk now."""
        self.watermark = watermark
        self._db.execute("INSERT OR REPLACE INTO facts VALUES ('watermark', ?)", (str(watermark),))
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def finish(self, facts: dict[str, str]) -> None:
        """The ingestion is done: remember that, and forget the keys."""
        for name, value in facts.items():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
        self._db.execute("DELETE FROM keys")
        self._db.execute("COMMIT")
        self._db.execute("VACUUM")
        self._db.execute("BEGIN")

    def write_refused(self, path: Path) -> None:
        """The refused rows as JSON lines, each with where it was and why; the file can be mended and ingested."""
        with path.open("w", encoding="utf-8") as stream:
            for where, reason, row in self.refused():
                stream.write(json.dumps({WHERE: where, WHY: reason, **row}) + "\n")

    def close(self) -> None:
        """Close the file; what was not saved is read again by the next run."""
        self._db.close()
