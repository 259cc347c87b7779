"""Every fault at every call of every phase: `make test-faults`. Writes docs/reliability.md."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults import forks, report
from tests.faults.record import ROOT, Record
from tests.faults.suite import every_case, in_turn
from tests.faults.trial import Case, Result
from tests.faults.world import Worlds

PAGE = ROOT / "docs" / "reliability.md"


@pytest.mark.faults
@pytest.mark.timeout(6 * 3600)
def test_every_fault_at_every_call(worlds: Worlds) -> None:
    """Goes on where a run of the same code was cut.

    FAULTS_MINUTES cuts it, FAULTS_AT_ONCE says how many run side by side, FAULTS_CASE picks cases by their name.
    """
    record = Record()
    record.recall(worlds)
    cases = in_turn(every_case(worlds))
    if chosen := os.environ.get("FAULTS_CASE"):
        found = [case for case in cases if chosen in str(case)]
        assert found, f"no case is called {chosen!r}"
        failures, struck = list[str](), 0
        for case, result, seconds in ran(found):
            print(f"{seconds:5.1f} s  {case}", *problems(case, result), sep="\n  ", flush=True)
            failures += problems(case, result)
            struck += isinstance(result, Result) and result.struck
        PAGE.write_text(report.again(PAGE.read_text(), chosen, len(found), struck, failures))
    else:
        for number, (case, result, seconds) in enumerate(ran(record.begin(cases, worlds))):
            line = record.add(case, result, seconds)
            if line.result.problems:
                print(f"\n{case}", *line.result.problems, sep="\n  ", flush=True)
            if number % 100 == 0:
                write(PAGE, record, cases, worlds)
        write(PAGE, record, cases, worlds)
        failures = [f"{line.case}: {'; '.join(line.result.problems)}" for line in record.failures]
    assert not failures, "\n".join(failures)


def ran(cases: list[Case]) -> Iterator[tuple[Case, Result | Exception, float]]:
    """Each case with its result and how long it took, until FAULTS_MINUTES are over."""
    at_once = int(os.environ.get("FAULTS_AT_ONCE", "2"))
    until = time.monotonic() + 60 * float(os.environ.get("FAULTS_MINUTES", "inf"))
    yield from forks.each(cases, lambda case: case.trial(), at_once=at_once, wanted=lambda: time.monotonic() < until)


def problems(case: Case, result: Result | Exception) -> list[str]:
    """What didn't hold."""
    return [f"{case}: {each}" for each in ([str(result)] if isinstance(result, Exception) else result.problems)]


def write(page: Path, record: Record, cases: list[Case], worlds: Worlds) -> None:
    """The page, as far as the run has come."""
    page.write_text(report.written(record, cases, worlds))
