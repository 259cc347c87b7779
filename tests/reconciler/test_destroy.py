from __future__ import annotations

import pytest
from tests.fakes import FakeModel, FakeTopic, FakeVault
from tests.reconciler.conftest import World, actions, platform

from mlplat.errors import MlplatError, StateError, UsageError
from mlplat.reconciler.plan import Action
from mlplat.reconciler.state import Entry
from mlplat.resources.base import KINDS, Declared, Ref


def test_everything_goes_in_reverse_order(world: World) -> None:
    world.apply(platform())
    made = world.plan_destroy()
    order = [step.address for step in made.steps]
    assert set(actions(made).values()) == {Action.DELETE}
    assert order.index("b.fake_topic.end") < order.index("b.fake_model.m") < order.index("a.fake_vault.raw")
    assert order.index("b.fake_topic.job") < order.index("a.fake_network.part") < order.index("a.fake_network.main")
    world.destroy()
    assert (world.cloud.things, world.state.entries) == ({}, {})
    assert world.cloud.dangling == []


def test_destroying_nothing_is_fine(world: World) -> None:
    assert world.plan_destroy(delete_data=["*"]).is_empty
    world.destroy()


def test_a_template_that_others_rest_on_is_refused(world: World) -> None:
    world.apply(platform())
    with pytest.raises(UsageError, match="destroying a: b in namespace test rests on it") as caught:
        world.plan_destroy(["a"])
    assert caught.value.hint == "mlplat destroy --template a --reverse --namespace test"


def test_reverse_takes_what_rests_on_it(world: World) -> None:
    world.apply([*platform(), Declared("c.fake_topic.own", FakeTopic(name="own"))])
    world.destroy(["a"], reverse=True)
    assert world.state.entries.keys() == {"c.fake_topic.own"}


def test_one_template_that_nothing_rests_on(world: World) -> None:
    world.apply(platform())
    world.destroy(["b"])
    assert {address[0] for address in world.state.entries} == {"a"}
    world.apply(platform())
    world.check(platform())


class TestData:
    def vaults(self, world: World) -> list[Declared]:
        key = Declared("a.fake_topic.key", FakeTopic(name="key"))
        names = ("raw", "models")
        vaults = [Declared(f"a.fake_vault.{n}", FakeVault(name=n, links=[Ref(key.address, "id")])) for n in names]
        world.apply([key, *vaults])
        world.cloud.named("raw").data = 12
        return [key, *vaults]

    def test_what_holds_data_stays_with_what_it_needs(self, world: World) -> None:
        self.vaults(world)
        made = world.plan_destroy()
        assert actions(made) == {
            "a.fake_vault.raw": Action.RETAIN,
            "a.fake_topic.key": Action.RETAIN,
            "a.fake_vault.models": Action.DELETE,
        }
        world.destroy()
        assert world.state.entries.keys() == {"a.fake_vault.raw", "a.fake_topic.key"}
        assert world.plan_destroy().is_empty
        assert world.cloud.named("raw").data == 12

    def test_it_goes_when_it_is_named(self, world: World) -> None:
        self.vaults(world)
        step = next(s for s in world.plan_destroy(delete_data=["*.raw"]).steps if s.name == "raw")
        assert (step.action, step.empties, step.reason) == (Action.DELETE, True, "destroy, with its data: 12 objects")
        world.destroy(delete_data=["*.raw"])
        assert world.cloud.things == {}
        assert [verb for verb, name in world.cloud.calls if name == "raw"] == ["create", "empty", "delete"]

    def test_a_pattern_that_names_nothing_is_a_mistake(self, world: World) -> None:
        self.vaults(world)
        with pytest.raises(UsageError, match=r"deleting data of a.fake_vault.row") as caught:
            world.plan_destroy(delete_data=["a.fake_vault.row"])
        assert "--delete-data a.fake_vault.raw" in str(caught.value.hint)

    def test_data_that_came_after_the_plan_is_not_lost(self, world: World) -> None:
        self.vaults(world)
        world.cloud.named("raw").data = 0

        def arrive(verb: str, name: str) -> None:
            if verb == "delete" and name == "models":
                world.cloud.named("raw").data = 5

        world.cloud.on_call = arrive
        world.parallelism = 1
        with pytest.raises(MlplatError, match="it holds 5 objects, so it is kept"):
            world.destroy()
        assert world.cloud.named("raw").data == 5


def test_what_is_gone_already_is_dropped(world: World) -> None:
    world.apply(platform())
    world.cloud.things.clear()
    steps = world.plan_destroy().steps
    assert {(step.seen, step.reason) for step in steps} == {(None, "it is gone already")}
    before = len(world.cloud.calls)
    world.destroy()
    assert (len(world.cloud.calls), world.state.entries) == (before, {})


def test_a_creation_that_was_broken_off_is_found_and_deleted(world: World) -> None:
    world.apply(platform()[:1])
    entry = world.state.entries["a.fake_network.main"]
    with world.store.edit() as state:
        state.entries["a.fake_network.main"] = Entry(entry.kind, None, entry.fields, intent={"verb": "create"})
    world.cloud.find("net")[0].hidden = 3
    world.destroy()
    assert (world.cloud.things, world.state.entries) == ({}, {})


def test_what_a_replace_left_behind_goes_too(world: World) -> None:
    world.apply([Declared("b.fake_model.m", FakeModel(name="m1"))])
    world.cloud.always["delete", "m1"] = ValueError("not now")
    with pytest.raises(MlplatError):
        world.apply([Declared("b.fake_model.m", FakeModel(name="m2"))])
    assert {name for _, name in world.cloud.things} == {"m1", "m2"}
    world.cloud.always.clear()
    assert [step.address for step in world.plan_destroy().steps] == ["b.fake_model.m", "b.fake_model.m (m1)"]
    world.destroy()
    assert (world.cloud.things, world.state.entries) == ({}, {})


class TestReleases:
    ENDPOINT = "ml_model_serving.fake_topic.churn"

    def test_a_release_goes_with_its_endpoint(self, world: World) -> None:
        with world.store.edit() as state:
            state.releases |= {"churn": {"variants": {}}, "other": {"variants": {}}}
            state.entries["ml_model_serving.endpoint.other"] = Entry("fake_topic", "gone", {"name": "gone"})
        world.destroy(["ml_model_serving"])
        assert world.state.releases == {}

    def test_it_stays_while_the_endpoint_does(self, world: World) -> None:
        world.apply([Declared("ml_model_serving.endpoint.churn", FakeTopic(name="churn"))])
        with world.store.edit() as state:
            state.releases["churn"] = {"variants": {}}
        world.cloud.always["delete", "churn"] = ValueError("busy")
        with pytest.raises(MlplatError):
            world.destroy()
        assert world.state.releases.keys() == {"churn"}

    def test_other_templates_leave_it_alone(self, world: World) -> None:
        world.apply([*platform(), Declared("c.fake_topic.x", FakeTopic(name="x"))])
        with world.store.edit() as state:
            state.releases["churn"] = {"variants": {}}
        world.destroy(["c"])
        assert world.state.releases.keys() == {"churn"}
        world.destroy()
        assert world.state.releases == {}


def test_a_kind_from_a_newer_version_is_refused(world: World) -> None:
    world.apply(platform()[2:3])
    kind = KINDS.pop("fake_vault")
    try:
        with pytest.raises(StateError, match="knows no kind 'fake_vault'; a newer one made it"):
            world.plan_destroy()
    finally:
        KINDS["fake_vault"] = kind


def test_fields_that_a_kind_no_longer_has_are_left_out(world: World) -> None:
    world.apply(platform()[2:3])
    with world.store.edit() as state:
        ((address, entry),) = state.entries.items()
        state.entries[address] = Entry(entry.kind, entry.id, {**entry.fields, "flavour": "old"})
    world.destroy()
    assert world.cloud.things == {}
