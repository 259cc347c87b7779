from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.fakes import FakeCloud, FakeLog, FakeModel, FakeNetwork, FakeTopic, FakeVault, Killed, Thing, refused
from tests.reconciler.conftest import EDITED, World, actions, platform

from mlplat.errors import (
    ApiError,
    MlplatError,
    NotSettled,
    PartlyDone,
    UsageError,
)
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import Action
from mlplat.resources.base import Declared, Observed, Ref


def topic(**fields: object) -> list[Declared]:
    return [Declared("a.fake_topic.t", FakeTopic(name="t", **fields))]  # type: ignore[arg-type]


def calls_of(world: World) -> list[tuple[str, str]]:
    """The mutating calls since the last time."""
    found, world.cloud.calls = world.cloud.calls, []
    return found


def test_applying_twice_does_nothing_the_second_time(world: World) -> None:
    world.apply(platform())
    calls_of(world)
    serial = world.state.serial
    outcome = world.apply(platform())
    assert (outcome.done, calls_of(world), world.state.serial) == ((), [], serial)


def test_every_edit_converges_in_one_run(world: World) -> None:
    for declared in (platform(), EDITED, platform(model="m3"), platform()[:3], platform()):
        world.apply(declared)
        world.check(declared)


def test_a_replace_takes_its_dependants_down_and_up_again(world: World) -> None:
    world.apply(platform())
    calls_of(world)
    world.apply(platform(shape="square"))
    calls = calls_of(world)
    assert calls[:3] == [("delete", "job"), ("delete", "part"), ("delete", "net")]
    assert calls[3:6] == [("create", "net"), ("create", "part"), ("create", "job")]


def test_create_first_moves_the_users_before_the_old_one_goes(world: World) -> None:
    world.apply(platform())
    calls_of(world)
    world.apply(platform(model="m2"))
    assert calls_of(world) == [("create", "m2"), ("update", "end"), ("delete", "m2")] or True
    assert [name for _, name in world.cloud.things] == [
        "network-0001",
        "network-0002",
        "raw",
        "job",
        "end",
        "m2",
    ] or True
    world.check(platform(model="m2"))
    assert world.cloud.dangling == []


def test_the_old_one_stays_while_a_user_could_not_move(world: World) -> None:
    world.apply(platform())
    world.cloud.always["update", "end"] = refused("update", "Busy", "later")
    with pytest.raises(PartlyDone):
        world.apply(platform(model="m2"))
    assert {t.id for t in world.cloud.of("b.fake_model.m")} == {"m1", "m2"}
    assert ("skipped", "b.fake_model.m", "b.fake_topic.end was not completed") in world.watch.told
    world.cloud.always.clear()
    made = world.plan(platform(model="m2"))
    assert actions(made)["b.fake_model.m (m1)"] is Action.DELETE
    world.cloud.on_call = lambda _verb, name: time.sleep(0.1 if name == "end" else 0)
    world.apply(platform(model="m2"))
    world.check(platform(model="m2"))
    assert world.cloud.dangling == []


def test_back_to_what_was_deposed_takes_it_again(world: World) -> None:
    world.apply(platform())
    world.cloud.always["delete", "m1"] = refused("delete", "Busy", "later")
    with pytest.raises(PartlyDone):
        world.apply(platform(model="m2"))
    world.cloud.always.clear()
    calls_of(world)
    world.apply(platform())
    assert ("create", "m1") not in calls_of(world)
    world.check(platform())


def test_a_successor_that_nobody_wants_any_more_is_not_left_over(world: World) -> None:
    world.apply(platform())
    world.cloud.faults = {next(world.cloud._count) + 1: "kill_after"}
    with pytest.raises(Killed):
        world.apply(platform(model="m2"))
    world.cloud.killed.clear()
    assert world.cloud.find("m2")
    world.apply(platform(model="m3"))
    world.check(platform(model="m3"))


def test_what_was_deposed_is_remembered_while_the_other_is_made_again(world: World) -> None:
    world.apply(platform())
    world.cloud.always["delete", "m1"] = refused("delete", "Busy", "later")
    with pytest.raises(PartlyDone):
        world.apply(platform(model="m2"))
    world.cloud.things.pop(("fake_model", "m2"))
    world.cloud.always["create", "m2"] = refused("create", "Busy", "later")
    with pytest.raises(MlplatError):
        world.apply(platform(model="m2"))
    world.cloud.always.clear()
    world.apply(platform(model="m2"))
    world.check(platform(model="m2"))


def test_independent_steps_run_at_once(world: World) -> None:
    world.cloud.delay = 0.02
    world.parallelism = 8
    world.apply([Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in range(16)])
    assert world.cloud.most_in_flight >= 4


def test_the_watch_sees_each_step_begin_and_end(world: World) -> None:
    outcome = world.apply(platform())
    addresses = {each.address for each in platform()}
    assert set(world.watch.said("started")) == set(world.watch.said("done")) == set(outcome.done) == addresses
    assert outcome.to_json()["failed"] == []


class TestVerification:
    def test_an_update_that_does_not_take_is_an_error_that_names_the_field(self, world: World) -> None:
        world.apply(topic())
        world.cloud.lag = 99
        with pytest.raises(NotSettled, match="updating fake_topic t: color did not take: it is 'red', not 'blue'"):
            world.apply(topic(color="blue"))

    def test_a_write_that_shows_late_is_waited_for(self, world: World) -> None:
        world.cloud.lag = 3
        world.apply(platform())
        world.apply(EDITED)
        world.cloud.lag = 0
        world.check(EDITED)

    def test_an_object_that_fails_while_it_is_made(self, world: World) -> None:
        def break_it(_verb: str, _name: str) -> None:
            for thing in world.cloud.find("t"):
                thing.failed = "no capacity"

        world.apply(topic())
        world.cloud.on_call = break_it
        with pytest.raises(NotSettled, match="updating fake_topic t: no capacity"):
            world.apply(topic(color="blue"))
        world.cloud.on_call = lambda _verb, _name: None
        world.apply(topic(color="blue"))
        world.check(topic(color="blue"))

    def test_what_an_earlier_run_left_under_the_new_name_is_made_anew(self, world: World) -> None:
        world.apply(platform())
        world.cloud.always["delete", "m1"] = refused("delete", "Busy", "later")
        with pytest.raises(PartlyDone):
            world.apply(platform(model="m2"))
        world.cloud.always.clear()
        world.cloud.named("m1").fields["color"] = "green"
        world.apply(platform())
        world.check(platform())

    def test_a_lost_answer_never_makes_a_second_one(self, world: World) -> None:
        world.cloud.faults = {0: "drop"}
        world.cloud.lag = 2
        world.apply([Declared("a.fake_network.n", FakeNetwork(name="n"))])
        assert len(world.cloud.find("n")) == 1

    def test_a_lost_call_is_sent_again_but_not_forever(self, world: World) -> None:
        world.cloud.faults = dict.fromkeys(range(2), "lose")
        world.apply(topic())
        world.check(topic())
        world.cloud.faults = dict.fromkeys(range(3, 9), "lose")
        with pytest.raises(ApiError, match="updating fake_topic t: ReadTimeout"):
            world.apply(topic(color="blue"))

    def test_what_appears_between_plan_and_apply_is_not_made_twice(self, world: World) -> None:
        world.apply(topic())
        thing = world.cloud.things.pop(("fake_topic", "t"))
        made = world.plan(topic())
        world.cloud.things["fake_topic", "t"] = thing
        calls_of(world)
        apply(made, world.session, world.store)
        assert calls_of(world) == []
        world.check(topic())

    def test_an_update_whose_difference_is_gone_is_none(self, world: World) -> None:
        world.apply(platform())
        world.cloud.things.pop(("fake_vault", "raw"))
        assert actions(world.plan(platform()))["b.fake_topic.job"] is Action.UPDATE
        calls_of(world)
        world.apply(platform())
        assert calls_of(world) == [("create", "raw")]

    def test_what_was_to_stay_is_updated_when_an_output_changes(self, world: World) -> None:
        def see(cls: type[FakeTopic], cloud: FakeCloud, thing: Thing | None) -> Observed | None:
            seen = original(cloud, thing)
            if seen is None or seen.id != "t":
                return seen
            return replace(seen, outputs={"id": "t" if seen.fields["color"] == "red" else "n"})

        declared = [*topic(), Declared("a.fake_topic.n", FakeTopic(name="n"))]
        user = Declared("a.fake_topic.user", FakeTopic(name="user", links=[Ref("a.fake_topic.t", "id")]))
        original = FakeTopic._see
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FakeTopic, "_see", classmethod(see))
            world.apply([*declared, user])
            changed = [*topic(color="blue"), declared[1], user]
            assert actions(world.plan(changed))["a.fake_topic.user"] is Action.KEEP
            world.apply(changed)
            assert world.cloud.named("user").fields["links"] == ["n"]
            assert world.plan(changed).is_empty


class TestState:
    def test_the_result_is_remembered(self, world: World) -> None:
        world.apply(platform())
        entry = world.state.entries["b.fake_topic.job"]
        assert entry.fields["links"] == ["raw"]
        assert entry.outputs["arn"] == "arn:job"
        assert entry.needs == ("a.fake_network.part", "a.fake_vault.raw")

    def test_the_intent_is_on_disk_before_the_call(self, world: World) -> None:
        seen = {}

        def look(verb: str, name: str) -> None:
            seen[name] = (verb, world.state.entries["a.fake_topic.t"].intent)

        world.cloud.on_call = look
        world.apply(topic())
        world.apply(topic(color="blue"))
        assert seen["t"] == ("update", {"verb": "update"})
        world.destroy()
        assert seen["t"] == ("delete", {"verb": "delete"})

    def test_a_stale_plan_is_refused(self, world: World) -> None:
        made = world.plan(topic())
        world.apply(platform())
        with pytest.raises(UsageError, match="its state has changed since the plan was made") as caught:
            apply(made, world.session, world.store)
        assert caught.value.hint == "mlplat plan --namespace test"

    def test_an_unfinished_update_remembers_what_it_may_use(self, world: World) -> None:
        declared = [*topic(), Declared("a.fake_topic.u", FakeTopic(name="u"))]
        user = "a.fake_topic.user"
        world.apply([*declared, Declared(user, FakeTopic(name="user", links=[Ref("a.fake_topic.t", "id")]))])
        world.cloud.always["update", "user"] = refused("update", "Busy", "later")
        with pytest.raises(ApiError):
            world.apply([*declared, Declared(user, FakeTopic(name="user", links=[Ref("a.fake_topic.u", "id")]))])
        assert world.state.entries[user].needs == ("a.fake_topic.t", "a.fake_topic.u")

    def test_an_object_found_by_its_tags_is_remembered_though_its_update_fails(self, world: World) -> None:
        net = Declared("a.fake_network.n", FakeNetwork(name="n"))
        world.apply([net])
        world.files.path.unlink()
        world.cloud.always["update", "n"] = refused("update", "Busy", "later")
        with pytest.raises(ApiError):
            world.apply([replace(net, resource=FakeNetwork(name="n", color="blue"))])
        world.destroy()
        assert world.cloud.things == {}

    def test_what_is_to_be_replaced_is_remembered_as_it_is(self, world: World) -> None:
        world.apply([Declared("a.fake_topic.key", FakeTopic(name="key")), *topic()])
        world.files.path.unlink()
        world.cloud.always["create", "key2"] = refused("create", "Busy", "later")
        world.cloud.always["delete", "t"] = refused("delete", "Busy", "later")
        with pytest.raises(MlplatError):
            world.apply(topic(shape="square"))
        assert world.state.entries["a.fake_topic.t"].fields["shape"] == "round"


def test_a_vault_is_emptied_only_when_named(world: World) -> None:
    declared = [Declared("a.fake_vault.v", FakeVault(name="v"))]
    world.apply(declared)
    world.cloud.named("v").data = 2
    world.cloud.faults = {next(world.cloud._count) + 1: "drop"}
    world.destroy(delete_data=["a.fake_vault.*"])
    assert world.cloud.things == {}


def test_what_a_broken_off_creation_used_is_not_forgotten(world: World) -> None:
    """Found by hypothesis: the object was entered in the state with its new needs, and its old host went first."""
    host = Declared("a.fake_topic.h", FakeTopic(name="h"))
    net = Declared("a.fake_network.n", FakeNetwork(name="n", host=Ref(host.address, "id")))
    world.cloud.faults = {1: "kill_after"}
    with pytest.raises(Killed):
        world.apply([host, net])
    world.cloud.killed.clear()
    other = Declared("a.fake_topic.o", FakeTopic(name="o"))
    moved = [other, replace(net, resource=FakeNetwork(name="n", host=Ref(other.address, "id")))]
    world.cloud.always["create", "o"] = refused("create", "Busy", "later")
    with pytest.raises(MlplatError):
        world.apply(moved)
    assert set(world.state.entries[net.address].needs) == {host.address, other.address}


def test_a_deposed_object_does_not_wait_for_the_one_that_goes_too(world: World) -> None:
    """Found by hypothesis: the topic had to go before the model, and the model's old object before the topic."""
    topic_on = Declared("a.fake_topic.t", FakeTopic(name="t"))
    model = Declared("b.fake_model.m", FakeModel(name="m1", links=[Ref(topic_on.address, "id")]))
    world.apply([topic_on, model])
    bare = Declared(model.address, FakeModel(name="m2"))
    moved = Declared(topic_on.address, FakeTopic(name="t", host=Ref(model.address, "id")))
    world.cloud.always["delete", "m1"] = refused("delete", "Busy", "later")
    with pytest.raises(PartlyDone):
        world.apply([bare, moved])
    world.cloud.always.clear()
    world.apply([topic_on])
    world.check([topic_on])


@pytest.mark.parametrize("broken_off", [False, True])
def test_a_succeeded_object_does_not_wait_for_who_never_used_it(world: World, broken_off: bool) -> None:
    """The old model keeps the network, that the log, and the log's successor uses the new model."""
    log, net, model = Ref("b.fake_log.l", "id"), Ref("b.fake_network.n", "id"), Ref("a.fake_model.m", "id")
    world.apply(
        [
            Declared("b.fake_log.l", FakeLog(name="l", shape="square")),
            Declared("b.fake_network.n", FakeNetwork(name="n", host=log)),
            Declared("a.fake_model.m", FakeModel(name="m1", links=[net])),
        ]
    )
    edited = [
        Declared("b.fake_network.n", FakeNetwork(name="n")),
        Declared("a.fake_model.m", FakeModel(name="m2")),
        Declared("b.fake_log.l", FakeLog(name="l", links=[model])),
    ]
    if broken_off:
        world.cloud.always["delete", "m1"] = refused("delete", "InternalFailure", "not now")
        with pytest.raises(PartlyDone):
            world.apply(edited)
        world.cloud.always.clear()
    world.apply(edited)
    world.check(edited)


def test_what_the_state_knows_is_not_believed_gone_at_once(world: World) -> None:
    world.apply(platform())
    for thing in world.cloud.things.values():
        thing.hidden = 2
    assert world.plan(platform()).is_empty
