"""A cloud in memory, and kinds that live in it: for tests of the reconciler, without AWS and without waiting.

Honest about: ownership tags set in the create call, ids given by the cloud or by name, references that must exist,
deletes refused while something holds on to the object, names that exist already, writes that show late, calls
that fail, are lost on the way there or back, or are the process's last. Left out: quotas, permissions by action,
partial creates, and every limit on names and values.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from mlplat.aws import Session
from mlplat.errors import ApiError, Interrupted, OutcomeUnknown
from mlplat.resources.base import KINDS, Observed, Ref, Resource

T = TypeVar("T")


class Killed(BaseException):
    """The process ends here: nothing that would happen after it may happen."""


@dataclass
class Thing:
    """One object in the fake cloud."""

    kind: str
    id: str
    fields: dict[str, Any]
    tags: dict[str, str]
    failed: str | None = None
    data: int = 0
    hidden: int = 0
    """So many reads don't see it yet."""
    before: dict[str, Any] | None = None
    stale: int = 0
    """So many reads see the fields of `before`."""

    def holds(self, id: str) -> bool:
        """Whether its links keep what they refer to."""
        return self.kind == FakeGate.kind and id in self.fields["links"]


@dataclass
class FakeCloud:
    """Objects by kind and id; `faults` says what happens to the n-th mutating call (from 0)."""

    things: dict[tuple[str, str], Thing] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    """refuse: an error; drop: done, but the answer is lost; lose: not done; kill_before, kill_after: the last."""
    always: dict[tuple[str, str], Exception] = field(default_factory=dict)
    """(verb, name) -> raised by every such call."""
    unreadable: dict[str, Exception] = field(default_factory=dict)
    """name -> raised by every read of it."""
    delay: float = 0.0
    """Seconds that every call takes."""
    lag: int = 0
    """Reads that a new object stays invisible for, and an update stale."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """(verb, name) of every mutating call that was let through, in order."""
    reads: Counter[str] = field(default_factory=Counter)
    dangling: list[tuple[str, str]] = field(default_factory=list)
    """(deleted, user) where a user's `links` still named what was deleted."""
    killed: threading.Event = field(default_factory=threading.Event)
    in_flight: int = 0
    most_in_flight: int = 0
    on_call: Callable[[str, str], None] = lambda _verb, _name: None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _count: Iterator[int] = field(default_factory=itertools.count)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def find(self, name: str) -> list[Thing]:
        """Every object of a name."""
        return [thing for thing in self.things.values() if thing.fields["name"] == name]

    def of(self, address: str) -> list[Thing]:
        """Every object that carries the tags of an address."""
        return [thing for thing in self.things.values() if thing.tags.get("mlplat:address") == address]

    def named(self, name: str) -> Thing:
        """The one object of a name."""
        (thing,) = self.find(name)
        return thing

    def live(self) -> None:
        """Raises Killed when the process has been ended."""
        if self.killed.is_set():
            raise Killed

    def mutate(self, verb: str, name: str, act: Callable[[], T]) -> T:
        """One mutating call, with whatever `faults` has for it."""
        self.live()
        self.on_call(verb, name)
        with self._busy(), self._lock:
            fault = self.faults.get(next(self._count))
            if fault == "kill_before":
                self.die()
            if (verb, name) in self.always:
                raise self.always[verb, name]
            if fault == "refuse":
                raise refused(verb, "InternalFailure", "the fake cloud says no")
            if fault == "lose":
                raise unknown(verb)
            result = act()
            self.calls.append((verb, name))
            if fault == "kill_after":
                self.die()
            if fault == "drop":
                raise unknown(verb)
            return result

    def read(self, what: str, act: Callable[[], T]) -> T:
        """One reading call."""
        self.live()
        with self._busy(), self._lock:
            self.reads[what] += 1
            if what in self.unreadable:
                raise self.unreadable[what]
            return act()

    def die(self) -> None:
        """End the process."""
        self.killed.set()
        raise Killed

    def new_id(self, kind: str) -> str:
        """As AWS names things."""
        return f"{kind.removeprefix('fake_')}-{next(self._ids):04}"

    @contextmanager
    def _busy(self) -> Iterator[None]:
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay:
                time.sleep(self.delay)
            yield
        finally:
            with self._lock:
                self.in_flight -= 1


@dataclass(frozen=True)
class FakeSession(Session):
    """A session to the fake cloud. Pauses take no time; `pauses` counts them."""

    cloud: FakeCloud = field(default_factory=FakeCloud)
    pauses: list[float] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        """Notes the pause and goes on, unless cancelled."""
        self.cloud.live()
        self.pauses.append(seconds)
        if self.cancelled.is_set():
            raise Interrupted(f"stopped while waiting for {self.address}")


def session(cloud: FakeCloud, namespace: str = "test") -> FakeSession:
    """A session of its own on a cloud."""
    return FakeSession(namespace=namespace, region="us-east-1", cloud=cloud)


def refused(operation: str, code: str, reason: str) -> ApiError:
    """What AWS says."""
    return ApiError(service="fake", operation=operation, code=code, reason=reason, status=400, request_id="R-1")


def unknown(operation: str) -> OutcomeUnknown:
    """What is said when the answer didn't come."""
    return OutcomeUnknown(service="fake", operation=operation, code="ReadTimeout", reason="no answer", status=0)


@dataclass(frozen=True, kw_only=True)
class Fake(Resource):
    """What all fake kinds share. `host` can't change and is held on to; `links` can, and only have to exist."""

    named_by_cloud: ClassVar[bool] = False

    color: str = "red"
    shape: str = "round"
    host: str | Ref = ""
    links: Sequence[str | Ref] = ()

    def desired(self) -> dict[str, Any]:
        return super().desired() | {"links": sorted(self.links, key=str)}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        cloud = cloud_of(aws)
        return cloud.read(self.name, lambda: self._see(cloud, self._locate(cloud, aws, id)))

    def create(self, aws: Session) -> str:
        cloud = cloud_of(aws)

        def make() -> str:
            if not self.named_by_cloud and (self.kind, self.name) in cloud.things:
                raise refused("create", "AlreadyExists", f"{self.name} exists")
            self._check_refs(cloud)
            id = cloud.new_id(self.kind) if self.named_by_cloud else self.name
            cloud.things[self.kind, id] = Thing(self.kind, id, self._stored(), dict(aws.tags), hidden=cloud.lag)
            return id

        return cloud.mutate("create", self.name, make)

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        cloud = cloud_of(aws)

        def change() -> None:
            thing = cloud.things[self.kind, seen.id]
            if fixed := changed & self.immutable:
                raise refused("update", "ValidationException", f"{sorted(fixed)} can't change")
            self._check_refs(cloud)
            thing.before, thing.stale = dict(thing.fields), cloud.lag
            stored = self._stored()
            thing.fields |= {name: stored[name] for name in changed - {"tags"}}
            if "tags" in changed:
                outdated = aws.outdated(thing.tags)
                thing.tags = {key: value for key, value in thing.tags.items() if key not in outdated} | aws.tags

        cloud.mutate("update", self.name, change)

    def delete(self, aws: Session, id: str) -> None:
        cloud = cloud_of(aws)

        def remove() -> None:
            users = [thing for thing in cloud.things.values() if thing.fields["host"] == id or thing.holds(id)]
            if users:
                raise refused("delete", "DependencyViolation", f"{id} is used by {users[0].id}")
            thing = cloud.things.get((self.kind, id))
            if thing is not None and thing.data:
                raise refused("delete", "NotEmpty", f"{id} is not empty")
            cloud.things.pop((self.kind, id), None)
            cloud.dangling += [(id, thing.id) for thing in cloud.things.values() if id in thing.fields["links"]]

        cloud.mutate("delete", self.name, remove)

    def _stored(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in ("name", "color", "shape", "host")}
        return fields | {"links": sorted(map(str, self.links))}

    def _check_refs(self, cloud: FakeCloud) -> None:
        ids = {id for _, id in cloud.things}
        for id in (self.host, *self.links):
            if id and id not in ids:
                raise refused("write", "ValidationException", f"{id} does not exist")

    def _locate(self, cloud: FakeCloud, aws: Session, id: str | None) -> Thing | None:
        key = (self.kind, id or self.name)
        if key in cloud.things or not self.named_by_cloud:
            return cloud.things.get(key)
        tagged = [thing for thing in cloud.of(aws.address) if thing.tags.get("mlplat:namespace") == aws.namespace]
        assert len(tagged) < 2, f"two objects carry the tags of {aws.address}"
        return tagged[0] if tagged else None

    @classmethod
    def _see(cls, cloud: FakeCloud, thing: Thing | None) -> Observed | None:
        if thing is None:
            return None
        if thing.hidden:
            thing.hidden -= 1
            return None
        fields = thing.fields
        if thing.stale and thing.before is not None:
            thing.stale -= 1
            fields = thing.before
        outputs = {"id": thing.id, "name": thing.fields["name"], "arn": f"arn:{thing.id}"}
        return Observed(thing.id, dict(fields), outputs, dict(thing.tags), thing.failed)


@dataclass(frozen=True, kw_only=True)
class FakeTopic(Fake):
    """Named by us; describe one by one."""

    kind: ClassVar[str] = "fake_topic"
    immutable: ClassVar[frozenset[str]] = frozenset({"shape", "host"})


@dataclass(frozen=True, kw_only=True)
class FakeNetwork(Fake):
    """Named by the cloud, found by tag, listed in one call."""

    kind: ClassVar[str] = "fake_network"
    immutable: ClassVar[frozenset[str]] = frozenset({"shape", "host"})
    named_by_cloud: ClassVar[bool] = True

    @classmethod
    def prefetch(cls, aws: Session, ids: Mapping[str, str | None]) -> Mapping[str, Observed | None] | None:
        cloud = cloud_of(aws)

        def see() -> dict[str, Observed | None]:
            mine = {t.tags["mlplat:address"]: t for t in cloud.things.values() if t.kind == cls.kind and t.tags}
            known = {id: thing for (_, id), thing in cloud.things.items()}
            return {a: cls._see(cloud, known.get(id or "") or mine.get(a)) for a, id in ids.items()}

        return cloud.read("list networks", see)


@dataclass(frozen=True, kw_only=True)
class FakeModel(Fake):
    """Nothing of it can change; replaced create-first under a new name."""

    kind: ClassVar[str] = "fake_model"
    immutable: ClassVar[frozenset[str]] = frozenset({"name", "color", "shape", "host", "links"})
    create_first: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class FakeVault(Fake):
    """Holds data."""

    kind: ClassVar[str] = "fake_vault"
    immutable: ClassVar[frozenset[str]] = frozenset({"shape", "host"})
    keeps_data: ClassVar[bool] = True

    def data(self, aws: Session, id: str) -> str | None:
        count = cloud_of(aws).things[self.kind, id].data
        return f"{count} objects" if count else None

    def empty(self, aws: Session, id: str) -> None:
        def clear() -> None:
            cloud_of(aws).things[self.kind, id].data = 0

        cloud_of(aws).mutate("empty", self.name, clear)


@dataclass(frozen=True, kw_only=True)
class FakeLog(Fake):
    """Others may have made it first."""

    kind: ClassVar[str] = "fake_log"
    immutable: ClassVar[frozenset[str]] = frozenset({"shape"})
    adopts_untagged: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class FakeGate(Fake):
    """What its links refer to is not deleted, but it can let go."""

    kind: ClassVar[str] = "fake_gate"
    immutable: ClassVar[frozenset[str]] = frozenset({"shape", "host"})
    holds: ClassVar[frozenset[str]] = frozenset({"links"})


@dataclass(frozen=True, kw_only=True)
class FakeRunner(Fake):
    """What uses it stays where its links lead."""

    kind: ClassVar[str] = "fake_runner"
    immutable: ClassVar[frozenset[str]] = frozenset({"shape", "host", "links"})
    lends: ClassVar[frozenset[str]] = frozenset({"links"})


FAKE_KINDS: dict[str, type[Resource]] = {
    kind.kind: KINDS.pop(kind.kind)
    for kind in (FakeTopic, FakeNetwork, FakeModel, FakeVault, FakeLog, FakeGate, FakeRunner)
}
"""Not among the real kinds unless a test puts them there (see tests/reconciler/conftest.py)."""


def cloud_of(aws: Session) -> FakeCloud:
    """The cloud that a session speaks to."""
    assert isinstance(aws, FakeSession)
    return aws.cloud
