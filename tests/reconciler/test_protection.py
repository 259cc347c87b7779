from __future__ import annotations

import pytest
from tests.fakes import FakeTopic
from tests.reconciler.conftest import World, platform

from mlplat.errors import MlplatError
from mlplat.reconciler.plan import plan_destroy
from mlplat.reconciler.protection import check
from mlplat.reconciler.selection import Selection
from mlplat.resources.base import Declared

PROTECTED = ["a.fake_vault.*", "c.*"]
WHERE = "production.toml:3"


def test_a_destroy_of_what_is_protected_is_refused_with_the_setting_and_the_way_round(world: World) -> None:
    world.apply(platform())
    with pytest.raises(MlplatError, match=r"lifecycle\.protect \(production\.toml:3\) forbids it") as error:
        check(world.plan_destroy(reverse=True), PROTECTED, WHERE)
    assert "a.fake_vault.raw would be destroyed (destroy)" in error.value.message
    assert error.value.hint == "mlplat destroy --reverse --exclude a.fake_vault.raw --namespace test"
    check(plan_destroy(world.session, world.state, scope=None, reverse=True,
                       selection=Selection((), ("a.fake_vault.raw",))), PROTECTED, WHERE)  # fmt: skip


def test_a_replace_of_what_is_protected_is_refused(world: World) -> None:
    def topic(shape: str) -> list[Declared]:
        return [Declared("c.fake_topic.t", FakeTopic(name="t", shape=shape))]

    world.apply(topic("round"))
    with pytest.raises(MlplatError, match=r"c\.fake_topic\.t would be replaced \(shape can't be changed in place\)"):
        check(world.plan(topic("square")), PROTECTED, WHERE)
    with pytest.raises(MlplatError, match=r"c\.fake_topic\.t would be destroyed \(it is no longer declared\)"):
        check(world.plan([]), PROTECTED, WHERE)


def test_updates_creations_and_what_is_kept_or_gone_are_no_matter(world: World) -> None:
    check(world.plan(platform()), PROTECTED, WHERE)
    world.apply(platform())
    check(world.plan(platform(color="blue")), PROTECTED, WHERE)
    world.cloud.named("raw").data = 3
    check(world.plan_destroy(reverse=True), PROTECTED, WHERE)
    world.cloud.things.clear()
    check(world.plan_destroy(reverse=True), PROTECTED, WHERE)
