"""A delete-first replace of what others hold on to: taken out of them before, put back after; or refused at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.fakes import FakeGate, FakeNetwork, FakeRunner, FakeTopic
from tests.reconciler.conftest import World, actions

from mlplat.errors import MlplatError, PartlyDone
from mlplat.output import plans
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import Action
from mlplat.resources.base import Declared, Ref

NET, OTHER, GATE = "a.fake_network.net", "a.fake_network.other", "a.fake_gate.gate"


def gated(net: str = "round", other: str = "round", *, within: Sequence[str] = (NET, OTHER)) -> list[Declared]:
    return [
        Declared(NET, FakeNetwork(name="net", shape=net)),
        Declared(OTHER, FakeNetwork(name="other", shape=other)),
        Declared(GATE, FakeGate(name="gate", links=[Ref(each, "id") for each in within])),
    ]


def test_it_is_taken_out_of_what_holds_it_and_the_new_one_is_put_in(world: World) -> None:
    world.apply(gated())
    (old,) = world.cloud.of(NET)
    made = world.plan(gated("square"))
    assert actions(made) == {NET: Action.REPLACE, OTHER: Action.KEEP, GATE: Action.UPDATE}
    step = next(step for step in made.steps if step.address == NET)
    assert (step.order, step.taken_out_of) == ("delete first", (GATE,))
    assert step.to_json()["taken_out_of"] == [GATE]
    assert "; it is taken out of fake_gate.gate first" in plans.headline(step).plain
    world.cloud.calls.clear()
    apply(made, world.session, world.store)
    assert world.cloud.calls == [("update", "gate"), ("delete", "net"), ("create", "net"), ("update", "gate")]
    assert old.id not in world.cloud.named("gate").fields["links"]
    assert world.cloud.dangling == []
    world.check(gated("square"))


def test_several_at_once_are_taken_out_one_after_another(world: World) -> None:
    world.apply(gated())
    world.apply(gated("square", "square"))
    world.check(gated("square", "square"))
    assert len(world.cloud.named("gate").fields["links"]) == 2


def test_what_lets_go_for_good_does_so_before(world: World) -> None:
    world.apply(gated())
    wanted = gated("square", within=[OTHER])
    world.cloud.calls.clear()
    world.apply(wanted)
    assert world.cloud.calls == [("update", "gate"), ("delete", "net"), ("create", "net")]
    world.check(wanted)


@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("fault", ["refuse", "drop", "lose"])
def test_whatever_fails_the_next_run_converges(world: World, call: int, fault: str) -> None:
    world.apply(gated())
    world.cloud.faults = {next(world.cloud._count) + 1 + call: fault}
    try:
        world.apply(gated("square"))
    except (MlplatError, PartlyDone):
        world.cloud.faults = {}
        world.apply(gated("square"))
    world.check(gated("square"))


def test_with_the_state_lost_it_is_seen_all_the_same(world: World) -> None:
    world.apply(gated())
    world.files.path.unlink()
    world.apply(gated("square"))
    world.check(gated("square"))


def test_what_can_not_let_go_is_told_by_the_plan(world: World) -> None:
    def run(shape: str) -> list[Declared]:
        runner = FakeRunner(name="runner", links=[Ref(NET, "id")])
        return [
            Declared(NET, FakeNetwork(name="net", shape=shape)),
            Declared("b.fake_runner.r", runner),
            Declared("b.fake_topic.serves", FakeTopic(name="serves", links=[Ref("b.fake_runner.r", "name")])),
        ]

    world.apply(run("round"))
    with pytest.raises(MlplatError) as caught:
        world.plan(run("square"))
    assert caught.value.message == (
        f"replacing {NET}: shape can't be changed in place, so the old one has to go first, and AWS keeps it as "
        "long as b.fake_runner.r uses it; take that down first"
    )
    assert caught.value.hint == "mlplat destroy --target b.fake_runner.r --reverse --namespace test"
    world.apply(run("square")[:1])
    world.check(run("square")[:1])
