"""A plan saved, the world or the configuration changed anyhow, then applied: refused, or exactly what it said.

What it said is what a twin does: a world with the same past that applies the plan at once.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.fakes import FakeVault, Thing
from tests.reconciler.conftest import World
from tests.reconciler.test_lifecycles import Node, declared, graphs

from mlplat.errors import MlplatError
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import Plan
from mlplat.reconciler.saved import Place, Saved
from mlplat.resources.base import Declared

HERE = Place("test", "local", "123456789012", "us-east-1")
EXAMPLES = int(os.environ.get("SAVED_LIVES", "80"))
VAULT = "c.fake_vault.v"

Graph = dict[int, Node]


def another_color(world: World, thing: Thing) -> None:
    thing.fields["color"] = "green"


def another_shape(world: World, thing: Thing) -> None:
    thing.fields["shape"] = "odd"


def gone(world: World, thing: Thing) -> None:
    del world.cloud.things[thing.kind, thing.id]


def made_again(world: World, thing: Thing) -> None:
    """By hand, as it was: only where the cloud names things, it can be told."""
    del world.cloud.things[thing.kind, thing.id]
    again = Thing(thing.kind, f"{thing.id}-again", thing.fields, thing.tags)
    world.cloud.things[again.kind, again.id] = again


def no_tags(world: World, thing: Thing) -> None:
    thing.tags.clear()


def of_another_namespace(world: World, thing: Thing) -> None:
    thing.tags["mlplat:namespace"] = "other"


def of_another_address(world: World, thing: Thing) -> None:
    thing.tags["mlplat:address"] = "a.fake_topic.elsewhere"


def failed(world: World, thing: Thing) -> None:
    thing.failed = "it broke"


def more_data(world: World, _: Thing) -> None:
    world.cloud.named("v").data += 1


def what_nobody_manages(world: World, thing: Thing) -> None:
    thing.fields["note"] = "by hand"
    thing.tags["team"] = "ours"


Mischief = Callable[[World, Thing], None]
MISCHIEF: Sequence[Mischief] = (
    another_color, another_shape, gone, made_again, no_tags, of_another_namespace, of_another_address, failed,
    more_data, what_nobody_manages,
)  # fmt: skip

mischief = st.lists(st.tuples(st.sampled_from(MISCHIEF), st.integers(0, 9)), max_size=2)


def wanted(graph: Graph, color: str) -> list[Declared]:
    return [*declared(graph), Declared(VAULT, FakeVault(name="v", color=color))]


def past(folder: str, graph: Graph, data: int) -> World:
    """A world in which something was applied, and has data in it."""
    world = World(Path(folder) / ".mlplat", parallelism=1)
    world.apply(wanted(graph, "red"))
    world.cloud.named("v").data = data
    return world


def planned(world: World, declaration: Sequence[Declared], destroy: bool) -> Plan:
    return world.plan_destroy(reverse=True, delete_data=["*"]) if destroy else world.plan(declaration)


def managed(world: World) -> dict[Any, Any]:
    """All that mlplat has a say in; how much data is in what stays is not its business."""
    return {
        key: (
            {name: value for name, value in thing.fields.items() if name != "note"},
            {name: value for name, value in thing.tags.items() if name != "team"},
        )
        for key, thing in world.cloud.things.items()
    }


def meddle(world: World, what: Sequence[tuple[Mischief, int]]) -> None:
    for act, number in what:
        things = sorted(world.cloud.things.values(), key=lambda thing: (thing.kind, thing.id))
        if things and world.cloud.find("v"):
            act(world, things[number % len(things)])


def applied_saved(world: World, saved: Saved, declaration: Sequence[Declared], destroy: bool) -> bool:
    """As `mlplat apply FILE` does it: whether it was done, or refused."""
    state = world.state
    if (state.lineage, state.serial) != (saved.lineage, saved.serial):
        return False
    try:
        now = planned(world, declaration, destroy)
    except MlplatError:
        return False
    if list(saved.differences(now)):
        return False
    apply(now, world.session, world.store, parallelism=1)
    return True


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    graphs(),
    graphs(),
    st.integers(0, 2),
    mischief,
    st.sampled_from(["as it was", "as it was", "another color", "another graph", "applied meanwhile"]),
    graphs(),
    st.booleans(),
)
def test_it_is_refused_or_does_what_it_said(
    before: Graph, after: Graph, data: int, what: list[tuple[Mischief, int]], change: str, other: Graph, destroy: bool
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two, patch("os.fsync"):
        world, twin = past(one, before, data), past(two, before, data)
        plan = wanted(after, "blue")
        saved = Saved.loads(Saved.of(planned(world, plan, destroy), HERE, {}).dumps())
        meddle(world, what)
        if change == "applied meanwhile":
            try:
                world.apply(wanted(other, "red"))
            except MlplatError:
                event("not even that could be applied")
        as_it_was, calls = managed(world), len(world.cloud.calls)
        config = wanted(other, "blue") if change == "another graph" else plan
        config = wanted(after, "pink") if change == "another color" else config
        if not applied_saved(world, saved, config, destroy):
            event("refused")
            assert (managed(world), len(world.cloud.calls)) == (as_it_was, calls)
            assert what or change != "as it was", "nothing changed"
            return
        event("done")
        apply(planned(twin, plan, destroy), twin.session, twin.store, parallelism=1)
        assert managed(world) == managed(twin)
        assert Counter(world.cloud.calls) == Counter(twin.cloud.calls)
        assert world.state.entries == twin.state.entries
