"""A case and what must hold after it: one phase on one world while something goes wrong, then again, then once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from tests.faults.census import counted
from tests.faults.layer import Call, Fault, no_fault
from tests.faults.world import Phase, World

from mlplat.errors import MlplatError


@dataclass
class Result:
    """What became of a case. `problems` is empty when everything held."""

    struck: bool = False
    same_run: bool = False
    """Whether the run that was struck succeeded all the same."""
    count: int = 0
    """How often a lasting fault struck."""
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As the record keeps it."""
        return asdict(self)


class Case(NamedTuple):
    """Which fault, in which phase, where. `trial` does it, in a copy of the process."""

    fault: str
    phase: str
    where: str
    trial: Callable[[], Result]
    rank: int = 1
    """0 comes first: where something could be made twice. 2 comes last: a fault at a read."""

    def __str__(self) -> str:
        return f"{self.fault}, {self.phase}, {self.where}"


def attempt(world: World, phase: Phase, fault: Fault = no_fault) -> MlplatError | None:
    """One process that does the phase; its error."""
    world.process(fault)
    try:
        phase.run(world)
    except MlplatError as error:
        return error
    return None


def run_again(world: World, phase: Phase, result: Result, fault: Fault = no_fault) -> None:
    """The next run must succeed."""
    if error := attempt(world, phase, fault):
        result.problems.append(f"the next run failed: {error}")


def check_settled(world: World, phase: Phase, result: Result) -> None:
    """One more run must change nothing, and each address have exactly one object."""
    if error := attempt(world, phase):
        result.problems.append(f"the third run failed: {error}")
    if calls := world.changes:
        result.problems.append(f"the third run changed something: {told(calls)}")
    _check_objects(world, phase, result)


def told(calls: list[Call]) -> str:
    """Calls, for people."""
    return ", ".join(map(str, calls))


def _check_objects(world: World, phase: Phase, result: Result) -> None:
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
