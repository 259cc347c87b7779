"""Work that a backend of moto leaves for later, in the cloud of its region; kept with the backend until it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import uuid4

from mlplat.localcloud.changes import EVERYTHING
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.families import Clouds

_clouds: list[Clouds] = []

WAITING = "_work_that_waits"
"""The backend's attribute with its work: what is pickled with it refers to the same objects as it does."""


def use(clouds: Clouds) -> None:
    """The clouds of this process."""
    _clouds[:] = [clouds]


def cloud(region: str) -> Cloud:
    """The cloud of a region of this process."""
    return _clouds[0].cloud(region)


def later(backend: Any, work: Callable[[], object]) -> None:
    """Run `work` after the region's transition delay; after a restart, if there is one before."""
    name = uuid4().hex
    backend.__dict__.setdefault(WAITING, {})[name] = work
    _clouds[0].cloud(backend.region_name).later(partial(_do, backend, name, work))


def resume(backends: Iterable[Any]) -> None:
    """Go on with the work that was waiting when the local cloud ended."""
    for backend in backends:
        for name, work in list(backend.__dict__.get(WAITING, {}).items()):
            _clouds[0].cloud(backend.region_name).later(partial(_do, backend, name, work))


def _do(backend: Any, name: str, work: Callable[[], object]) -> None:
    try:
        work()
    finally:
        backend.__dict__.get(WAITING, {}).pop(name, None)
        _clouds[0].host.changes.mark(EVERYTHING, backend.region_name)
