"""docs/reliability.md: what held, written from the cases that ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.record import Record, commit
from tests.faults.trial import Case
from tests.faults.world import PARALLELISM, REGIONS, Worlds

HEAD = """# Reliability

What happens to a platform when mlplat dies, is throttled or is lied to, at every call, and when its state can't be
written or is damaged. Written by `make test-faults` (`tests/faults/`); `make test` runs a seeded sample of the same.
`make test-faults CASE='<part of a name>'` runs the cases of that name alone, and notes it at the end.

All four templates with a release, on the local cloud's own application in the test's process, so that each case has a
copy of it; only the model servers are left out. {parallelism} calls at once, statuses without delay, pauses at a
fiftieth of their length. The update changes lifecycles, retention, flow logs, NAT, key rotation, capture, the release
and adds a feature; the destroy takes a platform with data down. Calls that change something, and reads: {calls}.

A case holds when the run after the struck one succeeds, each address then has exactly one object, nothing else carries
the namespace's tags (after a destroy nothing does), and one more run makes no call that changes something. Beyond that:

- each fault that lasts (each retryable code once at every call, throttling, invisible objects, each read failing once
  by a broken connection, a timeout, a 500 or throttling) must not fail the struck run itself;
- expired credentials end it with exit code 3 or 4, with at most {storm} calls more;
- SIGINT and SIGTERM end it as interrupted (exit code 130) within 10 s of the signal (or twice the time of a whole run,
  where the machine is so busy that this is more), and what is left half done is named;
- when the disk fails, no more than the objects in flight are finished, and the state on the disk, in the recovery file
  or in the error knows of every object that is there;
- a damaged state is refused before anything is changed, or the run succeeds; after a rebuild it does, and nothing is
  made that a run on a whole state would not have made;
- with the state in S3, each fault strikes at the calls that read and write state, journal and lock;
- of 2 and 5 applies at once one works, and the others end with exit code 5 and say who holds the lock; when that one is
  killed, one of the next that come together goes on.

Two rows have another ground. "Processes ended" are `mlplat apply` and `mlplat destroy` as processes on a real local
cloud, each ended at a random moment by SIGKILL, SIGTERM or SIGINT, three times in a row. "Random lives" are random
graphs of in-memory kinds, random edits, renames, lost states, failing calls and disks, found by hypothesis.

A kill freezes the disk with the process: what its threads write after it is thrown away. "At once" counts the struck
runs that succeeded themselves; "struck" the cases in which the fault came to pass (a poll more or less, a write shared
by more threads, and there is no such call).

"""

AGAIN = """
## Run again since

| cases | version | ran | struck | held |
| --- | --- | --- | --- | --- |
"""

LASTING = {
    "each retryable code once": "calls refused",
    "10 % throttled": "calls throttled",
    "new objects invisible": "reads that hid something",
    "each read fails once": "reads that failed",
    "processes ended": "processes ended in time",
    "random lives": "random lives",
}


@dataclass
class Row:
    """A line of the table: one fault in one phase."""

    planned: int = 0
    ran: int = 0
    struck: int = 0
    at_once: int = 0
    held: int = 0
    count: int = 0


def written(record: Record, cases: list[Case], worlds: Worlds) -> str:
    """The page."""
    rows, planned = _rows(record, cases), len(cases)
    ran, held = sum(row.ran for row in rows.values()), sum(row.held for row in rows.values())
    head = "| fault | phase | cases | ran | struck | at once | held |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    lines = [
        f"| {fault} | {phase} | {row.planned} | {row.ran} | {row.struck} | {row.at_once} | {row.held} of {row.ran} |"
        for (fault, phase), row in rows.items()
    ]
    cut = f"**This run was cut: {planned - ran} cases have not run.** " if ran < planned else ""
    first = "Kills and lost answers come first, reads last. " if cut else ""
    seconds = sum(line.seconds for line in record.lines.values())
    return (
        HEAD.format(parallelism=PARALLELISM, calls=_calls(worlds), storm=2 * PARALLELISM)
        + f"{cut}{ran} of {planned} cases ran at version {record.commit}, {seconds / 60:.0f} minutes one after "
        + f"another; {held} held. {first}Seeds: throttling 0 to 49 (0 to 4 with the state in S3), "
        + "processes 0 to 4, random lives 0 to 99; the cases' order 1.\n\n"
        + head
        + "\n".join(lines)
        + "\n"
        + _lasting(rows)
        + _open(record)
    )


def again(page: str, name: str, ran: int, struck: int, failures: Sequence[str]) -> str:
    """The page, when the cases whose names have this in them have run once more on the code of today."""
    whole, _, before = page.partition(AGAIN)
    held = ran - len({each.split(": ")[0] for each in failures})
    lines = [line for line in before.splitlines() if not line.startswith(f"| {name} |")]
    return whole + AGAIN + "\n".join([*lines, f"| {name} | {commit()} | {ran} | {struck} | {held} of {ran} |"]) + "\n"


def _rows(record: Record, cases: list[Case]) -> dict[tuple[str, str], Row]:
    order = {phase.name: number for number, phase in enumerate(REGIONS)}
    keys = sorted({(case.fault, case.phase) for case in cases}, key=lambda key: (key[0], order.get(key[1], 9)))
    rows = {key: Row() for key in keys}
    for case in cases:
        row, line = rows[case.fault, case.phase], record.lines.get(str(case))
        row.planned += 1
        if line is not None:
            row.ran += 1
            row.struck += line.result.struck
            row.at_once += line.result.same_run
            row.held += not line.result.problems
            row.count += line.result.count
    return rows


def _calls(worlds: Worlds) -> str:
    sums = {name: Counter(call.mutates for call in calls) for name, calls in worlds.calls.items()}
    return ", ".join(f"{name} {sums[name][True]} and {sums[name][False]}" for name in sums)


def _lasting(rows: dict[tuple[str, str], Row]) -> str:
    """How often the lasting faults struck."""
    counts = {what: sum(row.count for key, row in rows.items() if key[0] == fault) for fault, what in LASTING.items()}
    return "\n" + "; ".join(f"{what}: {count}" for what, count in counts.items()).capitalize() + ".\n"


def _open(record: Record) -> str:
    """What didn't hold."""
    if not record.failures:
        return ""
    lines = [f"- {line.case}: {line.result.problems[0].splitlines()[-1][:200]}" for line in record.failures]
    return "\n## What did not hold\n\n" + "\n".join(lines) + "\n"
