"""What goes wrong on the wire: each fault at each call of each phase, and those that strike all over a run."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tests.faults.faults import (
    AppliedYet500,
    Dropped,
    Expired,
    Invisible,
    KillAfter,
    KillBefore,
    KillDuring,
    Lost,
    ReadsFail,
    Refused,
    Signalled,
    Throttled,
    Unavailable,
)
from tests.faults.layer import STATE, Call, Fault, Killed, no_fault
from tests.faults.refusals import refusals
from tests.faults.trial import Case, Result, check_settled, run_again
from tests.faults.world import IN_S3, PARALLELISM, PHASES, REGIONS, Phase, World, Worlds

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
}
"""Faults that strike at one call that changes something."""

AT_ANY: dict[str, Callable[[Call], Fault]] = {
    "credentials expired": Expired,
    "SIGINT": Signalled,
    "SIGTERM": lambda call: Signalled(call, signal.SIGTERM),
}
"""Faults that strike at, or from, any call."""

LASTING: dict[str, Callable[[int], Fault]] = {
    "each retryable code once": Refused,
    "10 % throttled": Throttled,
    "new objects invisible": Invisible,
    "each read fails once": ReadsFail,
}
"""Faults that strike all over a run: by number. The same run must succeed."""

WITHIN = 10.0
"""Seconds in which a signal ends a run; on a machine so busy that twice the whole run takes longer, that long."""


def at_calls(worlds: Worlds) -> Iterator[Case]:
    """Each fault at each call of its sort; with the state in S3, at the calls that write it."""
    for phase in (*PHASES, IN_S3):
        calls = worlds.calls[phase.name]
        if phase is IN_S3:
            calls = [call for call in calls if call.address.startswith(STATE)]
        for name, fault in (AT_EACH | AT_ANY).items():
            for call in calls:
                if call.mutates or name in AT_ANY:
                    trial = partial(_try, worlds, phase, name, fault, call)
                    rank = 0 if name in AT_EACH else 1 if call.mutates else 2
                    yield Case(name, phase.name, str(call), trial, rank)


def lasting(worlds: Worlds, *, seeds: Sequence[int] = (), reads: Sequence[int] = (2, 3)) -> Iterator[Case]:
    """Each fault that lasts, by its numbers: as many turns as the call with the most codes has."""
    for phase in REGIONS:
        turns = max(len(refusals(call, fresh=True)) for call in worlds.calls[phase.name])
        numbers: dict[str, tuple[str, Sequence[int]]] = {
            "each retryable code once": ("turn", range(turns)),
            "10 % throttled": ("seed", seeds if phase in PHASES else seeds[:5]),
            "new objects invisible": ("reads", reads),
            "each read fails once": ("way", range(4)),
        }
        for name, fault in LASTING.items():
            word, chosen = numbers[name]
            for number in chosen:
                yield Case(name, phase.name, f"{word} {number}", partial(_try, worlds, phase, name, fault, number))


def _try(worlds: Worlds, phase: Phase, name: str, make: Callable[[Any], Any], where: Any) -> Result:
    world, result, fault = worlds.alone(phase), Result(), make(where)
    error = _strike(world, phase, fault)
    ended = time.monotonic()
    world.bury()
    result.struck, result.same_run = world.wire.struck, error is None
    result.count = len(getattr(fault, "refused", ())) or getattr(fault, "hidden", 0) or getattr(fault, "count", 0)
    if name in LASTING and error is not None:
        result.problems.append(f"the same run failed: {error}")
    if isinstance(fault, Expired):
        _check_expired(fault, error, result)
    if isinstance(fault, Signalled) and world.wire.struck:
        _check_signalled(world, error, result)
        if (took := ended - fault.at) > max(WITHIN, 2 * worlds.seconds[phase.name]):
            result.problems.append(f"ended {took:.0f} s after the signal")
    late = "invisible for 2 reads" in name
    run_again(world, phase, result, Invisible(2, _new(world, worlds, phase)) if late else no_fault)
    check_settled(world, phase, result)
    return result


def _strike(world: World, phase: Phase, fault: Any) -> BaseException | None:
    world.process(fault)
    try:
        phase.run(world)
    except (Killed, MlplatError) as found:
        return found
    return None


def _check_expired(fault: Expired, error: BaseException | None, result: Result) -> None:
    left = fault.call.operation == "DeleteObject" and fault.call.address.startswith(STATE)
    done = left and error is None  # the state is written; a folded journal stays, or the lock, and the run says so
    if fault.begun and not done and getattr(error, "exit_code", 0) not in (3, 4):
        result.problems.append(f"exit code {getattr(error, 'exit_code', 0)} after the credentials expired: {error}")
    if fault.made > 2 * PARALLELISM:
        result.problems.append(f"{fault.made} calls with expired credentials")


def _check_signalled(world: World, error: BaseException | None, result: Result) -> None:
    """A run that was all but done may end as if nothing had happened. What it left half done, it names."""
    if error is not None and not isinstance(error, Interrupted):
        result.problems.append(f"ended by {error!r}")
    left = {address for address, entry in world.store.load().entries.items() if entry.intent is not None}
    if silent := {address for address in left if address not in str(error)}:
        result.problems.append(f"left half done and not named: {', '.join(sorted(silent))}: {error}")


def _new(world: World, worlds: Worlds, phase: Phase) -> dict[str, int]:
    """What was made a moment ago is late to show."""
    return {name.split(" ", 1)[1]: 2 for name in world.look().keys() - worlds.before[phase.name].keys()}
