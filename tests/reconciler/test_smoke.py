from tests.fakes import FakeModel, FakeNetwork, FakeTopic, FakeVault
from tests.reconciler.conftest import World, actions

from mlplat.resources.base import Declared, Ref


def platform(color: str = "red", shape: str = "round", model: str = "m1") -> list[Declared]:
    return [
        Declared("a.fake_network.main", FakeNetwork(name="net", shape=shape)),
        Declared("a.fake_network.sub", FakeNetwork(name="sub", host=Ref("a.fake_network.main", "id"))),
        Declared("a.fake_vault.raw", FakeVault(name="raw", color=color)),
        Declared(
            "b.fake_topic.t",
            FakeTopic(name="t", host=Ref("a.fake_network.sub", "id"), links=[Ref("a.fake_vault.raw", "id")]),
        ),
        Declared("b.fake_model.m", FakeModel(name=model, links=[Ref("a.fake_vault.raw", "id")])),
        Declared("b.fake_topic.e", FakeTopic(name="e", links=[Ref("b.fake_model.m", "name")])),
    ]


def test_life(world: World) -> None:
    d = platform()
    world.apply(d)
    world.check(d)
    for d in (platform("blue"), platform("blue", "square"), platform("blue", "square", "m2"), platform()[:3]):
        print(actions(world.plan(d)))
        world.apply(d)
        world.check(d)
    print(world.cloud.calls)
    world.destroy(reverse=True)
    assert not world.cloud.things and not world.state.entries
