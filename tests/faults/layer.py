"""The fault layer: what stands between a session and the local cloud, and at which call which thing goes wrong.

A call is known by the address that it is made for, its operation, and how many of that operation this address made
before, so that the same call can be met again in another run whatever the threads do.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from tests.faults.cloud import KEYS, URL, InProcessCloud

from mlplat.aws import Client, Session

READS = re.compile(r"(Describe|Get|List|Head|BatchGet|Search|Simulate|Lookup)[A-Z]")

STATE = "faults.state.json"
"""The state in S3 is called so; its journal and its lock begin so."""

_here = threading.local()


class Killed(BaseException):
    """The process is no more: nobody catches this, and no call is made after it."""


class Call(NamedTuple):
    """A call, the same in every run."""

    address: str
    service: str
    operation: str
    number: int

    @property
    def mutates(self) -> bool:
        """Whether it changes something."""
        return READS.match(self.operation) is None

    def __str__(self) -> str:
        return f"{self.address} {self.service}.{self.operation}#{self.number}"


class Exchange(NamedTuple):
    """One call as a fault sees it: it may send it or not, and answer what it likes."""

    call: Call
    request: AWSPreparedRequest
    wire: Wire

    def send(self) -> AWSResponse:
        """What the cloud answers."""
        return self.wire.cloud.answer(self.request)

    def refuse(self, code: str, message: str, status: int = 400) -> AWSResponse:
        """An error, with nothing done."""
        return self.wire.cloud.refuse(self.request, code, message, status)


Fault = Callable[[Exchange], AWSResponse]


def no_fault(exchange: Exchange) -> AWSResponse:
    """A good day."""
    return exchange.send()


@dataclass
class Wire:
    """What the requests of a session go through. `folder` is where its state lives: a kill freezes that, too."""

    cloud: InProcessCloud
    folder: Path
    fault: Fault = no_fault
    calls: list[Call] = field(default_factory=list)
    struck: bool = False
    """Whether the fault has shown itself."""
    dead: bool = False
    session: FaultySession | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _frozen: Path | None = None

    def begin(self, fault: Fault, session: FaultySession) -> None:
        """A new process, with another day before it."""
        self.fault, self.session, self.struck, self.dead = fault, session, False, False
        self.calls, self._seen = [], Counter()

    @property
    def mutations(self) -> list[Call]:
        """The calls so far that change something."""
        return [call for call in self.calls if call.mutates]

    def attach(self, boto: Any) -> None:
        """Stand before a boto3 client."""
        boto.meta.events.register("before-send", self._send)
        boto.meta.events.register("after-call", self._answered)

    def die(self) -> None:
        """The process ends here: its disk stays as it is now, its threads do nothing any more. Raises Killed."""
        with self._lock:
            if not self.dead:
                self.dead = self.struck = True
                self._frozen = self.folder.with_suffix(".frozen")
                shutil.copytree(self.folder, self._frozen)
                if self.session is not None:
                    self.session.cancelled.set()
        raise Killed

    def bury(self) -> None:
        """What a dead process left on its disk, and nothing of what its threads wrote after its death."""
        if self._frozen is not None:
            shutil.rmtree(self.folder)
            self._frozen.rename(self.folder)
            self._frozen = None

    def _send(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
        with self._lock:
            if self.dead:
                raise Killed
            _, service, operation = event_name.split(".")
            call = self._name(service, operation, object_of(request) or getattr(_here, "address", ""))
            self.calls.append(call)
        answer = self.fault(Exchange(call, request, self))
        if self.dead:
            raise Killed
        return answer

    def _name(self, service: str, operation: str, address: str) -> Call:
        self._seen[address, service, operation] += 1
        return Call(address, service, operation, self._seen[address, service, operation])

    def _answered(self, parsed: dict[str, Any], http_response: Any, model: Any, **_: Any) -> None:
        edit = getattr(self.fault, "answered", None)
        if edit is not None:
            edit(model, parsed, http_response)


def object_of(request: AWSPreparedRequest) -> str:
    """What the state's calls are made for: the object in S3 (the state, its journal, its lock); else nothing."""
    path = urlsplit(request.url).path
    return path.rpartition("/")[2] if STATE in path else ""


@dataclass(frozen=True)
class FaultySession(Session):
    """The product's session, on the wire. Its pauses are short, its waits long enough all the same."""

    wire: Wire | None = None
    pace: float = 0.02
    """How long a second is."""

    def client(self, service: str) -> Client:
        """A client that tells the wire for which address it calls."""
        return _Addressed(self, service, super().client(service).boto)

    def _boto_client(self, service: str, attempts: int = 1) -> Any:
        made = super()._boto_client(service, attempts)
        assert self.wire is not None
        self.wire.attach(made)
        return made

    def pause(self, seconds: float) -> None:
        """Not as long."""
        super().pause(seconds * self.pace)

    def now(self) -> float:
        """And what is counted in pauses runs as much faster."""
        return super().now() / self.pace


class _Addressed(Client):
    def _call(self, operation: str, repeatable: bool, send: Callable[[], Any]) -> Any:
        def addressed() -> Any:
            _here.address = self._session.address
            return send()

        return super()._call(operation, repeatable, addressed)


def session_on(wire: Wire, namespace: str, region: str, like: FaultySession | None = None) -> FaultySession:
    """A session of a new process; `like` lends it its clients, because making those takes longer than all calls."""
    shared: dict[str, Any] = {"_shared": like._shared} if like else {}
    if like:
        like._shared.refused = None
    return FaultySession(namespace, region, endpoint_url=URL, credentials=KEYS, wire=wire, **shared)
