from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.fakes import FakeTopic
from tests.reconciler.conftest import World, platform

from mlplat.errors import MlplatError
from mlplat.reconciler.plan import Plan, plan_destroy
from mlplat.reconciler.protection import check, protecting
from mlplat.reconciler.selection import Selection
from mlplat.resources.base import Declared

PROTECT = {"a.fake_vault.*": True, "c.*": True}


def checked(made: Plan, protect: Mapping[str, bool] = PROTECT) -> None:
    check(made, protect, lambda pattern: f'lifecycle.protect."{pattern}" (production.toml:3)')


def test_a_destroy_of_what_is_protected_is_refused_with_the_setting_and_the_way_round(world: World) -> None:
    world.apply(platform())
    with pytest.raises(MlplatError, match=r"would be destroyed \(destroy\), which") as error:
        checked(world.plan_destroy(reverse=True))
    assert error.value.message == (
        "planning namespace test: a.fake_vault.raw would be destroyed (destroy), "
        'which lifecycle.protect."a.fake_vault.*" (production.toml:3) forbids'
    )
    assert error.value.hint == "mlplat destroy --reverse --exclude a.fake_vault.raw --namespace test"
    selection = Selection((), ("a.fake_vault.raw",))
    checked(plan_destroy(world.session, world.state, scope=None, reverse=True, selection=selection))
    checked(world.plan_destroy(reverse=True), {**PROTECT, "a.fake_vault.raw": False})


def test_a_replace_of_what_is_protected_is_refused(world: World) -> None:
    def topic(shape: str) -> list[Declared]:
        return [Declared("c.fake_topic.t", FakeTopic(name="t", shape=shape))]

    world.apply(topic("round"))
    with pytest.raises(MlplatError, match=r"c\.fake_topic\.t would be replaced \(shape can't be changed in place\)"):
        checked(world.plan(topic("square")))
    with pytest.raises(MlplatError, match=r"c\.fake_topic\.t would be destroyed \(it is no longer declared\)"):
        checked(world.plan([]))
    checked(world.plan(topic("square")), {"c.*": True, "c.fake_topic.*": False})


def test_updates_creations_and_what_is_kept_or_gone_are_no_matter(world: World) -> None:
    checked(world.plan(platform()))
    world.apply(platform())
    checked(world.plan(platform(color="blue")))
    world.cloud.named("raw").data = 3
    checked(world.plan_destroy(reverse=True))
    world.cloud.things.clear()
    checked(world.plan_destroy(reverse=True))


@pytest.mark.parametrize(
    ("protect", "by"),
    [
        ({}, None),
        ({"*": True}, "*"),
        ({"*": True, "a.bucket.*": False}, None),
        ({"*": False, "a.bucket.*": True}, "a.bucket.*"),
        ({"a.bucket.raw": False, "*.bucket.raw": True, "a.*": True}, None),
        ({"a.bucket.raw": True, "a.bucket.r*": False}, "a.bucket.raw"),
        ({"a.*.raw": False, "a.bucket.*": True}, "a.bucket.*"),
        ({"*.bucket.raw": False, "a.bucket.ra*": True}, "a.bucket.ra*"),
        ({"b.bucket.raw": True, "a.bucket.other": True}, None),
    ],
)
def test_the_most_specific_pattern_decides(protect: dict[str, bool], by: str | None) -> None:
    assert protecting("a.bucket.raw", protect) == by
    assert protecting("a.bucket.raw", dict(reversed(protect.items()))) == by
