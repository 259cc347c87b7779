"""Real processes that end in the middle: by os._exit at every call that changes something, and by kill -9."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.reconciler.conftest import EDITED, World, platform

from mlplat.resources.base import Declared


def in_a_process(world: World, work: Callable[[], object], until: Callable[[int], None] = lambda _pid: None) -> int:
    """Do `work` in a child process; what it did to the cloud, up to its last moment, is taken over. Its exit code."""
    there = world.folder.parent / "cloud.pickle"
    child = os.fork()
    if not child:
        try:
            work()
            save(world, there)
            os._exit(0)
        finally:
            os._exit(1)
    until(child)
    _, status = os.waitpid(child, 0)
    if there.exists():
        world.cloud.things, world.cloud.calls, world.cloud._ids = pickle.loads(there.read_bytes())
    return os.waitstatus_to_exitcode(status)


def save(world: World, there: Path) -> None:
    fresh = there.with_suffix(".new")
    fresh.write_bytes(pickle.dumps((world.cloud.things, world.cloud.calls, world.cloud._ids)))
    fresh.rename(there)


def dying(world: World, number: int, when: str) -> World:
    """A world whose process ends at its n-th mutating call."""

    def die() -> None:
        save(world, world.folder.parent / "cloud.pickle")
        os._exit(9)

    world.cloud.faults = {next(world.cloud._count) + 1 + number: when}
    world.cloud.die = die  # type: ignore[method-assign, assignment]
    return world


@pytest.mark.parametrize("when", ["kill_before", "kill_after"])
def test_a_process_that_ends_at_any_call(tmp_path: Path, when: str) -> None:
    for number in range(20):
        world = World(tmp_path / str(number) / ".mlplat")
        (tmp_path / str(number)).mkdir()
        codes = [lived(world, declared, number, when) for declared in (platform(), EDITED)]
        if codes == [0, 0]:
            break
    assert number > 8


def lived(world: World, declared: Sequence[Declared], number: int, when: str) -> int:
    """Apply in a process that dies, then once more; nothing is there twice or left over. The first exit code."""
    code = in_a_process(world, lambda: dying(world, number, when).apply(declared))
    assert code in (0, 9)
    assert in_a_process(world, lambda: world.apply(declared)) == 0
    world.check(declared)
    made = [name for verb, name in world.cloud.calls if verb == "create"]
    gone = [name for verb, name in world.cloud.calls if verb == "delete"]
    assert len(made) - len(gone) == len(declared)
    return code


def test_kill_9_at_any_time(tmp_path: Path) -> None:
    for turn in range(8):
        world = World(tmp_path / str(turn) / ".mlplat")
        (tmp_path / str(turn)).mkdir()
        world.cloud.delay = 0.003
        there = world.folder.parent / "cloud.pickle"

        def kill(pid: int, after: float = 0.01 * turn) -> None:
            time.sleep(0.02 + after)
            os.kill(pid, signal.SIGKILL)

        def work(world: World = world, there: Path = there) -> None:
            mutate = world.cloud.mutate

            def saving(verb: str, name: str, act: Callable[[], object]) -> object:
                def both() -> object:
                    result = act()
                    save(world, there)
                    return result

                return mutate(verb, name, both)

            world.cloud.mutate = saving  # type: ignore[method-assign, assignment]
            world.apply(platform())

        assert in_a_process(world, work, kill) in (0, -signal.SIGKILL)
        world.apply(platform())
        world.check(platform())
