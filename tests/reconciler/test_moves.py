"""Renamed addresses: the object stays, its tags and the state follow, whatever call a run dies at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.fakes import FakeNetwork, FakeTopic, Killed
from tests.reconciler.conftest import World, actions

from mlplat.errors import MlplatError
from mlplat.reconciler.moves import Moves
from mlplat.reconciler.plan import Action
from mlplat.reconciler.rebuild import rebuild
from mlplat.reconciler.state import State
from mlplat.resources.base import Declared, Ref
from mlplat.resources.search import Owned

NET, JOB = "a.fake_network.net", "a.fake_topic.job"
NEW = {NET: "a.fake_network.new", JOB: "b.fake_topic.job"}
MOVES = Moves(NEW)


def here(net: str = NET, job: str = JOB, **changed: str) -> list[Declared]:
    topic = FakeTopic(name="job", host=Ref(net, "id"), **changed)
    return [Declared(net, FakeNetwork(name="net")), Declared(job, topic)]


def there(**changed: str) -> list[Declared]:
    return here(NEW[NET], NEW[JOB], **changed)


def test_a_move_changes_nothing_but_the_tags(world: World) -> None:
    world.apply(here())
    before = dict(world.cloud.things)
    made = world.plan(there(), moves=MOVES)
    assert set(actions(made).values()) == {Action.MOVE}
    assert [step.moved_from for step in made.steps] == [NET, JOB]
    world.cloud.calls.clear()
    world.apply(there(), moves=MOVES)
    assert [verb for verb, _ in world.cloud.calls] == ["update", "update"]
    assert world.cloud.things == before
    world.check(there(), MOVES)
    world.cloud.calls.clear()
    world.apply(there(), moves=MOVES)
    world.apply(there())
    assert world.cloud.calls == []


def test_a_change_comes_with_the_move(world: World) -> None:
    world.apply(here())
    made = world.plan(there(color="blue"), moves=MOVES)
    assert actions(made) == {NEW[NET]: Action.MOVE, NEW[JOB]: Action.UPDATE}
    world.apply(there(color="blue"), moves=MOVES)
    world.check(there(color="blue"), MOVES)


def test_chains_lead_to_their_end(world: World) -> None:
    moves = Moves({"a.fake_topic.1": "a.fake_topic.2", "a.fake_topic.2": "a.fake_topic.3"})
    (one,) = [Declared("a.fake_topic.1", FakeTopic(name="t"))]
    world.apply([one])
    world.apply([replace(one, address="a.fake_topic.3")], moves=moves)
    world.check([replace(one, address="a.fake_topic.3")], moves)


def test_to_what_is_there_already_and_from_what_never_was(world: World) -> None:
    both = [Declared(f"a.fake_topic.{each}", FakeTopic(name=each)) for each in ("old", "new")]
    world.apply(both)
    moves = Moves({"a.fake_topic.old": "a.fake_topic.new", "a.fake_topic.never": "a.fake_topic.other"})
    assert actions(world.plan(both[1:], moves=moves)) == {
        "a.fake_topic.new": Action.KEEP,
        "a.fake_topic.old": Action.DELETE,
    }
    world.apply(both[1:], moves=moves)
    world.check(both[1:], moves)


def test_without_a_state_the_object_is_found_by_its_former_address(world: World) -> None:
    world.apply(here())
    world.files.path.unlink()
    assert set(actions(world.plan(there(), moves=MOVES)).values()) == {Action.MOVE}
    world.apply(there(), moves=MOVES)
    world.check(there(), MOVES)


def test_rebuilding_the_state_knows_both_addresses(world: World) -> None:
    world.apply(here())
    owned = [Owned(each.tags["mlplat:address"], each.kind, each.id, each.id) for each in world.cloud.things.values()]
    made = rebuild(world.session, there(), owned, State("test"), releases={}, moves=MOVES).state
    assert made.entries.keys() == set(NEW.values())
    assert {entry.former for entry in made.entries.values()} == {(NET,), (JOB,)}
    assert made.entries[NEW[JOB]].needs == (NEW[NET],)
    with world.store.lock("test"):
        world.store.replace(made)
    world.apply(there(), moves=MOVES)
    world.check(there(), MOVES)


def test_a_part_may_move(world: World) -> None:
    world.apply(here())
    moves = Moves({JOB: NEW[JOB]})
    world.apply(here(job=NEW[JOB]), scope=["a"], moves=moves)
    assert world.state.entries.keys() == {NET, JOB}
    world.apply(here(job=NEW[JOB]), moves=moves)
    world.check(here(job=NEW[JOB]), moves)


@pytest.mark.parametrize("fault", ["kill_before", "kill_after", "drop", "lose", "refuse"])
@pytest.mark.parametrize("then", ["apply", "destroy"])
def test_a_run_that_dies_at_any_call(world: World, fault: str, then: str) -> None:
    for number in range(4):
        apply(world, here())
        world.cloud.faults = {next(world.cloud._count) + 1 + number: fault}
        apply(world, there(shape="square"), MOVES)
        if then == "apply":
            world.apply(there(shape="square"), moves=MOVES)
            world.check(there(shape="square"), MOVES)
        world.destroy(reverse=True)
        assert (world.cloud.things, world.state.entries) == ({}, {})


def apply(world: World, declared: Sequence[Declared], moves: Moves = MOVES) -> None:
    with suppress(Killed, MlplatError):
        world.apply(declared, moves=moves if declared[0].address == NEW[NET] else Moves())
    world.cloud.faults = {}
    world.cloud.killed.clear()


def test_a_move_that_was_taken_back_half_way(world: World) -> None:
    """The entry remembers the former address, so the object is ours whatever the configuration says next."""
    world.apply(here())
    world.cloud.faults = {next(world.cloud._count) + 1: "kill_before"}
    apply(world, there())
    assert NEW[NET] in world.state.entries
    world.apply(here())
    world.check(here())
