"""Looking at reality: many objects in parallel, with few calls for kinds that can list theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mlplat.aws import Session
from mlplat.errors import ApiError, CredentialsError, MlplatError
from mlplat.reconciler import graph
from mlplat.reconciler.failures import told
from mlplat.reconciler.interrupts import Interrupts
from mlplat.resources.base import Observed, Resource

LOOKS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looks for an object that may have been made a moment ago: EC2, IAM and S3 show it late."""

DOUBTS = LOOKS[:2]
"""The same for one that the state knows: believed gone too soon, what stands on it would be replaced for nothing.
And for one whose update or deletion was broken off: believed unchanged too soon, it would stay as nobody wants it."""


class Observer(Protocol):
    """Watches a plan being made."""

    def observed(self, done: int, total: int) -> None:
        """`done` of `total` objects have been looked at. Called from worker threads."""


@dataclass(frozen=True)
class Target:
    """An object to look at: `owner` is the address whose tags it carries."""

    address: str
    owner: str
    resource: Resource
    id: str | None = None
    uncertain: bool = False
    """A call for it was begun and never completed: it may exist and not show yet."""
    changing: bool = False
    """An update or a deletion of it was begun and never completed: what is read first may be what was there before."""


@dataclass
class Sight:
    """What was seen, by address (None: not there), and what couldn't be looked at."""

    found: dict[str, Observed | None] = field(default_factory=dict)
    errors: list[MlplatError] = field(default_factory=list)
    unread: dict[str, MlplatError] = field(default_factory=dict)
    """The same errors, by each address that they are about."""


def look(aws: Session, resource: Resource, id: str | None = None) -> Observed | None:
    """The object `id`; when it is gone, or never had one, whatever goes by the name or tags of the resource."""
    seen = resource.describe(aws, id)
    if seen is None and id is not None:
        seen = resource.describe(aws, None)
    return seen


def look_patiently(
    aws: Session, resource: Resource, id: str | None = None, pauses: Sequence[float] = LOOKS
) -> Observed | None:
    """The same for an object that may have been made a moment ago: "not there" is believed at the fifth time."""
    for pause in pauses:
        seen = look(aws, resource, id)
        if seen is not None:
            return seen
        aws.report("looking whether it is there")
        aws.pause(pause)
    return look(aws, resource, id)


class _Task(NamedTuple):
    """One target by its address, or all of one kind."""

    address: str
    kind: type[Resource] | None = None


def observe(
    session: Session, targets: Sequence[Target], *, parallelism: int = 16, watch: Observer | None = None
) -> Sight:
    """Look at every target. Raises CredentialsError at once; other errors are collected."""
    return _Looking(session, targets, watch).run(parallelism)


class _Looking:
    def __init__(self, session: Session, targets: Sequence[Target], watch: Observer | None) -> None:
        self.session, self.watch, self.sight = session, watch, Sight()
        self.refused: CredentialsError | None = None
        self.targets = {target.address: target for target in targets}
        self.kinds: dict[type[Resource], dict[str, str | None]] = {}
        for target in targets:
            if _listable(target):
                self.kinds.setdefault(type(target.resource), {})[target.address] = target.id

    def run(self, parallelism: int) -> Sight:
        tasks: dict[_Task, set[_Task]] = {_Task("", kind): set() for kind in self.kinds}
        for target in self.targets.values():
            tasks[_Task(target.address)] = {_Task("", type(target.resource))} if _listable(target) else set()
        with Interrupts(self.session.cancelled, at_once=True):
            ended = graph.run(tasks, self._work, parallelism=parallelism, stopped=self._is_stopped)
        if self.refused is not None:
            raise self.refused
        if self.session.cancelled.is_set():
            raise self.session.interruption(f"reading what is there (nothing was changed; {self._unread()})")
        for task, error in ended.failed.items():
            found = self._told(task, error)
            self.sight.errors.append(found)
            self.sight.unread |= dict.fromkeys([task.address] if task.kind is None else self.kinds[task.kind], found)
        return self.sight

    def _unread(self) -> str:
        """What was still to be read, in few words."""
        rest = [address for address in self.targets if address not in self.sight.found]
        return f"{len(rest)} of {len(self.targets)} not read" + (f", {rest[0]} among them" if rest else "")

    def _is_stopped(self) -> bool:
        return self.refused is not None or self.session.cancelled.is_set()

    def _work(self, task: _Task) -> None:
        try:
            self._look(task)
        except CredentialsError as error:
            self.refused = error
            raise

    def _look(self, task: _Task) -> None:
        if task.kind is not None:
            self._list(task.kind)
            return
        target, aws = self.targets[task.address], self.session.at(self.targets[task.address].owner)
        if task.address not in self.sight.found:
            how = look_patiently if target.uncertain else look
            self.sight.found[task.address] = how(aws, target.resource, target.id)
        if self.sight.found[task.address] is None and target.id is not None and not target.uncertain:
            aws.pause(DOUBTS[0])
            self.sight.found[task.address] = look_patiently(aws, target.resource, target.id, DOUBTS[1:])
        if target.changing and self.sight.found[task.address] is not None:
            self.sight.found[task.address] = _look_again(aws, target)
        if self.watch is not None:
            self.watch.observed(len(self.sight.found), len(self.targets))

    def _told(self, task: _Task, error: Exception) -> MlplatError:
        if task.kind is None:
            return told(error, "reading", self.targets[task.address].resource)
        return told(error, "listing", self.targets[next(iter(self.kinds[task.kind]))].resource)

    def _list(self, kind: type[Resource]) -> None:
        """What can't be listed (a permission that only the list needs) is looked at one by one."""
        ids = self.kinds[kind]
        try:
            listed: Mapping[str, Observed | None] = kind.prefetch(self.session, ids) or {}
        except ApiError:
            return
        self.sight.found.update({address: seen for address, seen in listed.items() if address in ids})


def _look_again(aws: Session, target: Target) -> Observed | None:
    """The last of the looks that a change needs to show."""
    for pause in DOUBTS:
        aws.report("looking what became of it")
        aws.pause(pause)
        seen = look(aws, target.resource, target.id)
    return seen


def _listable(target: Target) -> bool:
    own = type(target.resource).prefetch.__func__ is not Resource.prefetch.__func__  # type: ignore[attr-defined]
    return own and not target.uncertain and target.address == target.owner
