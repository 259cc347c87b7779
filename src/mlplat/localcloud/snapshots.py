"""Everything that the local cloud knows, written down within a second of a change, and put back at start.

Own objects are compared one by one; of moto's, the backends that may have changed are pickled anew (`backends`), each
while no request works on it. One transaction holds them all, so what is on disk was there at one time.
"""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections import defaultdict
from hashlib import blake2b
from typing import Any

from mlplat.localcloud import backends, bodies
from mlplat.localcloud.backends import Pieces
from mlplat.localcloud.bodies import Bodies
from mlplat.localcloud.changes import EVERYTHING
from mlplat.localcloud.cloud import Cloud, Host
from mlplat.localcloud.families import Clouds
from mlplat.localcloud.store import Batch, Name, Part, Store, StoreRefused

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between two looks."""

CHEAP = 0.005
"""Seconds of pickling below which a backend is looked at whenever anything has changed, because services reach into
each other; dearer ones when their own service was called, and now and then."""

NOW_AND_THEN = 10.0

PATIENCE = 0.25
"""Seconds that a snapshot waits for a service to be quiet. After that it is taken all the same, and again later."""

ATTEMPTS = 3

Key = tuple[str, str, str]
Seen = set[tuple[str, str]]


class Snapshots:
    """Writes the objects of one local cloud to its store."""

    def __init__(self, store: Store, host: Host, clouds: Clouds) -> None:
        self._store, self._host, self._clouds = store, host, clouds
        self._bodies = Bodies(host.folder / "objects")
        bodies.use(self._bodies)
        self._saving = threading.Lock()
        self._stop = threading.Event()
        self._own = _Own()
        self._marks: dict[Part, Any] = {}
        """What is in the store of moto's backends: of a backend its digest, of its pieces their marks."""
        self._took: dict[Key, float] = {}
        self._looked: dict[Key, float] = {}
        self._skipped: set[Key] = set()
        self._failing: dict[Key, str] = {}
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)

    def restore(self) -> None:
        """Put back all that is in the store. Raises StoreRefused when it can't be read."""
        try:
            for region, stores in self._own.load(self._store).items():
                self._clouds.cloud(region, stores)
            parts: defaultdict[Key, dict[str, bytes]] = defaultdict(dict)
            for part, data in self._store.parts():
                parts[part[:3]][part.part] = data
            for key, pieces in parts.items():
                backend = backends.restore(key, pieces)
                self._marks |= {Part(*key, name): None for name in pieces}
                self._marks |= {part: mark for part, (mark, _) in Pieces(key, backend, {}).parts.items()}
        except Exception as error:
            log.exception("what is kept can't be read")
            raise StoreRefused(f"what is kept in {self._host.folder} is damaged ({error})") from error
        self._host.changes.mark(EVERYTHING, EVERYTHING)

    def start(self) -> None:
        """Write down what changes from now on, in the background."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and no more."""
        self._stop.set()
        self._thread.join()
        self._host.changes.mark(EVERYTHING, EVERYTHING)
        try:
            self.save()
            self._store.close()
        except Exception:  # the folder was deleted, or the disk is full: the children must be ended all the same
            log.exception("what has changed last could not be written down")

    def save(self) -> None:
        """Write what has changed since the last time."""
        with self._saving:
            dropped = self._bodies.dropped()
            seen = self._host.changes.take()
            batch = Batch()
            try:
                self._own.look(self._clouds.all(), batch)
                objects_seen = self._look_at_moto(seen, batch) if seen or self._skipped else False
                self._bodies.sync()
                if batch:
                    self._store.write(batch)
            except BaseException:
                self._host.changes.put_back(seen)
                self._bodies.put_back(dropped)
                self._own.forget(batch)
                self._marks |= dict.fromkeys(batch.parts)
                raise
            if objects_seen:
                self._bodies.delete(dropped)
            else:
                self._bodies.put_back(dropped)

    def _run(self) -> None:
        self._bodies.sweep()
        while not self._stop.wait(EVERY):
            try:
                self.save()
            except Exception:
                log.exception("what has changed could not be written down; it is tried again")

    def _look_at_moto(self, seen: Seen, batch: Batch) -> bool:
        """Take what has changed into the batch; whether S3's objects are in it, all of them, as they are now."""
        live = backends.live()
        names = backends.names_of(live)
        for part in [part for part in self._marks if part[:3] not in live]:
            batch.parts[part] = None
            del self._marks[part]
        taken = {key for key in live if self._is_due(key, seen) and self._take(key, live[key], names, batch)}
        return all(key in taken for key in live if key[0] == "s3")

    def _is_due(self, key: Key, seen: Seen) -> bool:
        service, region = key[0].replace("-", ""), key[2]
        everywhere = region.startswith("aws")  # a partition: IAM, S3, STS
        if any(s == EVERYTHING or (s == service and (everywhere or r == region)) for s, r in seen):
            return True
        if seen and self._took.get(key, 0.0) < CHEAP:
            return True
        if seen:
            self._skipped.add(key)
        return key in self._skipped and time.monotonic() - self._looked.get(key, 0.0) > NOW_AND_THEN

    def _take(self, key: Key, backend: Any, names: dict[int, Any], batch: Batch) -> bool:
        """One backend into the batch; False when it can't be pickled."""
        begun = time.perf_counter()
        self._skipped.discard(key)
        self._looked[key] = time.monotonic()
        for _ in range(ATTEMPTS):
            with self._host.locks.quiet(key[0], PATIENCE) as quiet:
                if not quiet:
                    self._host.changes.mark(key[0], key[2])
                try:
                    self._pickle(key, backend, names, batch)
                except Exception as error:
                    failure = f"{type(error).__name__}: {error}"  # perhaps another service changed it meanwhile
                    continue
            self._failing.pop(key, None)
            self._took[key] = time.perf_counter() - begun
            return True
        if self._failing.get(key) != failure:
            log.error("%s in %s can't be kept: %s", key[0], key[2], failure)
        self._failing[key] = failure
        return False

    def _pickle(self, key: Key, backend: Any, names: dict[int, Any], batch: Batch) -> None:
        pieces = Pieces(key, backend, names)
        found: dict[Part, tuple[Any, bytes | None]] = {}
        for part, (mark, data) in pieces.parts.items():
            found[part] = (mark, data() if self._marks.get(part) != mark else None)
        whole = pieces.whole()
        found[Part(*key)] = (blake2b(whole).digest(), whole)
        for part, (mark, written) in found.items():
            if written is not None and self._marks.get(part) != mark:
                batch.parts[part] = written
            self._marks[part] = mark
        for part in [part for part in self._marks if part[:3] == key and part not in found]:
            batch.parts[part] = None
            del self._marks[part]


class _Own:
    """Our own objects: which of them are in the store, and how they were when they were written."""

    def __init__(self) -> None:
        self._known: dict[Name, tuple[int, bytes]] = {}
        self._counts: dict[Cloud, int] = {}
        self._next = 0

    def load(self, store: Store) -> dict[str, dict[str, dict[str, Any]]]:
        """Objects by region, kind and name."""
        found: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for name, number, data in store.objects():
            found[name.region].setdefault(name.store, {})[name.name] = pickle.loads(data)  # noqa: S301 - see `store`
            self._known[name] = (number, _digest(data))
            self._next = max(self._next, number + 1)
        return found

    def look(self, clouds: list[Cloud], batch: Batch) -> None:
        """Take what has changed into the batch."""
        for cloud in clouds:
            if self._counts.get(cloud) != cloud.lock.count:
                with cloud.lock:
                    self._counts[cloud] = cloud.lock.count
                    now = cloud.kept()
                self._compare(cloud.region, now, batch)

    def forget(self, batch: Batch) -> None:
        """The batch could not be written."""
        self._counts.clear()
        for name in batch.objects:
            self._known.pop(name, None)

    def _compare(self, region: str, now: dict[str, dict[str, bytes]], batch: Batch) -> None:
        for kind, things in now.items():
            last = -1
            for name, data in things.items():
                key, digest = Name(region, kind, name), _digest(data)
                number, before = self._known.get(key, (-1, b""))
                if number <= last:  # new, or made again: it comes after the others
                    number, self._next, before = self._next, self._next + 1, b""
                if before != digest:
                    batch.objects[key] = (number, data)
                    self._known[key] = (number, digest)
                last = number
        for key in [key for key in self._known if key.region == region and key.name not in now.get(key.store, {})]:
            batch.objects[key] = None
            del self._known[key]


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
