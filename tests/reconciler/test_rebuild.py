"""The state made anew: the same as before from what is declared, enough to go on from tags alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.fakes import FakeModel, FakeTopic, FakeVault
from tests.reconciler.conftest import World, actions, platform

from mlplat.errors import ApiError, MlplatError
from mlplat.reconciler.entries import Deposed, Entry
from mlplat.reconciler.plan import Action
from mlplat.reconciler.rebuild import Rebuilt, rebuild
from mlplat.reconciler.state import State
from mlplat.resources.base import Declared
from mlplat.resources.search import Owned


def rebuilt(world: World, declared: Sequence[Declared], base: State | None = None) -> Rebuilt:
    """By what the fake cloud has, with its tags as the search would find them."""
    owned = [
        Owned(thing.tags["mlplat:address"], thing.kind, thing.id, f"arn:{thing.id}")
        for thing in world.cloud.things.values()
        if thing.tags.get("mlplat:namespace") == world.namespace
    ]
    return rebuild(world.session, declared, owned, base or State(world.namespace), releases={})


def write(world: World, made: Rebuilt) -> None:
    with world.store.lock("test"):
        world.store.replace(made.state)


def found(made: Rebuilt) -> dict[str, str]:
    return {each.address: each.what for each in made.findings}


def test_what_is_declared_comes_back_as_it_was(world: World) -> None:
    world.apply(platform())
    made = rebuilt(world, platform())
    assert made.state.entries == world.state.entries
    assert set(found(made).values()) == {"found"}


def test_tags_alone_are_enough_to_take_it_all_down_in_order(world: World) -> None:
    world.apply(platform())
    before = world.state
    made = rebuilt(world, [])
    assert made.state.entries.keys() == before.entries.keys()
    for address, entry in made.state.entries.items():
        assert (entry.id, entry.outputs) == (before.entries[address].id, before.entries[address].outputs)
    assert made.state.entries["a.fake_network.part"].needs == ("a.fake_network.main",)
    assert "a.fake_vault.raw" in made.state.entries["b.fake_model.m"].needs
    world.files.path.unlink()
    write(world, made)
    world.destroy(reverse=True, delete_data=["*"])
    assert not world.cloud.things
    assert not world.cloud.dangling


def test_data_keeps_what_it_needs_when_only_tags_are_left(world: World) -> None:
    declared = [*platform(), Declared("a.fake_topic.key", FakeTopic(name="key"))]
    declared[2] = Declared("a.fake_vault.raw", FakeVault(name="raw", links=["key"]), ["a.fake_topic.key"])
    world.apply(declared)
    world.cloud.named("raw").data = 7
    world.files.path.unlink()
    write(world, rebuilt(world, []))
    made = world.plan_destroy(reverse=True)
    assert {a for a, action in actions(made).items() if action is Action.RETAIN} == {
        "a.fake_vault.raw", "a.fake_topic.key"
    }  # fmt: skip


def test_a_name_that_two_kinds_share_is_no_need(world: World) -> None:
    world.apply(
        [Declared("a.fake_topic.x", FakeTopic(name="same")), Declared("a.fake_model.x", FakeModel(name="same"))]
    )
    assert [entry.needs for entry in rebuilt(world, []).state.entries.values()] == [(), ()]


def test_what_left_the_configuration_is_found_and_then_deleted(world: World) -> None:
    world.apply(platform(more=[Declared("c.fake_topic.old", FakeTopic(name="old"))]))
    world.files.path.unlink()
    write(world, rebuilt(world, platform()))
    assert actions(world.plan(platform()))["c.fake_topic.old"] is Action.DELETE
    world.apply(platform())
    world.check(platform())


def test_what_a_replace_left_behind_is_found_beside_its_successor(world: World) -> None:
    world.apply(platform(model="m1"))
    world.cloud.always["delete", "m1"] = ApiError(service="fake", operation="delete", code="No", reason="not now")
    with pytest.raises(MlplatError):
        world.apply(platform(model="m2"))
    world.cloud.always.clear()
    world.files.path.unlink()
    made = rebuilt(world, platform(model="m2"))
    assert made.state.entries["b.fake_model.m"].id == "m2"
    assert [old.id for old in made.state.entries["b.fake_model.m"].deposed] == ["m1"]
    write(world, made)
    world.apply(platform(model="m2"))
    world.check(platform(model="m2"))


def test_a_state_that_is_older_than_reality_is_set_right(world: World) -> None:
    world.apply(platform())
    old = world.state
    world.apply(platform(model="m2")[:5])
    made = rebuilt(world, platform(model="m2")[:5], old)
    assert made.state.entries == world.state.entries
    assert {a: what for a, what in found(made).items() if what != "known"} == {
        "b.fake_model.m": "changed",
        "b.fake_topic.end": "gone",
    }
    assert (made.state.lineage, made.state.serial) == (old.lineage, old.serial)


def test_what_differs_from_the_configuration_is_remembered_as_it_is(world: World) -> None:
    world.apply(platform(color="red"))
    made = rebuilt(world, platform(color="blue"))
    assert made.state.entries["a.fake_vault.raw"].fields["color"] == "red"


def test_what_is_not_ours_is_left_out(world: World) -> None:
    world.apply(platform())
    world.cloud.named("job").tags = {"team": "other"}
    made = rebuilt(world, platform())
    assert made.others == ("b.fake_topic.job",)
    assert "b.fake_topic.job" not in made.state.entries


def test_lost_tags_are_known_as_ours_by_the_old_state(world: World) -> None:
    world.apply(platform())
    world.cloud.named("net").tags = {}
    assert "a.fake_network.main" not in rebuilt(world, platform()).state.entries
    assert rebuilt(world, platform(), world.state).state.entries == world.state.entries


def test_a_creation_that_was_begun_and_does_not_show_is_kept(world: World) -> None:
    base = State(
        "test", entries={"b.fake_model.m": Entry("fake_model", None, {"name": "m1"}, intent={"verb": "create"})}
    )
    made = rebuilt(world, platform(), base)
    assert made.state.entries == base.entries
    assert found(made) == {"b.fake_model.m": "unfinished"}
    assert len(world.session.pauses) == 0


def test_nothing_is_believed_of_what_cannot_be_read(world: World) -> None:
    world.apply(platform())
    world.cloud.unreadable["job"] = ApiError(service="fake", operation="read", code="Denied", reason="no")
    with pytest.raises(MlplatError, match="Denied"):
        rebuilt(world, platform())


def test_a_replaced_object_that_is_gone_is_forgotten(world: World) -> None:
    world.apply(platform())
    base = world.state
    entry = base.entries["b.fake_model.m"]
    base.entries["b.fake_model.m"] = Entry(
        entry.kind,
        entry.id,
        entry.fields,
        entry.outputs,
        entry.needs,
        None,
        (Deposed("m0", {"name": "m0", **entry.fields}),),
    )
    assert rebuilt(world, platform(), base).state.entries == world.state.entries


def test_rebuilding_changes_nothing_out_there(world: World) -> None:
    world.apply(platform(more=[Declared("b.fake_model.x", FakeModel(name="x"))]))
    before = list(world.cloud.calls)
    rebuilt(world, platform())
    assert world.cloud.calls == before
