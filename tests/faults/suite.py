"""Every case there is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from tests.faults import cases, lives, processes, rivals, states
from tests.faults.trial import Case
from tests.faults.world import Worlds

SEEDS = range(50)


ORDER = 1
"""Seed of the order."""


def in_turn(cases: Sequence[Case]) -> list[Case]:
    """As they are to run, so that a run that is cut short has seen as much of each row as of any other of its rank."""
    mixed = random.Random(ORDER).sample(cases, len(cases))
    size, seen = Counter(case[:2] for case in mixed), Counter[tuple[str, str]]()
    share = dict[str, float]()
    for case in mixed:
        seen[case[:2]] += 1
        share[str(case)] = (seen[case[:2]] - 0.5) / size[case[:2]]
    return sorted(mixed, key=lambda case: (case.rank, share[str(case)]))


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
