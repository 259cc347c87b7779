from __future__ import annotations

from dataclasses import replace

from tests.fakes import FakeModel, FakeTopic, FakeVault, refused
from tests.reconciler.conftest import World, platform

from mlplat.reconciler.drift import Finding, Verdict, drift
from mlplat.reconciler.plan import Action, Step
from mlplat.reconciler.steps import Cause
from mlplat.resources.base import Declared, Ref

TOPIC = "a.fake_topic.t"


def topic(**fields: object) -> list[Declared]:
    return [Declared(TOPIC, FakeTopic(name="t", **fields))]  # type: ignore[arg-type]


def only(world: World, declared: list[Declared]) -> Step:
    (step,) = world.plan(declared).steps
    return step


def found(world: World) -> dict[str, Finding]:
    return {each.address: each for each in drift(world.session, world.state)}


def test_a_change_in_the_configuration_is_told_as_that(world: World) -> None:
    world.apply(topic())
    step = only(world, topic(color="blue"))
    assert (step.causes, step.drifted) == ({"color": Cause.CONFIG}, False)
    assert found(world)[TOPIC].verdict is Verdict.CLEAN


def test_a_change_by_hand_is_told_as_that_and_repaired(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").fields["color"] = "green"
    step = only(world, topic())
    assert (step.action, step.causes, step.drifted) == (Action.UPDATE, {"color": Cause.BY_HAND}, True)
    assert step.to_json()["changes"] == [{"field": "color", "old": "green", "new": "red", "cause": "by hand"}]
    assert found(world)[TOPIC].to_json()["changes"] == [{"field": "color", "applied": "red", "now": "green"}]
    world.apply(topic())
    assert world.cloud.named("t").fields["color"] == "red"
    assert found(world)[TOPIC].verdict is Verdict.CLEAN


def test_both_at_once_are_told_as_both(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").fields["color"] = "green"
    step = only(world, topic(color="blue"))
    assert (step.causes, step.drifted) == ({"color": Cause.BOTH}, True)


def test_each_field_has_a_cause_of_its_own(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").fields["shape"] = "square"
    step = only(world, topic(color="blue"))
    assert step.causes == {"color": Cause.CONFIG, "shape": Cause.BY_HAND}


def test_tags_taken_away_are_a_change_by_hand(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").tags.pop("mlplat:template")
    assert only(world, topic()).causes == {"tags": Cause.BY_HAND}
    assert [change.field for change in found(world)[TOPIC].changes] == ["tags"]


def test_tags_of_others_are_no_drift(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").tags["cost-center"] = "42"
    assert found(world)[TOPIC].verdict is Verdict.CLEAN


def test_deleted_by_hand_is_drift(world: World) -> None:
    world.apply(topic())
    world.cloud.things.clear()
    step = only(world, topic())
    assert (step.action, step.gone, step.drifted) == (Action.CREATE, True, True)
    assert (found(world)[TOPIC].verdict, found(world)[TOPIC].reason) == (Verdict.DRIFTED, "t is gone")
    world.apply(topic())
    assert found(world)[TOPIC].verdict is Verdict.CLEAN


def test_what_was_never_applied_is_neither(world: World) -> None:
    step = only(world, topic())
    assert (step.gone, step.drifted) == (False, False)
    assert found(world) == {}


def test_made_again_by_hand_under_another_id_is_drift(world: World) -> None:
    world.apply(platform())
    (net,) = (thing for thing in world.cloud.things.values() if thing.fields["name"] == "net")
    other = replace(net, id="network-9999", fields=dict(net.fields))
    del world.cloud.things[net.kind, net.id]
    world.cloud.things[net.kind, other.id] = other
    finding = found(world)["a.fake_network.main"]
    assert (finding.verdict, finding.id) == (Verdict.DRIFTED, "network-9999")
    assert finding.reason == f"{net.id} is gone; network-9999 is there in its place"


def test_a_failed_object_is_drift(world: World) -> None:
    world.apply(topic())
    world.cloud.named("t").failed = "out of capacity"
    assert found(world)[TOPIC].reason == "it failed (out of capacity)"


def test_a_value_that_waits_for_another_object_follows_it(world: World) -> None:
    world.apply(platform())
    made = {step.address: step for step in world.plan(platform(shape="square")).steps}
    assert made["a.fake_network.main"].causes == {"shape": Cause.CONFIG}
    assert made["a.fake_network.part"].causes == {"host": Cause.FOLLOWS}
    assert not made["a.fake_network.part"].drifted


def test_without_a_memory_nobody_knows_the_cause(world: World) -> None:
    world.apply(topic())
    world.files.path.unlink()
    world.cloud.named("t").fields["color"] = "green"
    step = only(world, topic())
    assert (step.action, step.causes, step.drifted) == (Action.UPDATE, {}, False)
    assert step.to_json()["changes"][0]["cause"] is None


def test_drift_needs_no_configuration_and_sees_what_left_it(world: World) -> None:
    world.apply([*topic(), Declared("a.fake_vault.old", FakeVault(name="old"))])
    world.cloud.named("old").fields["color"] = "green"
    assert found(world)["a.fake_vault.old"].verdict is Verdict.DRIFTED


def test_what_cannot_be_read_is_not_checked_and_hides_nothing_else(world: World) -> None:
    world.apply(platform())
    world.cloud.unreadable["job"] = refused("describe", "AccessDenied", "no")
    world.cloud.named("end").fields["color"] = "green"
    findings = found(world)
    assert findings["b.fake_topic.job"].verdict is Verdict.NOT_CHECKED
    assert "AccessDenied: no" in findings["b.fake_topic.job"].reason
    assert findings["b.fake_topic.end"].verdict is Verdict.DRIFTED
    assert sum(each.verdict is Verdict.CLEAN for each in findings.values()) == len(findings) - 2


def test_a_change_of_ours_that_was_broken_off_is_nobodys_drift(world: World) -> None:
    world.apply(topic())
    with world.store.edit("test") as state:
        state.entries[TOPIC] = replace(state.entries[TOPIC], intent={"verb": "update"})
    world.cloud.named("t").fields["color"] = "blue"
    assert found(world)[TOPIC].verdict is Verdict.NOT_CHECKED
    assert found(world)[TOPIC].reason == "its update was broken off; apply finishes it"
    assert only(world, topic(color="green")).causes == {}


def test_a_field_that_a_newer_mlplat_added_was_not_changed_by_hand(world: World) -> None:
    world.apply(topic())
    with world.store.edit("test") as state:
        entry = state.entries[TOPIC]
        older = {name: value for name, value in entry.fields.items() if name != "color"}
        state.entries[TOPIC] = replace(entry, fields=older)
    world.cloud.named("t").fields["color"] = "green"
    assert found(world)[TOPIC].verdict is Verdict.CLEAN


def test_the_new_object_of_a_replace_is_no_drift_of_the_old(world: World) -> None:
    def model(name: str) -> list[Declared]:
        return [
            Declared("a.fake_model.m", FakeModel(name=name, color="blue" if name == "m2" else "red")),
            Declared("a.fake_topic.end", FakeTopic(name="end", links=[Ref("a.fake_model.m", "name")])),
        ]

    world.apply(model("m1"))
    steps = {step.address: step for step in world.plan(model("m2")).steps}
    assert set(steps["a.fake_model.m"].causes.values()) == {Cause.CONFIG}
    world.apply(model("m2"))
    assert {each.verdict for each in found(world).values()} == {Verdict.CLEAN}
