"""A seeded sample of what `make test-faults` does in full: each fault in each phase, at calls drawn by lot."""

from __future__ import annotations

import random

from tests.faults import forks
from tests.faults.cases import Case, Table, every_case, tried
from tests.faults.world import Worlds

SEED = 20261123


def sample(worlds: Worlds) -> list[Case]:
    """One case a fault, in a phase drawn by lot."""
    lot, by_fault = random.Random(SEED), dict[str, list[Case]]()
    for case in every_case(worlds, turns=2, seeds=(SEED,), reads=(2,)):
        by_fault.setdefault(case.fault, []).append(case)
    return [lot.choice(cases) for cases in by_fault.values()]


def check_worth(worlds: Worlds) -> None:
    """The sweep is worth something only while its worlds have much in them, and every service."""
    assert len(worlds.calls["apply"]) > 70
    assert len(worlds.calls["update"]) > 20
    assert len(worlds.calls["destroy"]) > 40
    made = {call.service for calls in worlds.calls.values() for call in calls}
    assert made == {"ec2", "s3", "kms", "iam", "glue", "cloudwatch-logs", "sagemaker"}


def test_a_sample_of_every_fault_converges(worlds: Worlds) -> None:
    check_worth(worlds)
    table = Table()
    for case, result in forks.each(sample(worlds), tried(worlds)):
        table.add(case, result)
    assert not table.failures, "\n".join(f"{case}: {'; '.join(problems)}" for case, problems in table.failures)
    assert all(row.struck for row in table.rows.values() if row.fault != "each retryable code once")
