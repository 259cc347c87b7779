"""Two and five applies at once: one works, the others name it, and a holder that was killed is in nobody's way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from botocore.awsrequest import AWSResponse
from tests.faults.layer import STATE, Call, Exchange, Killed
from tests.faults.trial import Case, Result, check_settled, told
from tests.faults.world import APPLY, IN_S3, Phase, World, Worlds

from mlplat.errors import LockHeld, MlplatError

AT_ONCE = (2, 5)

EVERY = 8
"""The others come at every so manieth call of the first that changes something."""


def at_once(worlds: Worlds) -> Iterator[Case]:
    """From the same moment on, and while one works; that one goes on, or is killed."""
    for phase in (APPLY, IN_S3):
        changes = [call for call in worlds.calls[phase.name] if call.mutates and not call.address.startswith(STATE)]
        for number in AT_ONCE:
            yield Case(f"{number} at once", phase.name, "from the start", partial(_raced, worlds, phase, number))
            for call in changes[::EVERY]:
                yield Case(f"{number} at once", phase.name, str(call), partial(_met, worlds, phase, number, call))
                killed = partial(_killed, worlds, phase, number, call)
                yield Case(f"{number} at once, the first is killed", phase.name, str(call), killed)


@dataclass
class Meeting:
    """While the first is at a call, the others come; then it goes on, or dies."""

    call: Call
    others: Callable[[], None]
    dies: bool
    met: bool = False

    def __call__(self, exchange: Exchange) -> AWSResponse:
        if exchange.call != self.call:
            return exchange.send()
        exchange.wire.struck = self.met = True
        self.others()
        answer = exchange.send()
        if self.dies:
            exchange.wire.die()
        return answer


def _raced(worlds: Worlds, phase: Phase, number: int) -> Result:
    world, result = worlds.alone(phase), Result(struck=True)
    _race(world, phase, number, result)
    result.same_run = not result.problems
    check_settled(world, phase, result)
    return result


def _met(worlds: Worlds, phase: Phase, number: int, call: Call) -> Result:
    world, result = worlds.alone(phase), Result()
    error = _meet(world, phase, number, call, result, dies=False)
    result.same_run = error is None
    if error is not None:
        result.problems.append(f"the one that worked failed: {error}")
    check_settled(world, phase, result)
    return result


def _killed(worlds: Worlds, phase: Phase, number: int, call: Call) -> Result:
    world, result = worlds.alone(phase), Result()
    _meet(world, phase, number, call, result, dies=True)
    world.bury()
    _race(world, phase, number, result)
    check_settled(world, phase, result)
    return result


def _meet(world: World, phase: Phase, number: int, call: Call, result: Result, *, dies: bool) -> BaseException | None:
    """One run, and at a call of it the others: each is refused, and changes nothing."""
    others = [world.rival() for _ in range(number - 1)]

    def come() -> None:
        for other, error in zip(others, _at_once(others, phase), strict=True):
            if error is None or other.changes:
                result.problems.append(f"worked beside the first: {told(other.changes)}")
            _check_names(error, result)

    meeting = Meeting(call, come, dies)
    world.process(meeting)
    try:
        phase.run(world)
    except (Killed, MlplatError) as error:
        return error
    finally:
        result.struck = meeting.met
    return None


def _race(world: World, phase: Phase, number: int, result: Result) -> None:
    """All at the same moment: no more than one changes something; who isn't refused finds it done."""
    runners = [world.rival() for _ in range(number)]
    errors = _at_once(runners, phase)
    for error in errors:
        _check_names(error, result)
    if all(errors):
        result.problems.append(f"nobody worked: {errors[0]}")
    if len(busy := [each for each in runners if each.changes]) > 1:
        result.problems.append(f"worked side by side: {' and '.join(told(each.changes) for each in busy)}")


def _at_once(runners: Sequence[World], phase: Phase) -> list[BaseException | None]:
    """What became of each."""
    together = threading.Barrier(len(runners))

    def run(world: World) -> BaseException | None:
        together.wait()
        try:
            phase.run(world)
        except MlplatError as error:
            return error
        return None

    with ThreadPoolExecutor(len(runners)) as pool:
        return list(pool.map(run, runners))


def _check_names(error: BaseException | None, result: Result) -> None:
    """A refusal says who holds the lock and since when, and ends with exit code 5."""
    if error is None:
        return
    if not isinstance(error, LockHeld) or error.exit_code != 5:
        result.problems.append(f"ended by {error!r}")
    elif f"process {os.getpid()}) since" not in str(error):
        result.problems.append(f"doesn't name the holder: {error}")
