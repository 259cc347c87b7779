"""Standing up, re-applying and taking down ml_data_infrastructure with 80 ms added to every call, against a bound.

The bound is taken in the same run: the time that the calls need when nothing but they takes time, each at its own
measured cost, along the longest chain of dependent resources, or spread over the allowed parallelism, whichever is
longer. Within a resource, calls that did not overlap count as a chain. A bucket, a role and a key make a few calls at
once within their one step of the 16, so reads alone can take less than the bound. With the state in S3 its reads and
writes and its lock are 80 ms away, too; the bound leaves them out, so the ratio shows what they cost. `--write` puts
the table into docs/performance.md.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplat.aws import Client, Session
from mlplat.localcloud import daemon
from mlplat.reconciler.objects import Objects
from mlplat.reconciler.plan import Plan
from mlplat.reconciler.state import Store
from mlplat.settings import load
from mlplat.workflows.platform import Platform

LATENCY = 0.08
PARALLELISM = 16
TEMPLATE = "ml_data_infrastructure"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


@dataclass
class Calls:
    """Every call of a phase: whose it was, when it began and ended (seconds)."""

    seen: list[tuple[str, float, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, address: str, began: float, ended: float) -> None:
        """Note a call; from any thread."""
        with self.lock:
            self.seen.append((address, began, ended))

    def take(self) -> list[tuple[str, float, float]]:
        """The calls since the last time."""
        with self.lock:
            taken, self.seen = self.seen, []
        return taken


CALLS = Calls()


class SlowClient(Client):
    """A client as far away as a region is."""

    def _call(self, operation: str, repeatable: bool, send: Callable[[], Any]) -> Any:
        began = time.monotonic()
        time.sleep(LATENCY)
        try:
            return super()._call(operation, repeatable, send)
        finally:
            of_state = self._session.address.startswith("s3://")
            CALLS.add("" if of_state else self._session.address, began, time.monotonic())


@dataclass(frozen=True)
class SlowSession(Session):
    """A session whose clients are slow."""

    def client(self, service: str) -> Client:
        """The slow client of a service."""
        return SlowClient(self, service, super().client(service).boto)


def chain(spans: Iterable[tuple[float, float]]) -> float:
    """The seconds of the longest run of calls of one resource that did not overlap."""
    total, free = 0.0, 0.0
    for began, ended in sorted(spans, key=lambda span: span[1]):
        if began >= free:
            total, free = total + ended - began, ended
    return total


def bound(calls: list[tuple[str, float, float]], needs: Mapping[str, Iterable[str]]) -> float:
    """The least time for these calls, given who must wait for whom."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for address, began, ended in calls:
        spans.setdefault(address, []).append((began, ended))
    done: dict[str, float] = {}

    def finish(address: str) -> float:
        if address not in done:
            done[address] = 0.0  # a cycle can't be; this only ends the recursion
            before = max((finish(each) for each in needs.get(address, ())), default=0.0)
            done[address] = before + chain(spans.get(address, []))
        return done[address]

    longest = max((finish(address) for address in {*spans, *needs}), default=0.0)
    return max(longest, sum(ended - began for _, began, ended in calls) / PARALLELISM)


class Quiet:
    """Watches nothing."""

    def started(self, step: Any) -> None: ...
    def reported(self, step: Any, status: str) -> None: ...
    def done(self, step: Any, seconds: float) -> None: ...
    def failed(self, step: Any, error: Any) -> None: ...
    def skipped(self, step: Any, because: str) -> None: ...


def needs_of(plan: Plan) -> dict[str, set[str]]:
    """Who waits for whom in a plan."""
    return {step.address: set(step.needs) for step in plan.pending}


def phase(platform: Platform, make: Callable[[], Plan]) -> tuple[float, float, int]:
    """Plan and apply as the commands do, under the lock; seconds, bound in seconds, calls."""
    CALLS.take()
    began = time.monotonic()
    with platform.store.lock("bench"):
        platform.state()
        before = len(CALLS.take())
        made = make()
        reads = CALLS.take()
        platform.apply(made, Quiet())
    seconds, all_writes = time.monotonic() - began, CALLS.take()
    writes = [each for each in all_writes if each[0]]  # those for no address are the state's
    return seconds, bound(reads, {}) + bound(writes, needs_of(made)), before + len(reads) + len(all_writes)


def platform_on(address: daemon.Address, folder: Path, bucket: str = "") -> Platform:
    """The development platform, its clients made beforehand: their import is no one's call. `bucket`: of its state."""
    settings = load(namespace="development", flags={"network.nat": "per_zone", "apply.parallelism": PARALLELISM})
    session = SlowSession(
        settings.namespace,
        settings.region,
        endpoint_url=address.url,
        credentials=(address.access_key, address.secret_key),
        max_connections=2 * PARALLELISM,
    )
    for service in ("sts", "ec2", "s3", "kms", "iam", "logs", "glue", "sagemaker"):
        session.client(service)
    gc.collect()
    gc.freeze()  # nor is the garbage collector's look at all that
    if bucket:
        session.client("s3").create_bucket(Bucket=bucket)
    objects = Objects(session, bucket, "state.json") if bucket else None
    return Platform(settings, session, Store(folder, settings.namespace, backend=objects))


def measure(bucket: str = "") -> list[tuple[str, float, float, int]]:
    """First apply, no-op apply and destroy: name, seconds, bound, calls."""
    with tempfile.TemporaryDirectory() as name:
        folder, where = Path(name), ", state in S3" if bucket else ""
        address = daemon.start(folder / "local", transition_delay=0.0)
        try:
            platform = platform_on(address, folder, bucket)
            platform.place  # noqa: B018 - account and zones are asked once
            down = {"reverse": True, "delete_data": ["ml_*"]}
            return [
                (f"first apply{where}", *phase(platform, lambda: platform.plan([TEMPLATE]))),
                (f"no-op apply{where}", *phase(platform, lambda: platform.plan([TEMPLATE]))),
                (f"destroy{where}", *phase(platform, lambda: platform.plan_destroy(**down))),
            ]
        finally:
            daemon.stop(folder / "local")


def main() -> None:
    """Print the table, and write it when asked."""
    rows = [
        f"| {name} | {seconds:.2f} s | {least:.2f} s | {seconds / least:.2f} | {calls} |"
        for name, seconds, least, calls in [*measure(), *measure("state-of-bench")]
    ]
    lines = ["| | took | bound | ratio | calls |", "| --- | --- | --- | --- | --- |", *rows]
    lines += ["", f"Load of the machine at the end: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores."]
    print("\n".join(lines))
    if "--write" in sys.argv:
        about = (__doc__ or "").split("`--write`")[0].strip()
        others = "".join(PAGE.read_text().partition("\n## ")[1:])
        text = f"# Performance\n\n`python bench/apply.py --write`:\n\n{about}\n\n" + "\n".join(lines) + "\n"
        PAGE.write_text(text + others)


if __name__ == "__main__":
    main()
