"""Every request, one JSON line each: time, service, operation, status. No bodies, no secrets, never without bound."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LIMIT = 16 * 1024 * 1024
"""Bytes after which the file becomes `requests.1.jsonl`; one older file is kept."""


class RequestLog:
    """Writes FOLDER/requests.jsonl, a line as each request ends, readable at once by others."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "requests.jsonl"
        self._lock = threading.Lock()
        self._file = self.path.open("ab", buffering=0)

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; `time` is added. A disk that is full, or gone, keeps nobody from an answer."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **record})
        with self._lock, suppress(OSError):
            self._file.write(line.encode() + b"\n")
            if self._file.tell() > LIMIT:
                self._rotate()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _rotate(self) -> None:
        self.path.replace(self.path.with_suffix(".1.jsonl"))
        full, self._file = self._file, self.path.open("ab", buffering=0)
        full.close()


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """All records that are kept, oldest first."""
    for name in ("requests.1.jsonl", "requests.jsonl"):
        path = folder / name
        if path.exists():
            for line in path.read_text().splitlines():
                yield json.loads(line)
