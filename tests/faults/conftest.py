"""The worlds, made once; each case works on a copy."""

from __future__ import annotations

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
            made.calls[phase.name], writes = found
            made.writes |= {(phase.name, error): count for error, count in writes.items()}
        yield made


def counter(worlds: Worlds) -> Callable[[Phase], tuple[list[Call], dict[int, int]]]:
    """What a phase calls and how often it writes, counted in a copy of the world."""

    def count(phase: Phase) -> tuple[list[Call], dict[int, int]]:
        world = worlds.alone(phase)
        world.process()
        with Disk([world.wire.folder, world.temporary]) as disk:
            phase.run(world)
        return world.wire.calls, disk.counts

    return count
