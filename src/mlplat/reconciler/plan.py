"""Plan: what must be done so that reality becomes what is declared. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from mlplat.aws import Session
from mlplat.reconciler.destroy import plan_destroy as plan_destroy
from mlplat.reconciler.state import State
from mlplat.reconciler.steps import Action as Action
from mlplat.reconciler.steps import Plan as Plan
from mlplat.reconciler.steps import Step as Step
from mlplat.resources.base import Declared


class Observer(Protocol):
    """Watches a plan being made."""

    def observed(self, done: int, total: int) -> None:
        """`done` of `total` objects have been looked at. Called from worker threads."""


def plan(
    session: Session,
    state: State,
    declared: Sequence[Declared],
    *,
    scope: Collection[str] | None = None,
    adopt: Collection[str] = (),
    parallelism: int = 16,
    watch: Observer | None = None,
) -> Plan:
    """What apply would do with the templates in `scope` (None: all of them); reads only."""
    raise NotImplementedError
