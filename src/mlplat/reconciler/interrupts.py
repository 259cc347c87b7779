"""Ctrl-C while work is in flight: the first lets it finish, the second gives up waits, the third ends at once.

So does a run that takes longer than it may: its waits are given up, and the next run joins them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from mlplat.errors import Interrupted


@contextmanager
def stoppable() -> Iterator[None]:
    """Around a whole command: Ctrl-C and SIGTERM anywhere in it are our Interrupted, with its exit code."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; run the same command again to go on") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _stop(_which: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Interrupts:
    """Within the block, SIGINT and SIGTERM stop the run in order. Other threads than the main one can't listen.

    SIGTERM gives up waits at once: whoever sends it doesn't wait long. What is given up is joined by the next run.
    `at_once`: so does the first Ctrl-C, where nothing is changed.
    """

    def __init__(self, cancelled: threading.Event, within: float | None = None, *, at_once: bool = False) -> None:
        self.cancelled, self.at_once, self.count = cancelled, at_once, 0
        self.late = False
        """Whether the `within` seconds were over before the work was."""
        self._before: dict[signal.Signals, Any] = {}
        self._timer = threading.Timer(within, self._give_up) if within else None

    @property
    def stopped(self) -> bool:
        """Whether nothing new may start."""
        return self.count > 0 or self.cancelled.is_set()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for which in (signal.SIGINT, signal.SIGTERM):
                self._before[which] = signal.signal(which, self._hear)
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for which, handler in self._before.items():
            signal.signal(which, handler)

    def _give_up(self) -> None:
        self.late = True
        self.cancelled.set()

    def _hear(self, which: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.at_once or which == signal.SIGTERM or self.count > 1:
            self.cancelled.set()
        if self.count > 2:
            raise KeyboardInterrupt
