"""A case: one phase on one world with one fault, then run again without it, then once more; and what must hold."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.faults.census import Census, counted
from tests.faults.faults import (
    AppliedYet500,
    Dropped,
    Expired,
    Invisible,
    KillAfter,
    KillBefore,
    KillDuring,
    Lost,
    Refused,
    Signalled,
    Throttled,
    Unavailable,
)
from tests.faults.layer import Call, Fault, Killed, no_fault
from tests.faults.world import PARALLELISM, PHASES, Phase, World, Worlds

from mlplat.errors import Interrupted, MlplatError

AT_EACH: dict[str, Callable[[Call], Fault]] = {
    "killed before the call": KillBefore,
    "killed during the call": KillDuring,
    "killed after the call": KillAfter,
    "killed during the call, objects invisible for 2 reads": KillDuring,
    "answer dropped": Dropped,
    "request lost": Lost,
    "500 though applied": AppliedYet500,
    "503, not applied": Unavailable,
    "credentials expired": Expired,
    "SIGINT": Signalled,
    "SIGTERM": lambda call: Signalled(call, signal.SIGTERM),
}
"""Faults that strike at one mutating call."""

LASTING: dict[str, Callable[[int], Fault]] = {
    "each retryable code once": Refused,
    "10 % throttled": Throttled,
    "new objects invisible": Invisible,
}
"""Faults that strike all over a run: by turn, by seed, by reads. The same run must succeed."""

WITHIN = 10.0
"""Seconds in which a signal ends a run."""


class Case(NamedTuple):
    """Which fault, in which phase, at which call or with which number."""

    fault: str
    phase: Phase
    where: Call | int

    def __str__(self) -> str:
        return f"{self.fault}, {self.phase.name}, {self.where}"


@dataclass
class Result:
    """What became of a case. `problems` is empty when everything held."""

    struck: bool = False
    same_run: bool = False
    """Whether the run that was struck succeeded all the same."""
    count: int = 0
    """How often a lasting fault struck."""
    problems: list[str] = field(default_factory=list)


def every_case(
    worlds: Worlds, *, turns: int = 5, seeds: Sequence[int] = (), reads: Sequence[int] = (2, 3)
) -> list[Case]:
    """Each fault at each mutating call of each phase, and the lasting ones."""
    numbers = {"each retryable code once": range(turns), "10 % throttled": seeds, "new objects invisible": reads}
    found = [Case(fault, phase, call) for fault in AT_EACH for phase in PHASES for call in worlds.calls[phase.name]]
    return found + [Case(fault, phase, each) for fault in LASTING for phase in PHASES for each in numbers[fault]]


def mutations(worlds: Worlds) -> Callable[[Phase], list[Call]]:
    """The mutating calls of a phase, counted in a copy of the world."""

    def count(phase: Phase) -> list[Call]:
        world = worlds.of[phase.name].alone()
        world.process()
        phase.run(world)
        return world.wire.mutations

    return count


def tried(worlds: Worlds) -> Callable[[Case], Result]:
    """Do a case, in a copy of the worlds."""

    def work(case: Case) -> Result:
        world, result = worlds.of[case.phase.name].alone(), Result()
        fault: Any = (AT_EACH | LASTING)[case.fault](case.where)  # type: ignore[operator, arg-type]
        before = world.look()
        _strike(world, case, fault, result)
        again = Invisible(2, _new(world, before)) if "invisible for 2 reads" in case.fault else no_fault
        _run_again(world, case.phase, again, result)
        _third(world, case.phase, result)
        _count(world, case.phase, result)
        return result

    return work


def _strike(world: World, case: Case, fault: Any, result: Result) -> None:
    world.process(fault)
    began, error = time.monotonic(), None
    try:
        case.phase.run(world)
    except (Killed, MlplatError) as found:
        error = found
    took = time.monotonic() - began
    world.wire.bury()
    result.struck, result.same_run = world.wire.struck, error is None
    result.count = len(getattr(fault, "refused", ())) or getattr(fault, "hidden", 0) or getattr(fault, "count", 0)
    if case.fault in LASTING and error is not None:
        result.problems.append(f"the same run failed: {error}")
    if isinstance(fault, Expired):
        _check_expired(fault, error, result)
    if isinstance(fault, Signalled) and world.wire.struck:
        _check_signalled(error, took, result)


def _check_expired(fault: Expired, error: BaseException | None, result: Result) -> None:
    if fault.begun and getattr(error, "exit_code", 0) not in (3, 4):
        result.problems.append(f"exit code {getattr(error, 'exit_code', 0)} after the credentials expired: {error}")
    if fault.made > 2 * PARALLELISM:
        result.problems.append(f"{fault.made} calls with expired credentials")


def _check_signalled(error: BaseException | None, took: float, result: Result) -> None:
    """A run that was all but done may end as if nothing had happened."""
    if error is not None and not isinstance(error, Interrupted):
        result.problems.append(f"ended by {error!r}")
    if took > WITHIN:
        result.problems.append(f"ended after {took:.0f} s")


def _new(world: World, before: Census) -> dict[str, int]:
    """What was made a moment ago is late to show."""
    return {name.split(" ", 1)[1]: 2 for name in world.look().keys() - before.keys()}


def _run_again(world: World, phase: Phase, fault: Fault, result: Result) -> None:
    world.process(fault)
    try:
        phase.run(world)
    except MlplatError as error:
        result.problems.append(f"the next run failed: {error}")


def _third(world: World, phase: Phase, result: Result) -> None:
    world.process()
    try:
        phase.run(world)
    except MlplatError as error:
        result.problems.append(f"the third run failed: {error}")
    if calls := world.wire.mutations:
        result.problems.append(f"the third run changed something: {', '.join(map(str, calls))}")


def _count(world: World, phase: Phase, result: Result) -> None:
    there, wanted = world.look(), phase.expected(world)
    objects = counted(there, world.namespace)
    if missing := wanted - objects.keys():
        result.problems.append(f"missing: {', '.join(sorted(missing))}")
    if double := [address for address, count in objects.items() if address in wanted and count > 1]:
        result.problems.append(f"double: {', '.join(sorted(double))}")
    if orphans := objects.keys() - wanted:
        result.problems.append(f"orphaned: {', '.join(sorted(orphans))}")
    if phase.destroys:
        ours = {name: tag for name, tag in there.items() if name not in world.empty and "faults-" not in tag}
        if left := [name for name in ours if world.namespace in name or name.startswith("describe_")]:
            result.problems.append(f"left without tags: {', '.join(left)}")


@dataclass
class Row:
    """A line of the table: one fault in one phase."""

    fault: str
    phase: str
    cases: int = 0
    struck: int = 0
    same_run: int = 0
    held: int = 0
    count: int = 0

    def add(self, result: Result | None) -> None:
        """One case more; None for one that broke off."""
        self.cases += 1
        if result is not None:
            self.struck += result.struck
            self.same_run += result.same_run
            self.held += not result.problems
            self.count += result.count


class Table:
    """What held, by fault and phase, and what didn't."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.failures: list[tuple[Case, list[str]]] = []
        self.phases: Counter[str] = Counter()

    def add(self, case: Case, result: Result | Exception) -> None:
        """Enter a case."""
        row = self.rows.setdefault((case.fault, case.phase.name), Row(case.fault, case.phase.name))
        row.add(result if isinstance(result, Result) else None)
        problems = result.problems if isinstance(result, Result) else [str(result)]
        if problems:
            self.failures.append((case, problems))
