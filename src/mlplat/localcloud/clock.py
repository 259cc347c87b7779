"""The time by which alarms, schedules, scaling and retries go, and the beat that keeps them going.

It is the machine's time, moved ahead when somebody wants to see what happens later (`ADVANCE` in `control`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two beats. AWS looks at alarms once a minute, or every ten seconds; here nobody waits for it."""


class Clock:
    """The time in UTC."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The time, ahead of the machine's by what it was advanced."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Go ahead."""
        self._ahead += timedelta(seconds=seconds)


class Heart:
    """Calls `beat` with the time, again and again, one call at a time, until it is closed."""

    def __init__(self, clock: Clock, beat: Callable[[datetime], None]) -> None:
        self._clock, self._beat = clock, beat
        self._beating, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """No more beats."""
        self._stop.set()

    def advance(self, seconds: float) -> None:
        """Move the clock ahead, and do what is due by then before this returns."""
        with self._beating:
            self._clock.advance(seconds)
            self._once()

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            with self._beating:
                self._once()

    def _once(self) -> None:
        try:
            self._beat(self._clock.now())
        except Exception:
            log.exception("a beat failed")
