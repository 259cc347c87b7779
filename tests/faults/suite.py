"""Every case there is."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults import cases, lives, processes, rivals, states
from tests.faults.trial import Case
from tests.faults.world import Worlds

SEEDS = range(50)


def every_case(worlds: Worlds, *, seeds: Sequence[int] = SEEDS) -> list[Case]:
    """All of them; throttling with each of `seeds`."""
    return [
        *cases.at_calls(worlds),
        *cases.lasting(worlds, seeds=seeds),
        *states.at_writes(worlds),
        *states.damaged(worlds),
        *rivals.at_once(worlds),
        *processes.at_random(),
        *lives.random_lives(),
    ]
