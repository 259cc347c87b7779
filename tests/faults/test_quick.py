"""A seeded sample of what `make test-faults` does in full: each fault, in a phase and at a call drawn by lot."""

from __future__ import annotations

import random

import pytest
from tests.faults import forks
from tests.faults.suite import every_case
from tests.faults.trial import Case, Result
from tests.faults.world import Worlds

SEED = 20261123


def sample(worlds: Worlds) -> list[Case]:
    """One case a fault."""
    lot, by_fault = random.Random(SEED), dict[str, list[Case]]()
    for case in every_case(worlds, seeds=(SEED,)):
        by_fault.setdefault(case.fault, []).append(case)
    return [lot.choice(cases) for cases in by_fault.values()]


def check_worth(worlds: Worlds) -> None:
    """The sweep is worth something only while its worlds have much in them, and every service."""
    changes = {name: [call for call in calls if call.mutates] for name, calls in worlds.calls.items()}
    assert len(changes["apply"]) > 70
    assert len(changes["update"]) > 20
    assert len(changes["destroy"]) > 40
    made = {call.service for calls in changes.values() for call in calls}
    assert made == {
        "ec2", "s3", "kms", "iam", "glue", "athena", "cloudwatch", "cloudwatch-logs", "eventbridge", "sagemaker", "sns",
    }  # fmt: skip


@pytest.mark.timeout(1200)  # a case that hangs is ended by `forks.PATIENCE`; a busy machine is only slow
def test_a_sample_of_every_fault_converges(worlds: Worlds) -> None:
    check_worth(worlds)
    failures = []
    for case, result, _ in forks.each(sample(worlds), lambda case: case.trial()):
        problems = result.problems if isinstance(result, Result) else [str(result)]
        failures += [f"{case}: {problem}" for problem in problems]
    assert not failures, "\n".join(failures)
