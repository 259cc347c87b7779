"""Every fault at every mutating call of every phase: `make test-faults`. Writes docs/reliability.md."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from tests.faults import forks
from tests.faults.cases import Table, every_case, tried
from tests.faults.report import written
from tests.faults.world import Worlds

SEEDS = range(50)
REPORT = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.mark.faults
@pytest.mark.timeout(3 * 3600)
def test_every_fault_at_every_call(worlds: Worlds) -> None:
    """The report is written as far as it came, also when FAULTS_MINUTES are over."""
    table, began = Table(), time.monotonic()
    until = began + 60 * float(os.environ.get("FAULTS_MINUTES", "inf"))
    cases = every_case(worlds, seeds=SEEDS)
    random.Random(1).shuffle(cases)  # a run that is cut short has seen something of everything
    for case, result in forks.each(cases, tried(worlds), wanted=lambda: time.monotonic() < until):
        table.add(case, result)
        if table.failures and table.failures[-1][0] is case:
            print(case, *table.failures[-1][1], sep="\n  ", flush=True)
    REPORT.write_text(written(table, worlds, len(cases), time.monotonic() - began))
    assert not table.failures, "\n".join(f"{case}: {'; '.join(problems)}" for case, problems in table.failures)
