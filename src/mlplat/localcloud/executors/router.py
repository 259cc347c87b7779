"""Requests to model servers: which variant takes one, and the connections that are kept open to each server."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
            answer = connection.ask(method, path, body, headers or {}, timeout)
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


class _UnixConnection:
    """HTTP/1.1 as two ends of this project speak it: http.client takes longer than many a model."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._sock: socket.socket | None = None
        self._file: BinaryIO | None = None

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> Answer:
        try:
            self._send(_request(method, path, body or b"", headers), timeout)
        except TimeoutError as error:
            raise TimedOut(f"the request was not taken within {timeout:g} seconds") from error
        except OSError as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        try:
            return self._answer()
        except TimeoutError as error:
            raise TimedOut(f"no answer within {timeout:g} seconds") from error
        except (OSError, ValueError, IndexError) as error:
            raise HungUp(str(error) or type(error).__name__) from error

    def close(self) -> None:
        for each in (self._file, self._sock):
            if each is not None:
                each.close()
        self._file = self._sock = None

    def _send(self, request: bytes, timeout: float) -> None:
        if self._sock is None:
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._sock.settimeout(timeout)
            self._connect(self._sock)
            self._file = self._sock.makefile("rb")
        self._sock.settimeout(timeout)
        self._sock.sendall(request)

    def _connect(self, sock: socket.socket) -> None:
        if len(os.fsencode(self._path)) <= LONGEST_PATH:
            sock.connect(self._path)
            return
        folder = os.open(Path(self._path).parent, os.O_RDONLY)
        try:
            sock.connect(f"/proc/self/fd/{folder}/{Path(self._path).name}")
        finally:
            os.close(folder)

    def _answer(self) -> Answer:
        assert self._file is not None
        status = int(self._file.readline().split(b" ", 2)[1])
        length, content_type = None, ""
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"content-type":
                content_type = value.strip().decode("latin-1")
        if length is None:
            raise ValueError("an answer without Content-Length")
        body = self._file.read(length)
        if len(body) < length:
            raise ConnectionResetError("the answer is not whole")
        return Answer(status, content_type, body)


def _request(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("a header's value has a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


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
