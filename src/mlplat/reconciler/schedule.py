"""The order of an apply: a plan's steps as tasks, and which tasks come before which.

Most steps are one task. A replace is two, because something comes between them:
- create-first: the new object is made, everything that used the old one moves over, the old one is removed;
- delete-first: whatever uses the object, and is itself deleted or replaced, goes before it; the new one is made when
  the old one is gone. It goes as late as it can, when what the new one needs is there, because only then it is known
  whether it has to; only when something that it needs can't be there before it is gone does it go early.

What uses a delete-first object in a field that can change is updated when the new one is there; where AWS wouldn't
delete what is in use like that, the object is taken out of it right before it goes (`holding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from mlplat.reconciler import graph
from mlplat.reconciler.steps import Action, Step


class Part(IntEnum):
    """Which half of a step."""

    MAKE = 0
    REMOVE = 1


class Task(NamedTuple):
    """One half of a step; most steps have only one."""

    address: str
    part: Part


@dataclass(frozen=True)
class Schedule:
    """Task -> the tasks before it; `early` are the replaced that go before it is known what they become."""

    tasks: Mapping[Task, set[Task]]
    early: frozenset[str]

    def parts(self, step: Step) -> tuple[Task, ...]:
        """The tasks of a step, in their order."""
        return _parts(step)


def schedule(steps: Sequence[Step]) -> Schedule:
    """The tasks of a plan. Old dependencies yield where they contradict the new ones.

    Before these yields what is only tidy: that a succeeded object goes when its successor's new users are there, too.
    Of the old ones, those of users that stay yield first: what AWS would refuse because of them is taken out of them
    (`holding`). A user that goes can't let go before.
    """
    by_address = {step.address: step for step in steps}
    swapped = {a for a, step in by_address.items() if _is_swapped(step)}
    tasks: dict[Task, set[Task]] = {}
    new: set[tuple[Task, Task]] = set()
    late: set[tuple[Task, Task]] = set()
    leaving: set[tuple[Task, Task]] = set()
    going: set[tuple[Task, Task]] = set()
    for step in steps:
        for task in _parts(step):
            hard, old = _before(task, step, by_address)
            moved = _moved(step, by_address) if task.part is Part.REMOVE and step.creates_first else set()
            tasks[task] = hard | old | moved
            leaving |= {(task, before) for before in old - hard if before.part is Part.MAKE}
            going |= {(task, before) for before in old - hard if before.part is Part.REMOVE}
            new |= {(task, before) for before in moved - hard - old}
            if task.part is Part.REMOVE and _is_swapped(step) and not step.needs & step.used & swapped:
                needed = _needed(step, by_address)
                tasks[task] |= needed
                late |= {(task, before) for before in needed}
    found = graph.without_cycles(tasks, new, late, leaving, going)
    early = {a for a in swapped if not _needed(by_address[a], by_address) <= found[Task(a, Part.REMOVE)]}
    return Schedule(found, frozenset(early))


def _parts(step: Step) -> tuple[Task, ...]:
    make, remove = Task(step.address, Part.MAKE), Task(step.address, Part.REMOVE)
    if step.action is Action.DELETE:
        return (remove,)
    if step.action is not Action.REPLACE:
        return (make,)
    return (make, remove) if step.creates_first else (remove, make)


def _before(task: Task, step: Step, steps: Mapping[str, Step]) -> tuple[set[Task], set[Task]]:
    """What must come before a task, and what should, by dependencies of the past."""
    users = [steps[user] for user in step.users if user in steps and user != step.address]
    if step.action is Action.DELETE:
        heir = steps.get(step.owner) if step.deposed else None
        own = {_made(heir)} if heir is not None and heir.action is not Action.DELETE else set()
        return own, {_let_go(user) for user in users if user.address != step.owner}
    if task.part is Part.MAKE:
        gone = {Task(step.address, Part.REMOVE)} if _is_swapped(step) else set()
        return _needed(step, steps) | gone, set()
    if step.creates_first:
        moved = {_made(user) for user in users if step.address in user.needs and user.action is not Action.DELETE}
        return {Task(step.address, Part.MAKE), *moved}, {_let_go(user) for user in users}
    going = [user for user in users if user.action is Action.DELETE or _is_swapped(user)]
    leaving = [user for user in users if user.action is Action.UPDATE and step.address not in user.needs]
    return set(), {Task(user.address, Part.REMOVE) for user in going} | {_made(user) for user in leaving}


def _moved(step: Step, steps: Mapping[str, Step]) -> set[Task]:
    """After these, all that is declared to use the object uses the new one; some of it may never have used the old."""
    return {_made(each) for each in steps.values() if step.address in each.needs and each.action is not Action.DELETE}


def _needed(step: Step, steps: Mapping[str, Step]) -> set[Task]:
    """After these, all that the step's new object refers to is there."""
    return {_made(steps[need]) for need in step.needs if need in steps}


def _made(step: Step) -> Task:
    return Task(step.address, Part.REMOVE if step.action is Action.DELETE else Part.MAKE)


def _let_go(user: Step) -> Task:
    """After this, the user's old object doesn't use anything any more."""
    return Task(user.address, Part.REMOVE) if _is_swapped(user) else _parts(user)[-1]


def _is_swapped(step: Step) -> bool:
    return step.action is Action.REPLACE and not step.creates_first
