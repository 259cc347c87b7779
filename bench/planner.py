"""How long the reconciler itself takes, for 1,000 resources in memory: to plan, to apply, to save and load the state.

Every describe answers at once, so what is measured is the reconciler alone. Target: plan under 1 s, and linear.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import plan, plan_destroy
from mlplat.reconciler.state import State, Store
from mlplat.resources.base import Declared, Observed, Ref, Resource

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
    began = time.perf_counter()
    result = what()
    return time.perf_counter() - began, result


def measure(kind: type[Bench], size: int) -> dict[str, float]:
    """Seconds of each phase."""
    THERE.clear()
    session, declared = Session(namespace="bench", region="us-east-1"), platform(kind, size)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "bench")
        first, made = timed(lambda: plan(session, store.load(), declared))
        applied, _ = timed(lambda: apply(made, session, store))
        loaded, state = timed(store.load)
        again, made = timed(lambda: plan(session, state, declared))
        assert made.is_empty
        nothing, _ = timed(lambda: apply(made, session, store))
        saved, _ = timed(lambda: State.loads(state.dumps()))
        down, made = timed(lambda: plan_destroy(session, state, scope=None, reverse=True))
        destroyed, _ = timed(lambda: apply(made, session, store))
    return {
        "plan, nothing there": first,
        "apply": applied,
        "load the state": loaded,
        "plan, nothing to do": again,
        "apply, nothing to do": nothing,
        "state to bytes and back": saved,
        "plan to destroy": down,
        "destroy": destroyed,
    }


def main() -> None:
    """Print seconds by size, and how they grow."""
    for kind in (Bench, Listed):
        small, large = measure(kind, 250), measure(kind, 1000)
        print(
            f"{'listed in one call' if kind is Listed else 'described one by one'}: seconds for 250, for 1,000, ratio"
        )
        for phase in small:
            print(f"  {phase:26} {small[phase]:8.3f} {large[phase]:8.3f} {large[phase] / small[phase]:6.1f}")
        print(json.dumps({"bench": "planner", "kind": kind.kind, "seconds_1000": large}))


if __name__ == "__main__":
    main()
