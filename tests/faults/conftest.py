"""The worlds, made once; each case works on a copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.faults import forks
from tests.faults.disk import Disk
from tests.faults.layer import Call
from tests.faults.world import REGIONS, Phase, Worlds


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with pytest.MonkeyPatch.context() as patch:
        made = Worlds.made(tmp_path_factory.mktemp("faults"), patch)
        for phase, found, _ in forks.each(list(REGIONS), counter(made)):
            assert not isinstance(found, Exception), str(found)
            made.calls[phase.name], writes, made.seconds[phase.name] = found
            made.writes |= {(phase.name, error): count for error, count in writes.items()}
        yield made


def counter(worlds: Worlds) -> Callable[[Phase], tuple[list[Call], dict[int, int], float]]:
    """What a phase calls, how often it writes and how long it takes, where nothing goes wrong."""

    def count(phase: Phase) -> tuple[list[Call], dict[int, int], float]:
        world = worlds.alone(phase)
        world.process()
        began = time.monotonic()
        with Disk([world.wire.folder, world.temporary]) as disk:
            phase.run(world)
        return world.wire.calls, disk.counts, time.monotonic() - began

    return count
