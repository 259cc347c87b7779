"""Requests to model servers: which variant takes one, and the connections that are kept open to each server."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

INVOCATION_TIMEOUT = 60.0
"""Seconds: SageMaker gives a real-time container that long to answer."""

LONGEST_PATH = 100
"""Bytes of a unix socket's path: Linux takes 107, macOS 103. Longer ones are reached through /proc, on Linux."""


@dataclass(frozen=True)
class Answer:
    """What a model server said."""

    status: int
    content_type: str
    body: bytes


class Unreachable(Exception):
    """Nobody listens on the model server's socket: the request was not taken."""


class HungUp(Exception):
    """The model server took the request and ended before it answered."""


class TimedOut(Exception):
    """The model server took longer than SageMaker allows."""


class Connections:
    """Open connections to one model server process; taken by one request at a time, last used first.

    The process closes none of its own accord, so a connection that breaks means that it has ended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[_UnixConnection] = deque()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = INVOCATION_TIMEOUT,
    ) -> Answer:
        """One request and its answer. Raises Unreachable, HungUp or TimedOut."""
        connection = self._take() or _UnixConnection(self._path)
        try:
            connection.settimeout(timeout)
            answer = connection.ask(method, path, body, headers or {})
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return answer

    def _take(self) -> _UnixConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def close(self) -> None:
        """Hang up on every idle connection."""
        while (connection := self._take()) is not None:
            connection.close()


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        if len(os.fsencode(self._path)) <= LONGEST_PATH:
            self.sock.connect(self._path)
            return
        folder = os.open(Path(self._path).parent, os.O_RDONLY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{Path(self._path).name}")
        finally:
            os.close(folder)

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            self.request(method, path, body=body, headers=dict(headers))
        except TimeoutError as error:
            raise TimedOut(f"the request was not taken within {self.timeout:g} seconds") from error
        except OSError as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        try:
            with self.getresponse() as response:
                return Answer(response.status, response.headers.get("Content-Type", ""), response.read())
        except TimeoutError as error:
            raise TimedOut(f"no answer within {self.timeout:g} seconds") from error
        except (OSError, HTTPException) as error:
            raise HungUp(str(error) or type(error).__name__) from error


def as_float32(weight: float) -> float:
    """A weight as SageMaker keeps it: a 32-bit float, so 0.2 is read back as 0.20000000298023224."""
    return float(struct.unpack("f", struct.pack("f", weight))[0])


def choose(weights: Sequence[tuple[str, float]]) -> str | None:
    """A variant by chance, its share being its weight over the sum; None when no weight is above 0."""
    total = sum(weight for _, weight in weights)
    if total <= 0:
        return None
    point = random.random() * total  # noqa: S311 - traffic, not secrets
    for name, weight in weights:
        point -= weight
        if point < 0:
            return name
    return next(name for name, weight in reversed(weights) if weight > 0)
