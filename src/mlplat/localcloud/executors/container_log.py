"""What a container prints, on its way to CloudWatch Logs."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from mlplat.localcloud.cloud import Cloud

log = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds that a line waits for others before it is written."""
WAITING = 20_000
"""Lines that may wait; a container that prints faster than they can be written is slowed down."""
EVENTS_A_CALL, BYTES_A_CALL, BYTES_OF_AN_EVENT = 10_000, 1_048_576, 26
"""PutLogEvents' limits, and what each event adds to its text. Source: its API reference."""
LONGEST = 65_536
"""Characters of one event: never more than 256 KB in UTF-8."""


MOST, REFILL = 256 << 20, 1 << 20
"""Bytes that a container may print at once, and each second after that; what is more is counted, and left out."""
KEPT_WITH_AN_EVENT = 600
"""Bytes of memory that an event costs beside its text."""


class Event(NamedTuple):
    """One event of the stream; `time` in milliseconds."""

    time: int
    message: str

    @property
    def size(self) -> int:
        """What it counts towards the limit of a call."""
        return len(self.message.encode()) + BYTES_OF_AN_EVENT


class ContainerLog:
    """One log stream, written in batches by a thread of its own. The group is made when it isn't there."""

    def __init__(self, cloud: Cloud, group: str, stream: str) -> None:
        self._cloud, self._group, self._stream = cloud, group, stream
        self._events: queue.Queue[Event | None] = queue.Queue(WAITING)
        self._newest = 0
        self._allowance, self._since, self._left_out = float(MOST), time.monotonic(), 0
        self._thread = threading.Thread(target=self._write, name=f"log {stream}", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Take a line; waits when too many are on their way, and leaves it out when too many have come."""
        if not self._affords(len(text) + KEPT_WITH_AN_EVENT):
            self._left_out += 1
            return
        self._tell_left_out()
        self._take(text)

    def close(self) -> None:
        """Write what is left and end."""
        self._tell_left_out()
        self._events.put(None)
        self._thread.join()

    def _take(self, text: str) -> None:
        self._newest = max(self._newest, time.time_ns() // 1_000_000)  # the events of a call must be in order
        for part in parts(text):
            self._events.put(Event(self._newest, part))

    def _affords(self, size: int) -> bool:
        now = time.monotonic()
        self._allowance = min(MOST, self._allowance + (now - self._since) * REFILL)
        self._since = now
        if self._allowance < (MOST / 16 if self._left_out else size):  # once it floods, until it has ebbed for a while
            return False
        self._allowance -= size
        return True

    def _tell_left_out(self) -> None:
        if self._left_out:
            self._take(f"The local cloud left out {self._left_out} lines: there were too many")
            self._left_out = 0

    def _write(self) -> None:
        self._make_stream()
        for batch in batches(self._events):
            try:
                self._put([{"timestamp": event.time, "message": event.message} for event in batch])
            except Exception as error:  # a log that can't be written must not end the job
                log.warning("writing to log stream %s: %s", self._stream, error)

    def _put(self, events: list[dict[str, Any]]) -> None:
        logs = self._cloud.aws("logs")
        place = {"logGroupName": self._group, "logStreamName": self._stream}
        try:
            logs.put_log_events(**place, logEvents=events)
        except logs.exceptions.ResourceNotFoundException:  # somebody deleted the group: SageMaker makes it again
            self._make_stream()
            logs.put_log_events(**place, logEvents=events)

    def _make_stream(self) -> None:
        logs = self._cloud.aws("logs")
        group, stream = {"logGroupName": self._group}, {"logStreamName": self._stream}
        for make, name in ((logs.create_log_group, group), (logs.create_log_stream, group | stream)):
            try:
                make(**name)
            except logs.exceptions.ResourceAlreadyExistsException:
                continue
            except Exception as error:
                log.warning("making log stream %s: %s", self._stream, error)


def parts(line: str) -> Iterator[str]:
    """The events of a line: none is empty, and a line that is too long becomes several."""
    text = line.encode("utf-8", "replace").decode() or " "
    for start in range(0, len(text), LONGEST):
        yield text[start : start + LONGEST]


def batches(events: queue.Queue[Event | None]) -> Iterator[list[Event]]:
    """Events for one PutLogEvents each, until None comes out of the queue."""
    batch, size, until = list[Event](), 0, 0.0
    while True:
        try:
            event = events.get(timeout=max(0.0, until - time.monotonic()) if batch else None)
        except queue.Empty:
            event = None
            ended = False
        else:
            ended = event is None
        full = event is not None and (size + event.size > BYTES_A_CALL or len(batch) == EVENTS_A_CALL)
        if batch and (event is None or full):
            yield batch
            batch, size = [], 0
        if ended:
            return
        if event is not None:
            until = until if batch else time.monotonic() + EVERY
            batch.append(event)
            size += event.size
