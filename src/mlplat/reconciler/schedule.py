"""The order of an apply: a plan's steps as tasks, and which tasks come before which.

Most steps are one task. A replace is two, because something comes between them:
- create-first: the new object is made, everything that used the old one moves over, the old one is removed;
- delete-first: whatever can't live without the object, and is itself deleted or replaced, goes before it; the new
  one is made when the old one is gone. It decides as late as it can, when what it needs is there; only when
  something that it uses must go itself does it go early, because that one can't go while it is used.
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
    """The tasks of a plan. Old dependencies yield where they contradict the new ones."""
    by_address = {step.address: step for step in steps}
    swapped = {a for a, step in by_address.items() if step.action is Action.REPLACE and not step.creates_first}
    early = frozenset(a for a in swapped if by_address[a].used & swapped)
    tasks: dict[Task, set[Task]] = {}
    soft: set[tuple[Task, Task]] = set()
    for step in steps:
        for task in _parts(step):
            hard, old = _before(task, step, by_address, early)
            tasks[task] = hard | old
            soft |= {(task, before) for before in old - hard}
    return Schedule(graph.without_cycles(tasks, soft), early)


def _parts(step: Step) -> tuple[Task, ...]:
    make, remove = Task(step.address, Part.MAKE), Task(step.address, Part.REMOVE)
    if step.action is Action.DELETE:
        return (remove,)
    if step.action is not Action.REPLACE:
        return (make,)
    return (make, remove) if step.creates_first else (remove, make)


def _before(task: Task, step: Step, steps: Mapping[str, Step], early: frozenset[str]) -> tuple[set[Task], set[Task]]:
    """What must come before a task, and what should, by dependencies of the past."""
    needed = {_made(steps[need]) for need in step.needs if need in steps}
    users = [steps[user] for user in step.users if user in steps and user != step.address]
    if step.action is Action.DELETE:
        own = {_parts(steps[a])[0] for a in (step.owner,) if step.deposed and a in steps}
        return own, {_parts(user)[-1] for user in users if user.address != step.owner}
    if task.part is Part.MAKE:
        return needed | ({Task(step.address, Part.REMOVE)} if _is_swapped(step) else set()), set()
    if step.creates_first:
        moved = {
            _made(each) for each in steps.values() if step.address in each.needs and each.action is not Action.DELETE
        }
        return {Task(step.address, Part.MAKE), *moved}, {_parts(user)[-1] for user in users}
    gone = {Task(user.address, Part.REMOVE) for user in users if user.action is Action.DELETE or _is_swapped(user)}
    return (set() if step.address in early else needed), gone


def _made(step: Step) -> Task:
    """The task after which the step's object is there."""
    return Task(step.address, Part.REMOVE if step.action is Action.DELETE else Part.MAKE)


def _is_swapped(step: Step) -> bool:
    return step.action is Action.REPLACE and not step.creates_first
