"""`[tags]`: what the user's own tags in the configuration put on objects, change, and take off again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from tests.fakes import FakeModel, FakeNetwork, FakeTopic, Killed
from tests.reconciler.conftest import World

from mlplat.reconciler.drift import Finding, Verdict, drift
from mlplat.reconciler.moves import Moves
from mlplat.reconciler.plan import Action, Step
from mlplat.reconciler.rebuild import rebuild
from mlplat.reconciler.steps import Cause
from mlplat.resources.base import Declared, Ref
from mlplat.resources.search import Owned

TOPIC = "a.fake_topic.t"


def topic(**fields: object) -> list[Declared]:
    return [Declared(TOPIC, FakeTopic(name="t", **fields))]  # type: ignore[arg-type]


def only(world: World, declared: list[Declared]) -> Step:
    (step,) = world.plan(declared).steps
    return step


def found(world: World) -> dict[str, Finding]:
    return {each.address: each for each in drift(world.session, world.state)}


def labelled(world: World, **labels: str) -> World:
    """The same world after somebody edited `[tags]`."""
    world.labels = labels
    return world


def test_a_tag_of_the_users_own_is_put_on_and_then_nothing_is_left_to_do(world: World) -> None:
    world.apply(topic())
    step = only(labelled(world, team="ml"), topic())
    assert (step.action, step.causes, step.drifted) == (Action.UPDATE, {"tags": Cause.CONFIG}, False)
    assert found(world)[TOPIC].verdict is Verdict.CLEAN, "nobody changed it by hand"
    world.apply(topic())
    assert world.cloud.named("t").tags["team"] == "ml"
    assert world.state.entries[TOPIC].labels == {"team": "ml"}
    assert only(world, topic()).action is Action.KEEP


def test_a_tag_of_the_users_own_that_was_changed_by_hand_is_drift(world: World) -> None:
    labelled(world, team="ml").apply(topic())
    world.cloud.named("t").tags["team"] = "web"
    assert only(world, topic()).causes == {"tags": Cause.BY_HAND}
    assert found(world)[TOPIC].verdict is Verdict.DRIFTED
    assert only(labelled(world, team="data"), topic()).causes == {"tags": Cause.BOTH}
    world.apply(topic())
    assert world.cloud.named("t").tags["team"] == "data"


def own(world: World, name: str = "t") -> dict[str, str]:
    """The tags of an object that aren't mlplat's."""
    tags = world.cloud.named(name).tags
    return {key: value for key, value in tags.items() if key not in world.session.at(TOPIC).ownership}


def test_a_tag_that_is_no_longer_declared_is_taken_off(world: World) -> None:
    labelled(world, team="ml", cost="b").apply(topic())
    step = only(labelled(world, team="ml"), topic())
    assert (step.action, step.causes, step.drifted) == (Action.UPDATE, {"tags": Cause.CONFIG}, False)
    (change,) = step.changes
    assert (change.old.keys() - change.new.keys(), change.old["cost"]) == ({"cost"}, "b")
    assert found(world)[TOPIC].verdict is Verdict.CLEAN, "nobody changed it by hand"
    world.apply(topic())
    assert own(world) == {"team": "ml"}
    assert world.state.entries[TOPIC].labels == {"team": "ml"}
    calls = len(world.cloud.calls)
    world.apply(topic())
    assert len(world.cloud.calls) == calls
    labelled(world).apply(topic())
    assert own(world) == {}


def test_what_others_put_on_stays(world: World) -> None:
    labelled(world, cost="b").apply(topic())
    world.cloud.named("t").tags |= {"cost": "theirs", "owner": "them"}
    assert only(labelled(world), topic()).action is Action.KEEP
    world.apply(topic())
    assert own(world) == {"cost": "theirs", "owner": "them"}
    assert found(world)[TOPIC].verdict is Verdict.CLEAN
    assert world.state.entries[TOPIC].labels == {}


def test_what_somebody_took_off_and_put_on_again_is_theirs(world: World) -> None:
    """Also of an object that depends on others: what it was given is forgotten once it isn't there any more."""
    declared = [*topic(), Declared("a.fake_topic.u", FakeTopic(name="u", links=[Ref(TOPIC, "id")]))]
    labelled(world, cost="b").apply(declared)
    del world.cloud.named("u").tags["cost"]
    labelled(world).apply(declared)
    world.cloud.named("u").tags["cost"] = "b"
    world.apply(declared)
    assert own(world, "u") == {"cost": "b"}


def test_a_new_object_was_given_nothing(world: World) -> None:
    labelled(world, cost="b").apply(topic())
    world.cloud.things.clear()
    labelled(world).apply(topic())
    assert own(world) == {}
    world.check(topic())


def test_a_renamed_address_remembers(world: World) -> None:
    labelled(world, cost="b").apply(topic())
    moved = [Declared("a.fake_topic.new", FakeTopic(name="t"))]
    labelled(world).apply(moved, moves=Moves({TOPIC: "a.fake_topic.new"}))
    assert world.cloud.named("t").tags["mlplat:address"] == "a.fake_topic.new"
    assert own(world) == {}


def test_a_rebuilt_state_remembers_what_the_old_one_did(world: World) -> None:
    labelled(world, cost="b").apply(topic())
    objects = [Owned(TOPIC, "fake_topic", "t", "arn:t")]
    made = rebuild(labelled(world).session, topic(), objects, world.state, releases={})
    assert made.state.entries[TOPIC].labels == {"cost": "b"}


DECLARED = [
    *topic(),
    Declared("a.fake_network.n", FakeNetwork(name="n", links=[Ref(TOPIC, "id")])),
    Declared("a.fake_model.m", FakeModel(name="m", host=Ref("a.fake_network.n", "id"))),
]


@pytest.mark.parametrize("fault", ["kill_before", "kill_after", "drop"])
@pytest.mark.parametrize("before", [{}, {"team": "ml"}], ids=["create", "update"])
def test_killed_at_any_call_and_then_taken_out_no_tag_is_left(
    tmp_path: Path, before: dict[str, str], fault: str
) -> None:
    """The run that puts a tag on dies; before the next one somebody takes the key out of the configuration."""
    for number in range(10):
        world = World(tmp_path / str(number) / ".mlplat", parallelism=1)
        if before:
            labelled(world, **before).apply(DECLARED)
        world.cloud.faults = {next(world.cloud._count) + 1 + number: fault}
        with suppress(Killed):
            labelled(world, team="ml", cost="b").apply(DECLARED)
        struck, world.cloud.faults = world.cloud.killed.is_set(), {}
        world.cloud.killed.clear()
        labelled(world, team="ml").apply(DECLARED)
        assert [each.tags.get("cost") for each in world.cloud.things.values()] == [None] * len(DECLARED)
        assert {each.tags["team"] for each in world.cloud.things.values()} == {"ml"}
        world.check(DECLARED)
    assert fault == "drop" or not struck, "ten calls are enough to strike each"
