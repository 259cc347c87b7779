from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.fakes import FakeTopic
from tests.reconciler.conftest import World, actions, platform

from mlplat.errors import UsageError
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import Action, Plan, plan, plan_destroy
from mlplat.reconciler.selection import Selection
from mlplat.resources.base import Declared, Ref


def planned(world: World, declared: Sequence[Declared], *targets: str, exclude: Sequence[str] = ()) -> Plan:
    return plan(world.session, world.state, declared, selection=Selection(targets, tuple(exclude)))


def destroying(world: World, *targets: str, exclude: Sequence[str] = (), reverse: bool = False) -> Plan:
    selection, known = Selection(targets, tuple(exclude)), [each.address for each in platform()]
    return plan_destroy(world.session, world.state, scope=None, reverse=reverse, selection=selection, applicable=known)


def carried_out(world: World, made: Plan) -> None:
    apply(made, world.session, world.store, parallelism=world.parallelism)


def test_a_target_comes_with_all_that_it_needs_and_nothing_else(world: World) -> None:
    made = planned(world, platform(), "b.fake_topic.job")
    assert actions(made) == dict.fromkeys(
        ["a.fake_network.main", "a.fake_network.part", "a.fake_vault.raw", "b.fake_topic.job"], Action.CREATE
    )
    carried_out(world, made)
    rest = world.plan(platform()).pending
    assert {step.address for step in rest} == {"b.fake_model.m", "b.fake_topic.end"}
    world.apply(platform())
    world.check(platform())


def test_targets_may_be_patterns_and_many(world: World) -> None:
    made = planned(world, platform(), "a.fake_network.*", "*.raw")
    assert actions(made).keys() == {"a.fake_network.main", "a.fake_network.part", "a.fake_vault.raw"}


@pytest.mark.parametrize("flag", ["--target", "--exclude"])
def test_a_pattern_that_matches_nothing_names_the_nearest(world: World, flag: str) -> None:
    selection = Selection(("a.fake_vault.row",)) if flag == "--target" else Selection((), ("a.fake_vault.row",))
    with pytest.raises(UsageError, match=f"planning {flag} a.fake_vault.row") as error:
        plan(world.session, world.state, platform(), selection=selection)
    assert error.value.hint == f"mlplat plan {flag} a.fake_vault.raw"


def test_what_is_not_a_target_keeps_its_changes_for_later(world: World) -> None:
    world.apply(platform())
    world.cloud.named("job").fields["color"] = "green"
    made = planned(world, platform(color="blue"), "a.fake_vault.raw")
    assert actions(made) == {"a.fake_vault.raw": Action.UPDATE}
    carried_out(world, made)
    assert world.cloud.named("raw").fields["color"] == "blue"
    assert world.cloud.named("job").fields["color"] == "green"


def test_what_is_excluded_is_left_alone_and_used_as_it_is(world: World) -> None:
    world.apply(platform())
    world.cloud.named("raw").fields["color"] = "green"
    made = planned(world, platform(color="blue"), exclude=["a.fake_vault.raw"])
    assert "a.fake_vault.raw" not in actions(made)
    assert made.is_empty
    assert made.borrowed == {"a.fake_vault.raw"}
    assert made.to_json()["excluded_but_needed"] == ["a.fake_vault.raw"]


def test_excluding_what_others_need_and_what_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match=r"b\.fake_model\.m, b\.fake_topic\.job: it needs a\.fake_vault\.raw") as error:
        planned(world, platform(), exclude=["a.fake_vault.raw"])
    assert "excluded and isn't there yet" in error.value.message
    assert error.value.hint == "mlplat apply --target a.fake_vault.raw --namespace test"
    assert world.cloud.calls == []


def test_a_replace_does_not_pull_what_was_left_out_down(world: World) -> None:
    world.apply(platform())
    with pytest.raises(UsageError, match=r"replacing a\.fake_network\.main: .*a\.fake_network\.part uses it") as error:
        planned(world, platform(shape="square"), "a.fake_network.main")
    assert str(error.value.hint).startswith("mlplat plan --target a.fake_network.main --target a.fake_network.part")


def test_what_has_left_goes_with_what_still_uses_it(world: World) -> None:
    old = Declared("a.fake_topic.old", FakeTopic(name="old"))
    user = Declared("a.fake_topic.user", FakeTopic(name="user", host=Ref("a.fake_topic.old", "id")))
    world.apply(platform(more=[old, user]))
    made = planned(world, platform(color="blue"), "a.fake_topic.old")
    assert actions(made) == {"a.fake_topic.user": Action.DELETE, "a.fake_topic.old": Action.DELETE}
    carried_out(world, made)
    assert not world.cloud.find("old")


def test_what_has_left_and_is_excluded_is_kept_with_what_it_needs(world: World) -> None:
    old = Declared("a.fake_topic.old", FakeTopic(name="old"))
    user = Declared("a.fake_topic.user", FakeTopic(name="user", host=Ref("a.fake_topic.old", "id")))
    world.apply(platform(more=[old, user]))
    made = planned(world, platform(), exclude=["a.fake_topic.user"])
    kept = {step.address: step.reason for step in made.steps if step.action is Action.RETAIN}
    assert kept == {
        "a.fake_topic.user": "it is excluded",
        "a.fake_topic.old": "a.fake_topic.user needs it, which is kept",
    }
    carried_out(world, made)
    assert world.cloud.named("old")


def test_destroying_a_target_takes_only_that(world: World) -> None:
    world.apply(platform())
    carried_out(world, destroying(world, "b.fake_topic.end"))
    assert not world.cloud.find("end")
    assert world.state.entries.keys() == {each.address for each in platform()} - {"b.fake_topic.end"}
    assert destroying(world, "b.fake_topic.end").is_empty  # again, or after a kill: it is done


def test_destroying_what_others_rest_on_is_refused_unless_they_go_too(world: World) -> None:
    world.apply(platform())
    with pytest.raises(UsageError, match=r"destroying b\.fake_model\.m: b\.fake_topic\.end .* rests on it") as error:
        destroying(world, "b.fake_model.m")
    assert error.value.hint == "mlplat destroy --target b.fake_model.m --reverse --namespace test"
    with pytest.raises(UsageError) as error:
        destroying(world, "a.*.main", exclude=["*.job"])
    assert error.value.hint == "mlplat destroy --target 'a.*.main' --exclude '*.job' --reverse --namespace test"
    made = destroying(world, "b.fake_model.m", reverse=True)
    assert actions(made) == {"b.fake_topic.end": Action.DELETE, "b.fake_model.m": Action.DELETE}


def test_destroy_keeps_what_is_excluded_and_all_that_it_needs(world: World) -> None:
    world.apply(platform())
    made = destroying(world, exclude=["b.fake_model.m"], reverse=True)
    kept = {step.address for step in made.steps if step.action is Action.RETAIN}
    assert kept == {"b.fake_model.m", "a.fake_vault.raw"}
    carried_out(world, made)
    assert world.state.entries.keys() == kept
    assert {thing.fields["name"] for thing in world.cloud.things.values()} == {"m1", "raw"}
    world.apply(platform())
    world.check(platform())


def test_a_slip_of_the_pen_destroys_nothing(world: World) -> None:
    world.apply(platform())
    with pytest.raises(UsageError, match=r"destroying --exclude a\.fake_vault\.row"):
        destroying(world, exclude=["a.fake_vault.row"], reverse=True)
