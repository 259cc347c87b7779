"""What no plan may delete or replace, by the patterns of `lifecycle.protect`."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from mlplat.errors import MlplatError
from mlplat.reconciler.selection import matches
from mlplat.reconciler.steps import Action, Plan

ENDS = {Action.DELETE: "destroyed", Action.REPLACE: "replaced"}


def check(plan: Plan, patterns: Sequence[str], where: str) -> None:
    """Raises MlplatError when the plan would end a protected object; `where` says who protects it.

    The leftover of a replace that was begun before is no longer the object of its address, and goes.
    """
    ended = [
        step
        for step in plan.steps
        if step.action in ENDS and step.seen is not None and not step.deposed and matches(step.address, patterns)
    ]
    if not ended:
        return
    told = ", ".join(f"{step.address} would be {ENDS[step.action]} ({step.reason})" for step in ended)
    excluded = " ".join(f"--exclude {quote(step.address)}" for step in ended)
    command = "destroy --reverse" if plan.destroy else "plan"
    raise MlplatError(
        f"planning namespace {plan.namespace}: lifecycle.protect ({where}) forbids it: {told}",
        hint=f"mlplat {command} {excluded} --namespace {plan.namespace}",
    )
