"""What AWS doesn't delete as long as something refers to it, where a replace has to delete it first.

A user that goes, or is deleted first itself, goes before it. One that stays and can change is changed: the object is
taken out of its list before it goes, and the new one is put in after it was made. One that can't let go so is told
when the plan is made, instead of by AWS (DependencyViolation) after an hour of waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlplat.errors import MlplatError
from mlplat.reconciler.steps import Action, Step
from mlplat.resources.base import Observed, Resource

STAYS = frozenset({Action.KEEP, Action.UPDATE, Action.MOVE, Action.ADOPT})


def told(steps: Sequence[Step], namespace: str, problems: list[MlplatError]) -> list[Step]:
    """The steps, each replaced one with what it is taken out of. Adds a problem for each that can't be let go."""
    by_address = {step.address: step for step in steps}
    return [_told(step, by_address, namespace, problems) if step.order == "delete first" else step for step in steps]


def reduced(user: Resource, seen: Observed, gone: Observed) -> dict[str, list[Any]]:
    """The user's holding lists, as they are without the object; only those that have it."""
    ids, lists = names_of(gone), holding_lists(user, seen)
    return {
        name: [each for each in value if each not in ids]
        for name, value in lists.items()
        if any(each in ids for each in value)
    }


def names_of(seen: Observed) -> list[Any]:
    """What others may call the object."""
    return [seen.id, *(value for value in seen.outputs.values() if isinstance(value, str) and value)]


def holders(step: Step, steps: Mapping[str, Step]) -> tuple[str, ...]:
    """Addresses that hold on to the step's object by a list that it can be taken out of."""
    users = [user for user in _users(step, steps) if _stays(user)]
    return tuple(user.address for user in users if _has(user, step, _lists(user).keys()))


def _users(step: Step, steps: Mapping[str, Step]) -> list[Step]:
    using = (user for address, user in sorted(steps.items()) if address in step.users or step.address in user.needs)
    return [user for user in using if user.address != step.address and user.action is not Action.DELETE]


def _told(step: Step, steps: Mapping[str, Step], namespace: str, problems: list[MlplatError]) -> Step:
    taken = holders(step, steps)
    for user in _users(step, steps):
        if _has(user, step, _lent(user)) or (_stays(user) and _has(user, step, _held(user) - _lists(user).keys())):
            problems.append(_stuck(step, user, namespace))
            taken = tuple(address for address in taken if address != user.address)
    return replace(step, taken_out_of=taken)


def _stays(user: Step) -> bool:
    """Whether its object is still there when the step's is to go."""
    return user.order != "delete first"


def _held(user: Step) -> frozenset[str]:
    return user.resource.holds if user.resource is not None else frozenset()


def _lent(user: Step) -> frozenset[str]:
    return user.resource.lends if user.resource is not None else frozenset()


def _has(user: Step, step: Step, fields: Collection[str]) -> bool:
    """Whether the user's object refers to the step's in one of the fields."""
    if user.seen is None or step.seen is None:
        return False
    names = names_of(step.seen)
    return any(each in names for field in fields for each in _inside(user.seen.fields.get(field)))


def _lists(user: Step) -> dict[str, Sequence[Any]]:
    """The lists that something can be taken out of."""
    if user.seen is None or user.resource is None or user.action not in STAYS:
        return {}
    return holding_lists(user.resource, user.seen)


def holding_lists(user: Resource, seen: Observed) -> dict[str, Sequence[Any]]:
    """The lists of an object by which it holds on to others, and out of which each can be taken."""
    found = {field: seen.fields.get(field) for field in user.holds - user.immutable}
    return {field: value for field, value in found.items() if isinstance(value, list | tuple)}


def _inside(value: Any) -> Iterator[Any]:
    """The plain values in it, however deep."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _inside(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _inside(each)
    else:
        yield value


def _stuck(step: Step, user: Step, namespace: str) -> MlplatError:
    return MlplatError(
        f"replacing {step.address}: {step.reason}, so the old one has to go first, and AWS keeps it as long as "
        f"{user.address} uses it; take that down first",
        hint=f"mlplat destroy --target {user.address} --reverse --namespace {namespace}",
    )
