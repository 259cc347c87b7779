"""Many cases, each in a copy of this process: what it does to the in-process cloud is gone with it."""

from __future__ import annotations

import gc
import multiprocessing.connection
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

C = TypeVar("C")
R = TypeVar("R")

PATIENCE = 900
"""Seconds after which a copy is ended by the kernel: hypothesis takes up to 300 to shrink what it has found."""


class Broken(Exception):
    """A copy ended without a result, or raised; the text is its traceback."""


def each(
    cases: Sequence[C], work: Callable[[C], R], *, at_once: int = 2, wanted: Callable[[], bool] = lambda: True
) -> Iterator[tuple[C, R | Broken, float]]:
    """Do `work` for each case in a copy of its own, as long as more are `wanted`.

    Results come as they are ready, with the seconds that they took.
    """
    left, running = list(reversed(cases)), dict[int, tuple[C, int, float]]()
    gc.collect()
    gc.freeze()  # a copy that counts references, and no more, copies few pages
    while left or running:
        if not wanted():
            left.clear()
        while left and len(running) < at_once:
            case = left.pop()
            reader, pid = _fork(case, work)
            running[reader] = (case, pid, time.monotonic())
        for reader in multiprocessing.connection.wait(list(running)):
            case, pid, began = running.pop(reader)  # type: ignore[call-overload]
            yield case, _result(reader, pid), time.monotonic() - began  # type: ignore[arg-type]


def _fork(case: C, work: Callable[[C], R]) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    gc.disable()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
    result: object
    try:
        result = work(case)
    except BaseException:
        result = Broken(traceback.format_exc())
    with os.fdopen(writer, "wb") as pipe:
        pickle.dump(result, pipe)
    os._exit(0)


def _result(reader: int, pid: int) -> R | Broken:  # type: ignore[type-var]
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not told:
        return Broken(f"ended by {os.waitstatus_to_exitcode(status)} without a word")
    found: R | Broken = pickle.loads(told)
    return found
