"""Time that only pauses move."""

from __future__ import annotations


class Clock:
    """What `time.monotonic` says while a test has it; `Session.pause` moves it on."""

    def __init__(self) -> None:
        self.now, self.pauses = 1000.0, list[float]()

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
