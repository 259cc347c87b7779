"""moto's backends as pieces that can be kept: each one by itself, without what is big and seldom changes.

An object of S3 is a piece of its own, and so are a thousand events of a log stream or data of CloudWatch: a snapshot
writes what was added, not all that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from mlplat.localcloud import extensions, pickling
from mlplat.localcloud.pickling import Id
from mlplat.localcloud.store import Part

CHUNK = 1000
"""Members of a list that make a piece. Full ones are written once."""

Mark = Any
"""Changes whenever the piece does."""


def live() -> dict[tuple[str, str, str], Any]:
    """Every backend that is in use, by service, account and region (or partition)."""
    from moto.core.base_backend import BackendDict

    return {
        (str(each.service_name), account, region): backend
        for each in list(BackendDict._instances)
        for account, regions in list(each.items())
        for region, backend in list(regions.items())
    }


def names_of(backends: Mapping[tuple[str, str, str], Any]) -> dict[int, Id]:
    """How backends are named in each other's pickles, by `id`."""
    from moto.core.base_backend import BackendDict

    names: dict[int, Id] = {id(backend): ("backend", *key) for key, backend in backends.items()}
    for each in list(BackendDict._instances):
        names[id(each)] = ("backends", each.service_name)
        names |= {id(regions): ("regions", each.service_name, account) for account, regions in list(each.items())}
    return names


def named(pid: Id) -> Any:
    """The backend, or the collection of them, that `names_of` named so."""
    from moto.backends import get_backend

    found: Any = get_backend(pid[1])
    for key in pid[2:]:
        found = found[key]
    return found


class Pieces:
    """The pieces of one backend as it is now."""

    def __init__(self, key: tuple[str, str, str], backend: Any, names: Mapping[int, Id]) -> None:
        self._key, self._backend = key, backend
        self._names = dict(names)
        self.parts: dict[Part, tuple[Mark, Callable[[], bytes]]] = {}
        """The pieces besides the backend itself: their marks, and how to get their bytes."""
        if key[0] == "s3":
            self._take_objects()
        if key[0] == "iam":  # 1,400 documents that moto brings along
            self._names |= {
                id(each): ("policy", each.arn, each.id, each.attachment_count) for each in backend.aws_managed_policies
            }
        for name, members in _long_lists(key[0], backend):
            self._take_list(name, members)

    def whole(self) -> bytes:
        """The backend itself, naming its pieces."""
        return pickling.dumps(self._backend.__dict__, self._names)

    def _take_objects(self) -> None:
        for each in _objects(self._backend):
            name = each.__dict__.setdefault("piece", uuid4().hex)
            self._names[id(each)] = ("piece", name)
            self.parts[Part(*self._key, name)] = (each.revision, self._state_of(each))

    def _state_of(self, thing: Any) -> Callable[[], bytes]:
        """An object in its piece is written; only there."""

        def state() -> bytes:
            pid = self._names.pop(id(thing))
            try:
                return pickling.dumps(thing, self._names)
            finally:
                self._names[id(thing)] = pid

        return state

    def _take_list(self, name: str, members: list[Any]) -> None:
        chunks = []
        for start in range(0, len(members), CHUNK):
            chunk = members[start : start + CHUNK]
            part = Part(*self._key, f"{name}#{start}")
            chunks.append(part.part)
            self.parts[part] = ((id(chunk[0]), id(chunk[-1]), len(chunk)), self._members(chunk))
        self._names[id(members)] = ("list", *chunks)

    def _members(self, chunk: list[Any]) -> Callable[[], bytes]:
        return lambda: pickling.dumps(chunk, self._names)


def restore(key: tuple[str, str, str], parts: Mapping[str, bytes]) -> Any:
    """Put a backend back as its pieces say; the backend."""
    pieces: dict[str, Any] = {}

    def find(pid: Id) -> Any:
        kind, *rest = pid
        if kind == "list":
            return [each for name in rest for each in piece(name)]
        if kind == "policy":
            return _policy(standard, *rest)
        return piece(rest[0]) if kind == "piece" else named(pid)

    def piece(name: str) -> Any:
        if name not in pieces:
            pieces[name] = pickling.loads(parts[name], find)
        return pieces[name]

    extensions.extend(key[0])
    backend = named(("backend", *key))
    standard = {each.arn: each for each in getattr(backend, "aws_managed_policies", None) or ()}
    state = pickling.loads(parts[""], find)
    backend.__dict__.clear()
    backend.__dict__.update(state)
    if key[0] == "logs":
        _go_on_counting(backend)
    return backend


def _objects(backend: Any) -> Iterator[Any]:
    """All versions of all objects of S3."""
    from moto.s3.models import FakeKey

    for bucket in list(backend.buckets.values()):
        for versions in list(dict.values(bucket.keys)):
            yield from [each for each in versions if isinstance(each, FakeKey)]


def _long_lists(service: str, backend: Any) -> Iterator[tuple[str, list[Any]]]:
    if service == "logs":
        for group in list(backend.groups.values()):
            for stream in list(group.streams.values()):
                yield stream.arn, stream.events
    if service == "cloudwatch":
        yield "metric_data", backend.metric_data


def _policy(standard: Mapping[str, Any], arn: str, id: str, attachments: int) -> Any:
    """One of AWS's own policies: moto brings their documents along."""
    policy = standard[arn]
    policy.id, policy.attachment_count = id, attachments
    return policy


def _go_on_counting(backend: Any) -> None:
    """Events have numbers of which none is given twice."""
    from moto.logs.models import LogEvent

    events = [each for group in backend.groups.values() for stream in group.streams.values() for each in stream.events]
    LogEvent._event_id = max([LogEvent._event_id, *(each.event_id + 1 for each in events)])
