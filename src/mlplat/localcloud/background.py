"""Work that a backend of moto leaves for later, in the cloud of its region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlplat.localcloud.families import Clouds

_clouds: list[Clouds] = []


def use(clouds: Clouds) -> None:
    """The clouds of this process."""
    _clouds[:] = [clouds]


def later(backend: Any, work: Callable[[], object]) -> None:
    """Run `work` after the region's transition delay."""
    _clouds[0].cloud(backend.region_name).later(work)
