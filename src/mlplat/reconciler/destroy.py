"""Destroy: the same plan with nothing desired, in the reverse order of the dependencies that the state keeps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mlplat.aws import Session
from mlplat.reconciler.state import State
from mlplat.reconciler.steps import Plan

if TYPE_CHECKING:
    from mlplat.reconciler.plan import Observer


def plan_destroy(
    session: Session,
    state: State,
    *,
    scope: Collection[str] | None,
    reverse: bool,
    delete_data: Sequence[str] = (),
    parallelism: int = 16,
    watch: Observer | None = None,
) -> Plan:
    """What destroy would do with the templates in `scope` (None: all of them); reads only."""
    raise NotImplementedError
