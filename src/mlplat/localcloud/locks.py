"""What to hold while moto works: its backends are not made for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlplat.localcloud.routing import Route

Lock = AbstractContextManager[Any]

STRIPES = 512
"""Locks for S3's keys; two keys that share one wait for each other and nothing else."""


class Locks:
    """One lock a service; in S3 one a key, so that uploads go on side by side."""

    def __init__(self) -> None:
        self._services: dict[str, Any] = {}
        self._keys = [threading.RLock() for _ in range(STRIPES)]

    def of(self, route: Route) -> list[Lock]:
        """What a request holds: in S3 its key and its copy's source.

        Without it, a GET or PUT meets the file of a version that another PUT has just closed.
        """
        if route.service != "s3":
            return [self._service(str(route.service))]
        paths = {route.request.path, "/" + route.request.headers.get("x-amz-copy-source", "").lstrip("/")}
        return [self._keys[index] for index in sorted({hash(path) % STRIPES for path in paths})]

    @contextmanager
    def quiet(self, service: str, patience: float) -> Iterator[bool]:
        """Hold a whole service (moto's name); False when something, a slow upload perhaps, goes on for too long."""
        wanted = self._keys if service == "s3" else [self._service(service)]
        until = time.monotonic() + patience
        with ExitStack() as held:
            for lock in wanted:
                if not lock.acquire(timeout=max(0.0, until - time.monotonic())):
                    held.close()
                    yield False
                    return
                held.callback(lock.release)
            yield True

    def _service(self, name: str) -> Any:
        return self._services.setdefault(name.replace("-", ""), threading.RLock())
