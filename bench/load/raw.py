"""Clients that cost next to nothing: requests that boto3 has signed beforehand, sent by one thread."""

from __future__ import annotations

import re
import selectors
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

Place = str | tuple[str, int]
"""A unix socket's path, or host and port."""


@dataclass
class Load:
    """What a run of requests came to."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    @property
    def p50(self) -> float:
        """Milliseconds."""
        return statistics.median(self.latencies) * 1000


class Wire:
    """One client: sends its requests one after the other, and connects again when it was hung up on."""

    def __init__(self, place: Place, requests: Iterator[bytes]) -> None:
        self.place, self.requests = place, requests
        self.sock: socket.socket | None = None
        self.answer, self.begun = b"", 0.0

    def send(self) -> bool:
        """Send the next request; False when there is none left."""
        request = next(self.requests, None)
        if request is None:
            self.close()
            return False
        self.begun, self.answer = time.perf_counter(), b""
        if self.sock is None:
            self.sock = socket.socket(socket.AF_UNIX if isinstance(self.place, str) else socket.AF_INET)
            if not isinstance(self.place, str):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.connect(self.place)
        self.sock.sendall(request)
        return True

    def receive(self) -> bool:
        """Read what there is; True once the answer is whole."""
        assert self.sock is not None
        chunk = self.sock.recv(1 << 16)
        self.answer += chunk
        head, end, body = self.answer.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if chunk and (not end or not length or len(body) < int(length[1])):
            return False
        status = int(head.split(b" ", 2)[1])
        if status != 200:
            raise SystemExit(f"{status}: {self.answer[:2000]!r}")
        if not chunk or re.search(rb"\r\nconnection: *close", head, re.IGNORECASE):
            self.close()
        return True

    def close(self) -> None:
        """Hang up."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def drive(place: Place, requests: Sequence[Iterator[bytes]]) -> Load:
    """All clients at once, each in a closed loop."""
    load, begun = Load(), time.perf_counter()
    with selectors.DefaultSelector() as selector:

        def turn(wire: Wire) -> None:
            if wire.send():
                selector.register(wire.sock, selectors.EVENT_READ, wire)  # type: ignore[arg-type]

        for each in requests:
            turn(Wire(place, each))
        while selector.get_map():
            for key, _ in selector.select():
                wire: Wire = key.data
                known = wire.sock
                if wire.receive():
                    load.latencies.append(time.perf_counter() - wire.begun)
                    selector.unregister(known)  # type: ignore[arg-type]
                    turn(wire)
    load.seconds = time.perf_counter() - begun
    return load


class Signed:
    """Signs requests as boto3 does, and gives their bytes instead of sending them."""

    def __init__(self, url: str, access_key: str = "test", secret_key: str = "test") -> None:
        self.url = url
        self.place = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._session = boto3.Session(access_key, secret_key, region_name="us-east-1")
        self._clients: dict[str, Any] = {}
        self._seen: list[bytes] = []

    def client(self, service: str, **config: Any) -> Any:
        """A client that does send."""
        return self._session.client(service, endpoint_url=self.url, config=Config(**config))

    def __call__(self, service: str, operation: str, **members: Any) -> bytes:
        """The request of one call."""
        if service not in self._clients:
            self._clients[service] = made = self.client(service, retries={"total_max_attempts": 1})
            made.meta.events.register("before-send", _keep)
        try:
            getattr(self._clients[service], operation)(**members)
        except Kept as kept:
            return kept.request
        raise AssertionError("the request was sent")


class Kept(Exception):
    """A request that was signed and not sent."""

    def __init__(self, request: bytes) -> None:
        super().__init__("kept")
        self.request = request


def _keep(request: Any, **_: Any) -> None:
    host, slash, path = request.url.partition("//")[2].partition("/")
    body = request.body or b""
    body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else body.read()
    given = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    given = {name: value for name, value in given.items() if name.lower() not in ("expect", "content-length")}
    given |= {"Host": host, "Content-Length": str(len(body))}
    lines = [f"{request.method} {slash}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    raise Kept("\r\n".join(lines).encode() + body)
