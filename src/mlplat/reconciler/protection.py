"""What no plan may delete or replace, by the addresses and patterns of `lifecycle.protect`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from shlex import quote

from mlplat.errors import MlplatError
from mlplat.reconciler.steps import Action, Plan

ENDS = {Action.DELETE: "destroyed", Action.REPLACE: "replaced"}


def check(plan: Plan, protect: Mapping[str, bool], where: Callable[[str], str]) -> None:
    """Raises MlplatError when the plan would end a protected object; `where` names a pattern's key and its place.

    The leftover of a replace that was begun before is no longer the object of its address, and goes.
    """
    ended: dict[tuple[str, str], list[str]] = {}
    for step in plan.steps:
        ends = step.action in ENDS and step.seen is not None and not step.deposed
        if ends and (pattern := protecting(step.address, protect)) is not None:
            ended.setdefault((pattern, f"{ENDS[step.action]} ({step.reason})"), []).append(step.address)
    if not ended:
        return
    told = "; ".join(
        f"{', '.join(addresses)} would be {how}, which {where(pattern)} forbids"
        for (pattern, how), addresses in ended.items()
    )
    excluded = " ".join(f"--exclude {quote(each)}" for addresses in ended.values() for each in addresses)
    command = "destroy --reverse" if plan.destroy else "plan"
    raise MlplatError(
        f"planning namespace {plan.namespace}: {told}",
        hint=f"mlplat {command} {excluded} --namespace {plan.namespace}",
    )


def protecting(address: str, protect: Mapping[str, bool]) -> str | None:
    """The pattern that protects the address, None when it isn't.

    Of those that match, the most specific decides: the address itself, else the one with the most letters; between
    equals, the careful one.
    """
    found = [pattern for pattern in protect if fnmatchcase(address, pattern)]
    decides = max(found, key=lambda each: (each == address, len(each.replace("*", "")), protect[each]), default=None)
    return decides if decides is not None and protect[decides] else None
