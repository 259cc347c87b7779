"""How long the reconciler itself takes, for 1,000 resources in memory: to plan, to apply, to save and load the state.

Once as chains of a plain kind, described one by one or listed in one call, and once as the platform's own templates
with 1,000 feature groups in the settings. Every describe answers at once, so what is measured is the reconciler alone.
Seconds are the processor's, of all threads, so that a busy machine doesn't show; memory is what a plan with nothing to
do holds at its peak. Target: plan under 1 s, time and memory linear. `--write` puts the feature groups' table into
docs/performance.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from mlplat import templates
from mlplat.aws import Session
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import plan, plan_destroy
from mlplat.reconciler.state import State, Store
from mlplat.resources.base import KINDS, Declared, Observed, Ref, Resource
from mlplat.settings import Settings

FEW, MANY = 250, 1000
TITLE = "## The reconciler alone"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PLACE = templates.Place("bench", "123456789012", "us-east-1", "aws", ("us-east-1a", "us-east-1b"))

THERE: dict[str, Observed] = {}


@dataclass(frozen=True, kw_only=True)
class Bench(Resource):
    """An object in a dict."""

    kind: ClassVar[str] = "bench"
    immutable: ClassVar[frozenset[str]] = frozenset({"parent"})

    parent: str | Ref = ""
    policy: Mapping[str, Any]

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        return THERE.get(aws.address)

    def create(self, aws: Session) -> str:
        THERE[aws.address] = Observed(self.name, self.to_json(), {"id": self.name}, aws.tags)
        return self.name

    def delete(self, aws: Session, id: str) -> None:
        THERE.pop(aws.address, None)


class Listed(Bench):
    """The same, listed in one call."""

    kind: ClassVar[str] = "bench_listed"

    @classmethod
    def prefetch(cls, aws: Session, ids: Mapping[str, str | None]) -> Mapping[str, Observed | None]:
        return {address: THERE.get(address) for address in ids}


def platform(kind: type[Bench], size: int) -> list[Declared]:
    """Chains of ten, each resource with a policy as a bucket has one."""
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": ["arn:aws:s3:::x/*"] * 5}
    policy = {"Version": "2012-10-17", "Statement": [statement] * 4}
    found = []
    for number in range(size):
        parent = Ref(f"t.{kind.kind}.n{number - 1}", "id") if number % 10 else ""
        found.append(Declared(f"t.{kind.kind}.n{number}", kind(name=f"n{number}", parent=parent, policy=policy)))
    return found


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and the result."""
    began = time.process_time()
    result = what()
    return time.process_time() - began, result


def measure(declare: Callable[[int], list[Declared]], size: int) -> dict[str, float]:
    """Seconds of each phase, and megabytes."""
    THERE.clear()
    session = Session(namespace="bench", region="us-east-1")
    making, declared = timed(lambda: declare(size))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "bench")
        first, made = timed(lambda: plan(session, store.load(), declared))
        applied, _ = timed(lambda: apply(made, session, store))
        loaded, state = timed(store.load)
        again, made = timed(lambda: plan(session, state, declared))
        assert made.is_empty
        nothing, _ = timed(lambda: apply(made, session, store))
        saved, _ = timed(lambda: State.loads(state.dumps()))
        tracemalloc.start()
        plan(session, state, declare(size))
        megabytes = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        down, made = timed(lambda: plan_destroy(session, state, scope=None, reverse=True))
        destroyed, _ = timed(lambda: apply(made, session, store))
    return {
        "declare": making,
        "plan, nothing there": first,
        "apply": applied,
        "load the state": loaded,
        "plan, nothing to do": again,
        "apply, nothing to do": nothing,
        "state to bytes and back": saved,
        "plan to destroy": down,
        "destroy": destroyed,
        "megabytes of a plan": megabytes,
    }


def feature_groups(size: int) -> list[Declared]:
    """The platform of the settings, all four templates, with so many feature groups of ten features."""
    features = {"customer_id": "String", "event_time": "String", **{f"feature_{n}": "Fractional" for n in range(8)}}
    group = {"record_identifier": "customer_id", "event_time": "event_time", "features": features}
    settings = Settings(namespace="bench", target="aws", feature_groups={f"group_{n}": group for n in range(size)})
    return templates.declare(settings, PLACE, {})


@contextmanager
def in_memory() -> Iterator[None]:
    """Every kind's objects in a dict."""

    def describe(_self: Resource, aws: Session, _id: str | None = None) -> Observed | None:
        return THERE.get(aws.address)

    def create(self: Resource, aws: Session) -> str:
        THERE[aws.address] = Observed(self.name, self.desired(), Outputs(aws.address), aws.tags)
        return self.name

    def delete(_self: Resource, aws: Session, _id: str) -> None:
        THERE.pop(aws.address, None)

    with ExitStack() as stack:
        for kind in KINDS.values():
            for verb in (describe, create, delete):
                stack.enter_context(patch.object(kind, verb.__name__, verb))
            stack.enter_context(patch.object(kind, "prefetch", Resource.__dict__["prefetch"]))
            stack.enter_context(patch.object(kind, "data", lambda _self, _aws, _id: None))
        yield


class Outputs(dict[str, str]):
    """Whatever another resource asks for."""

    def __init__(self, address: str) -> None:
        super().__init__({name: f"{name} of {address}" for name in ("id", "arn", "name", "uri", "alias")})


def main() -> None:
    """Print seconds by size, and how they grow; write the table when asked."""
    table("described one by one", lambda size: platform(Bench, size))
    table("listed in one call", lambda size: platform(Listed, size))
    with in_memory():
        lines = table("feature groups", feature_groups)
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition(TITLE)
        _, mark, others = rest.partition("\n## ")
        about = (__doc__ or "").split(" `--write`")[0].strip()
        mine = f"{TITLE}\n\n`python bench/planner.py --write`:\n\n{about}\n\n" + "\n".join(lines) + "\n"
        PAGE.write_text(f"{before.rstrip()}\n\n{mine}{mark}{others}")


def table(name: str, declare: Callable[[int], list[Declared]]) -> list[str]:
    """Measure and print."""
    few, many = measure(declare, FEW), measure(declare, MANY)
    lines = [f"| {name} | {FEW} | {MANY:,} | ratio |", "| --- | --- | --- | --- |"]
    lines += [f"| {phase} | {few[phase]:.3f} | {many[phase]:.3f} | {many[phase] / few[phase]:.1f} |" for phase in few]
    print("\n".join(lines), "\n")
    return lines


if __name__ == "__main__":
    main()
