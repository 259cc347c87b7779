"""What has changed since the last snapshot: noted by whoever changes it, taken by whoever writes it down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

EVERYTHING = "*"
"""For changes that may be anywhere: tags, for instance."""


class Changes:
    """Services of moto, by region, that may have changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[tuple[str, str]] = set()

    def mark(self, service: str, region: str) -> None:
        """Something of this service has changed; `service` is botocore's name or moto's."""
        with self._lock:
            self._seen.add((service.replace("-", ""), region))

    def take(self) -> set[tuple[str, str]]:
        """All that was noted; from now on it isn't any more."""
        with self._lock:
            seen, self._seen = self._seen, set()
        return seen

    def put_back(self, seen: set[tuple[str, str]]) -> None:
        """What was taken and could not be written."""
        with self._lock:
            self._seen |= seen


class WatchedLock:
    """A reentrant lock that counts how often it was let go: what it protects may have changed since."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.count = 0
        self.watch: Callable[[], None] | None = None
        """Called just before it is let go for good, still held."""
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As threading's."""
        taken = self._lock.acquire(blocking, timeout)
        self._depth += taken
        return taken

    def release(self) -> None:
        """As threading's."""
        self.count += 1
        try:
            if self._depth == 1 and self.watch is not None:
                self.watch()
        finally:
            self._depth -= 1
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()
