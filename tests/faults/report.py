"""docs/reliability.md: what held, written from the cases that ran."""

from __future__ import annotations

from tests.faults.cases import Table
from tests.faults.world import PARALLELISM, PHASES, Worlds

HEAD = """# Reliability

What happens to a platform when mlplat dies, is throttled or is lied to, at every call that changes something.
Written by `make test-faults` (`tests/faults/`); `make test` runs a seeded sample of the same.

All four templates with a release, on the local cloud's own application in the test's process, so that each case has a
copy of it; only the model servers are left out. {parallelism} calls at once, statuses without delay, pauses at a
fiftieth of their length. The update changes lifecycles, retention, flow logs, NAT, key rotation, capture, the release
and adds a feature; the destroy takes a platform with data down. Mutating calls: {calls}.

A case holds when the run after the struck one succeeds, each address then has exactly one object, nothing else carries
the namespace's tags (after a destroy nothing does), and a third run makes no mutating call. Beyond that:

- the lasting faults (each retryable code once, throttling, invisible objects) must not fail the struck run itself;
- expired credentials end it with exit code 3 or 4, with at most {storm} calls more;
- SIGINT and SIGTERM end it as interrupted within 10 s.

A kill freezes the disk with the process: what its threads write after it is thrown away. "Succeeded at once" counts the
struck runs that succeeded themselves.

"""


def written(table: Table, worlds: Worlds, planned: int, seconds: float) -> str:
    """The page."""
    calls = ", ".join(f"{phase.name} {len(worlds.calls[phase.name])}" for phase in PHASES)
    ran = sum(row.cases for row in table.rows.values())
    held = sum(row.held for row in table.rows.values())
    rows = [
        f"| {row.fault} | {row.phase} | {row.cases} | {row.struck} | {row.same_run} | {row.held} of {row.cases} |"
        for row in sorted(table.rows.values(), key=lambda row: (row.fault, row.phase))
    ]
    head = "| fault | phase | cases | struck | succeeded at once | held |\n| --- | --- | --- | --- | --- | --- |\n"
    return (
        HEAD.format(parallelism=PARALLELISM, calls=calls, storm=2 * PARALLELISM)
        + f"{ran} of {planned} cases ran, in {seconds / 60:.0f} minutes; {held} held.\n\n"
        + head
        + "\n".join(rows)
        + "\n"
        + _lasting(table)
        + _open(table)
    )


def _lasting(table: Table) -> str:
    """How often the lasting faults struck."""
    counts = {row.fault: 0 for row in table.rows.values() if row.count}
    for row in table.rows.values():
        if row.fault in counts:
            counts[row.fault] += row.count
    if not counts:
        return ""
    return "\nRefusals, throttled calls and hidden reads: " + "; ".join(f"{k}: {v}" for k, v in counts.items()) + ".\n"


def _open(table: Table) -> str:
    """What didn't hold."""
    if not table.failures:
        return ""
    lines = [f"- {case}: {problems[0].splitlines()[-1][:200]}" for case, problems in table.failures]
    return "\n## What did not hold\n\n" + "\n".join(lines) + "\n"
