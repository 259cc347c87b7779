"""Which objects were made so recently that not every part of AWS knows them yet."""

from __future__ import annotations

import threading


class Freshness:
    """Counts how often each new object is still not found: `reads` times. With 0 everything is known at once."""

    def __init__(self, reads: int = 0) -> None:
        self.reads = reads
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()

    def note(self, name: str) -> None:
        """An object was made."""
        if self.reads:
            with self._lock:
                self._left[name] = self.reads

    def hides(self, name: str) -> bool:
        """Whether it is not found this time; asking counts as a read."""
        if not self._left:
            return False
        with self._lock:
            left = self._left.pop(name, 0)
            if left > 1:
                self._left[name] = left - 1
            return left > 0
