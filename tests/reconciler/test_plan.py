from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.fakes import FakeLog, FakeModel, FakeNetwork, FakeTopic, FakeVault, Thing, refused
from tests.reconciler.conftest import World, actions, platform

from mlplat.errors import CredentialsError, ForeignObject, MlplatError, PermissionDenied, Several, UsageError
from mlplat.reconciler.plan import Action, Step, plan
from mlplat.resources.base import Declared, Ref

TOPIC = "a.fake_topic.t"


def topic(**fields: object) -> list[Declared]:
    return [Declared(TOPIC, FakeTopic(name="t", **fields))]  # type: ignore[arg-type]


def only(world: World, declared: list[Declared]) -> Step:
    (step,) = world.plan(declared).steps
    return step


def stranger(kind: str, name: str, tags: dict[str, str]) -> Thing:
    return Thing(kind, name, {"name": name, "color": "red", "shape": "round", "host": "", "links": []}, tags)


def test_in_an_empty_world_everything_is_created_in_order(world: World) -> None:
    made = world.plan(platform())
    assert set(actions(made).values()) == {Action.CREATE}
    places = {step.address: place for place, step in enumerate(made.steps)}
    assert all(places[need] < places[step.address] for step in made.steps for need in step.needs)
    assert made.counts == {Action.CREATE: 6}


def test_planning_changes_nothing(world: World) -> None:
    world.plan(platform())
    assert world.cloud.calls == []
    assert not world.folder.exists()


def test_after_an_apply_there_is_nothing_to_do(world: World) -> None:
    world.apply(platform())
    made = world.plan(platform())
    assert (made.is_empty, made.counts) == (True, {Action.KEEP: 6})


def test_a_field_that_can_change_plans_an_update(world: World) -> None:
    world.apply(topic())
    step = only(world, topic(color="blue"))
    assert (step.action, step.id, step.reason) == (Action.UPDATE, "t", "differs: color")
    assert step.to_json()["changes"] == [{"field": "color", "old": "red", "new": "blue", "cause": "config"}]


def test_a_field_that_cannot_change_plans_a_replace(world: World) -> None:
    world.apply(topic())
    step = only(world, topic(shape="square", color="blue"))
    assert (step.action, step.reason) == (Action.REPLACE, "shape can't be changed in place")


def test_a_failed_object_is_replaced(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").failed = "no capacity"
    step = only(world, topic())
    assert (step.action, step.reason) == (Action.REPLACE, "it failed (no capacity)")
    world.apply(topic())
    world.check(topic())


def test_what_was_changed_by_hand_is_brought_back(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").fields["color"] = "green"
    assert only(world, topic()).action is Action.UPDATE


def test_what_is_gone_is_made_again(world: World) -> None:
    world.apply(topic())
    world.cloud.things.clear()
    step = only(world, topic())
    assert (step.action, step.reason) == (Action.CREATE, "t is gone")


def test_what_left_the_configuration_is_deleted_after_its_users(world: World) -> None:
    world.apply(platform())
    made = world.plan(platform()[2:3])
    assert {a for a, action in actions(made).items() if action is Action.DELETE} == actions(made).keys() - {
        "a.fake_vault.raw"
    }
    order = [step.address for step in made.steps]
    assert order.index("b.fake_topic.job") < order.index("a.fake_network.part") < order.index("a.fake_network.main")


def test_a_ref_to_what_is_not_there_yet_is_known_after_apply(world: World) -> None:
    world.apply(platform())
    world.cloud.things.pop(("fake_model", "m1"))
    step = next(s for s in world.plan(platform()).steps if s.address == "b.fake_topic.end")
    assert step.action is Action.UPDATE
    assert step.to_json()["changes"] == [
        {"field": "links", "old": ["m1"], "new": ["(known after apply)"], "cause": "follows"}
    ]


def test_a_plan_is_json(world: World) -> None:
    world.apply(platform())
    text = json.dumps(world.plan(platform(color="blue", model="m2")).to_json())
    assert json.loads(text)["counts"] == {"update": 2, "replace": 1, "keep": 3}


class TestOwnership:
    def test_a_foreign_object_of_our_name_is_refused_and_the_way_out_named(self, world: World) -> None:
        world.cloud.things["fake_topic", "t"] = stranger("fake_topic", "t", {"team": "sales"})
        with pytest.raises(ForeignObject, match="t exists already, but it carries no tags of mlplat") as caught:
            world.plan(topic())
        assert caught.value.hint == f"mlplat apply --adopt {TOPIC} --namespace test"

    def test_an_object_of_another_namespace_is_named(self, world: World) -> None:
        World(world.folder, world.cloud, "other").apply(topic())
        with pytest.raises(ForeignObject, match=r"belongs to a.fake_topic.t of namespace other") as caught:
            world.plan(topic())
        assert caught.value.hint == f"mlplat state forget {TOPIC} --namespace other"

    def test_not_even_adopt_takes_what_another_namespace_has(self, world: World) -> None:
        World(world.folder, world.cloud, "other").apply(topic())
        with pytest.raises(ForeignObject, match=r"adopting fake_topic t: .* namespace other; it is left alone"):
            world.plan(topic(), adopt=[TOPIC])

    def test_nor_what_another_declared_address_has(self, world: World) -> None:
        world.apply(topic())
        more = [*topic(), Declared("a.fake_topic.two", FakeTopic(name="t"))]
        with pytest.raises(
            UsageError, match=rf"adopting a\.fake_topic\.two: t is {TOPIC}, which is declared"
        ) as caught:
            world.plan(more, adopt=["a.fake_topic.two"])
        assert caught.value.hint == f"mlplat state forget {TOPIC} --namespace test"

    def test_adopt_takes_it_over(self, world: World) -> None:
        world.cloud.things["fake_topic", "t"] = stranger("fake_topic", "t", {"team": "sales"})
        made = world.plan(topic(color="blue"), adopt=[TOPIC])
        assert actions(made) == {TOPIC: Action.ADOPT}
        assert [change.field for change in made.steps[0].changes] == ["color", "tags"]
        world.apply(topic(color="blue"), adopt=[TOPIC])
        world.check(topic(color="blue"))
        assert world.cloud.named("t").tags["team"] == "sales"

    def test_adopt_never_replaces(self, world: World) -> None:
        world.cloud.things["fake_topic", "t"] = stranger("fake_topic", "t", {})
        with pytest.raises(
            MlplatError, match=r"adopting fake_topic t: t doesn't match: shape is 'round', not 'square'.*never replaced"
        ):
            world.plan(topic(shape="square"), adopt=[TOPIC])

    def test_adopt_of_something_undeclared_names_the_nearest(self, world: World) -> None:
        with pytest.raises(UsageError) as caught:
            world.plan(topic(), adopt=["a.fake_topic.tt"])
        assert caught.value.hint == f"mlplat apply --adopt {TOPIC} --namespace test"

    def test_some_kinds_are_taken_over_when_nobody_owns_them(self, world: World) -> None:
        declared = [Declared("a.fake_log.l", FakeLog(name="l"))]
        world.cloud.things["fake_log", "l"] = stranger("fake_log", "l", {"aws:service": "x"})
        assert actions(world.plan(declared)) == {"a.fake_log.l": Action.ADOPT}
        world.apply(declared)
        world.check(declared)

    def test_but_not_when_somebody_does(self, world: World) -> None:
        world.cloud.things["fake_log", "l"] = stranger("fake_log", "l", {"team": "sales"})
        with pytest.raises(ForeignObject):
            world.plan([Declared("a.fake_log.l", FakeLog(name="l"))])

    def test_ours_by_tags_though_the_state_is_lost(self, world: World) -> None:
        world.apply(platform())
        world.files.path.unlink()
        made = world.plan(platform())
        assert made.is_empty
        world.apply(platform())
        world.check(platform())

    def test_lost_tags_are_put_back(self, world: World) -> None:
        world.apply(topic())
        world.cloud.named("t").tags.clear()
        assert only(world, topic()).reason == "differs: tags"
        world.apply(topic())
        world.check(topic())

    def test_what_lost_its_tags_is_not_deleted_unless_named(self, world: World) -> None:
        world.apply(topic())
        world.cloud.named("t").tags.clear()
        with pytest.raises(ForeignObject, match="deleting fake_topic t"):
            world.plan([])
        world.apply([], adopt=[TOPIC])
        assert world.cloud.things == {}

    def test_what_became_somebody_elses_is_only_forgotten(self, world: World) -> None:
        world.apply(topic())
        world.cloud.named("t").tags["mlplat:namespace"] = "other"
        (step,) = world.plan([]).steps
        assert (step.action, step.seen, step.reason) == (
            Action.DELETE,
            None,
            "t is not ours any more; it is left alone",
        )
        world.apply([])
        assert (len(world.cloud.things), world.state.entries) == (1, {})

    def test_an_adopted_object_outlives_its_old_address(self, world: World) -> None:
        world.apply(topic())
        moved = [Declared("a.fake_topic.new", FakeTopic(name="t"))]
        with pytest.raises(ForeignObject):
            world.plan(moved)
        world.apply(moved, adopt=["a.fake_topic.new"])
        world.check(moved)


class TestData:
    def test_a_replace_that_would_lose_data_is_refused(self, world: World) -> None:
        world.apply([Declared("a.fake_vault.v", FakeVault(name="v"))])
        with pytest.raises(MlplatError, match=r"replacing fake_vault v: shape can't be changed.*beside it") as caught:
            world.plan([Declared("a.fake_vault.v", FakeVault(name="v", shape="square"))])
        assert "--delete-data a.fake_vault.v" in str(caught.value.hint)

    def test_a_failed_one_is_replaced_only_when_it_is_empty(self, world: World) -> None:
        declared = [Declared("a.fake_vault.v", FakeVault(name="v"))]
        world.apply(declared)
        world.cloud.named("v").failed = "broken"
        assert actions(world.plan(declared)) == {"a.fake_vault.v": Action.REPLACE}
        world.cloud.named("v").data = 3
        with pytest.raises(MlplatError, match="it holds 3 objects"):
            world.plan(declared)

    def test_what_holds_data_is_retained_with_all_it_needs(self, world: World) -> None:
        net = Declared("a.fake_network.n", FakeNetwork(name="n"))
        vault = Declared("a.fake_vault.v", FakeVault(name="v", links=[Ref(net.address, "id")]))
        world.apply([net, vault, *topic()])
        world.cloud.named("v").data = 1204
        made = world.plan([])
        assert actions(made) == {
            net.address: Action.RETAIN, vault.address: Action.RETAIN, TOPIC: Action.DELETE
        }  # fmt: skip
        assert {s.address: s.reason for s in made.steps if s.action is Action.RETAIN} == {
            vault.address: "it holds 1204 objects",
            net.address: "a.fake_vault.v needs it, which is kept",
        }
        world.apply([])
        assert world.plan([]).is_empty
        assert world.state.entries.keys() == {net.address, vault.address}

    def test_an_unknown_value_is_no_reason_to_refuse(self, world: World) -> None:
        declared = [*topic(), Declared("a.fake_vault.v", FakeVault(name="v", host=Ref(TOPIC, "id")))]
        world.apply(declared)
        world.cloud.things.pop(("fake_topic", "t"))
        assert actions(world.plan(declared)) == {TOPIC: Action.CREATE, "a.fake_vault.v": Action.UPDATE}
        world.apply(declared)
        world.check(declared)

    def test_but_a_known_one_is_when_it_comes_out_differently(self, world: World) -> None:
        net = Declared("a.fake_network.n", FakeNetwork(name="n"))
        vault = Declared("a.fake_vault.v", FakeVault(name="v", host=Ref(net.address, "id")))
        world.apply([net, vault])
        world.cloud.named("v").data = 7
        world.cloud.things = {key: thing for key, thing in world.cloud.things.items() if thing.kind != "fake_network"}
        with pytest.raises(MlplatError, match=r"host would have to change.*may hold data"):
            world.apply([net, vault])
        assert world.cloud.named("v").data == 7


class TestScope:
    def test_only_templates_in_scope_are_touched(self, world: World) -> None:
        world.apply(platform())
        made = world.plan(platform(color="blue", model="m2"), scope=["b"])
        assert {step.template for step in made.steps} == {"b"}
        assert actions(made)["b.fake_model.m"] is Action.REPLACE

    def test_what_left_another_template_stays(self, world: World) -> None:
        world.apply([*platform(), *topic()])
        assert world.plan(platform(), scope=["b"]).is_empty

    def test_the_outputs_of_others_come_from_the_state(self, world: World) -> None:
        world.apply(platform(), scope=["a"])
        world.cloud.reads.clear()
        world.apply(platform(), scope=["b"])
        assert not world.cloud.reads.keys() & {"net", "part", "raw"}
        world.check(platform())

    def test_or_from_reality_when_the_state_is_lost(self, world: World) -> None:
        world.apply(platform(), scope=["a"])
        world.files.path.unlink()
        world.apply(platform(), scope=["b"])
        world.apply(platform())
        world.check(platform())

    def test_what_is_not_applied_is_named(self, world: World) -> None:
        with pytest.raises(
            UsageError, match=r"planning b: it needs a.fake_network.part, and a is not applied"
        ) as caught:
            world.plan(platform(), scope=["b"])
        assert caught.value.hint == "mlplat apply --template a --namespace test"


class TestProblems:
    def test_all_problems_are_told_together(self, world: World) -> None:
        world.cloud.things["fake_topic", "job"] = stranger("fake_topic", "job", {})
        world.cloud.things["fake_vault", "raw"] = stranger("fake_vault", "raw", {})
        world.cloud.unreadable["end"] = refused("describe", "Odd", "something odd")
        with pytest.raises(Several) as caught:
            world.plan(platform())
        message = caught.value.message
        assert "fake_topic job" in message
        assert "fake_vault raw" in message
        assert "reading fake_topic end: Odd: something odd (request R-1)" in message
        assert len(caught.value.errors) == 3

    def test_the_exit_code_is_theirs_when_they_agree(self, world: World) -> None:
        denied = PermissionDenied(service="fake", operation="describe", code="AccessDenied", reason="no")
        world.cloud.unreadable |= {"end": denied, "job": denied}
        with pytest.raises(Several) as caught:
            world.plan(platform())
        assert caught.value.exit_code == 4

    def test_without_credentials_one_call_is_enough(self, world: World) -> None:
        declared = [Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in range(20)]
        world.cloud.unreadable |= {f"t{n}": CredentialsError("expired") for n in range(20)}
        world.parallelism = 1
        with pytest.raises(CredentialsError):
            world.plan(declared)
        assert world.cloud.reads.total() == 1

    def test_a_bug_in_a_kind_is_told_with_its_type(self, world: World) -> None:
        world.cloud.unreadable["t"] = KeyError("Oops")
        with pytest.raises(MlplatError, match="reading fake_topic t: KeyError: 'Oops'") as caught:
            world.plan(topic())
        assert isinstance(caught.value.__cause__, KeyError)

    def test_a_need_that_nobody_declares(self, world: World) -> None:
        with pytest.raises(MlplatError, match=r"planning a.fake_topic.t: it needs a.fake_topic.x, which no template"):
            world.plan(topic(links=[Ref("a.fake_topic.x", "id")]))

    def test_an_output_that_does_not_exist(self, world: World) -> None:
        world.apply(topic())
        declared = [*topic(), Declared("a.fake_log.l", FakeLog(name="l", links=[Ref(TOPIC, "uri")]))]
        with pytest.raises(MlplatError, match=r"it refers to \(a.fake_topic.t.uri\), which has no output 'uri'"):
            world.plan(declared)
        world.cloud.things.clear()
        with pytest.raises(MlplatError, match="which has no output 'uri'"):
            world.apply(declared)

    def test_an_address_declared_twice(self, world: World) -> None:
        with pytest.raises(MlplatError, match="declared twice"):
            world.plan([*topic(), *topic()])

    def test_a_circle(self, world: World) -> None:
        one, two = topic(links=[Ref("a.fake_log.l", "id")])[0], Declared("a.fake_log.l", FakeLog(name="l"), [TOPIC])
        with pytest.raises(MlplatError, match="need each other"):
            world.plan([one, two])


class TestReading:
    def test_a_kind_that_can_list_is_read_in_one_call(self, world: World) -> None:
        declared = [Declared(f"a.fake_network.n{n}", FakeNetwork(name=f"n{n}")) for n in range(50)]
        world.apply(declared)
        world.cloud.reads.clear()
        assert world.plan(declared).is_empty
        assert world.cloud.reads == {"list networks": 1}

    def test_what_cannot_be_listed_is_looked_at_one_by_one(self, world: World) -> None:
        declared = [Declared(f"a.fake_network.n{n}", FakeNetwork(name=f"n{n}")) for n in range(3)]
        world.apply(declared)
        world.cloud.unreadable["list networks"] = PermissionDenied(
            service="fake", operation="list", code="AccessDenied", reason="no"
        )
        assert world.plan(declared).is_empty

    def test_objects_are_read_in_parallel(self, world: World) -> None:
        world.cloud.delay = 0.01
        world.parallelism = 8
        world.plan([Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in range(24)])
        assert world.cloud.most_in_flight >= 4

    def test_the_watch_sees_the_reading(self, world: World) -> None:
        class Watch:
            seen: list[tuple[int, int]] = []

            def observed(self, done: int, total: int) -> None:
                self.seen.append((done, total))

        watch = Watch()
        plan(world.session, world.state, platform(), watch=watch)
        assert max(watch.seen) == (6, 6)

    def test_a_cancelled_plan_is_none(self, world: World) -> None:
        session = world.session
        session.cancelled.set()
        with pytest.raises(MlplatError, match="nothing was changed"):
            plan(session, world.state, platform())


def test_create_first_needs_a_new_name(world: World) -> None:
    declared = [Declared("a.fake_model.m", FakeModel(name="m"))]
    world.apply(declared)
    same = [replace(declared[0], resource=FakeModel(name="m", color="blue"))]
    assert not only(world, same).creates_first
    world.apply(same)
    world.check(same)
    other = [replace(declared[0], resource=FakeModel(name="m2", color="blue"))]
    assert only(world, other).creates_first
