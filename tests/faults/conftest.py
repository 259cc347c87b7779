"""The worlds, made once; each case works on a copy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults import forks
from tests.faults.cases import mutations
from tests.faults.world import PHASES, Worlds


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with pytest.MonkeyPatch.context() as patch:
        made = Worlds.made(tmp_path_factory.mktemp("faults"), patch)
        for phase, calls in forks.each(PHASES, mutations(made)):
            assert isinstance(calls, list), calls
            made.calls[phase.name] = calls
        yield made
