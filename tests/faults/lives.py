"""Random lives of random platforms (tests/reconciler/test_lifecycles.py), 10,000 of them, in parts that are cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from hypothesis.database import DirectoryBasedExampleDatabase
from tests.fakes import FAKE_KINDS
from tests.faults.trial import Case, Result
from tests.reconciler.test_lifecycles import live, live_and_move, many

from mlplat.resources.base import KINDS

PARTS, LIVES = 100, 100
"""Cases, and the lives in each."""

KEPT = "build/lives"
"""Where hypothesis keeps a life that failed, shrunk; it comes first the next time."""

SORTS = {"edits and faults": live, "renames, too": live_and_move}


def random_lives() -> Iterator[Case]:
    """Half of them with renamed addresses."""
    for number in range(PARTS):
        name = list(SORTS)[number % 2]
        yield Case("random lives", name, f"{LIVES} by seed {number}", partial(_lived, SORTS[name], number))


def _lived(live: Callable[..., None], seed: int) -> Result:
    KINDS.update(FAKE_KINDS)  # this copy of the process ends with the case
    many(live, LIVES, by=seed, kept=DirectoryBasedExampleDatabase(KEPT))()
    return Result(struck=True, same_run=True, count=LIVES)
