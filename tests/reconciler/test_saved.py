"""A saved plan: the same as long as nothing changed, and every change is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from tests.fakes import FakeTopic, FakeVault
from tests.reconciler.conftest import EDITED, World, platform

from mlplat.reconciler import formats
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import Plan
from mlplat.reconciler.saved import Place, Saved
from mlplat.resources.base import Declared

HERE = Place("test", "local", "123456789012", "us-east-1")
END = "b.fake_topic.end"


def kept(made: Plan) -> Saved:
    """The plan as it comes back from its file."""
    return Saved.loads(Saved.of(made, HERE, {"destroy": made.destroy}).dumps())


def test_nothing_changed_and_it_holds(world: World) -> None:
    for declared in (platform(), EDITED):
        saved = kept(world.plan(declared))
        made = world.plan(declared)
        assert list(saved.differences(made)) == []
        assert saved.serial == made.serial
        apply(made, world.session, world.store)
        world.check(declared)


def test_a_plan_to_destroy_holds_too(world: World) -> None:
    world.apply(platform())
    world.cloud.named("raw").data = 3
    saved = kept(world.plan_destroy(delete_data=["*"]))
    assert list(saved.differences(world.plan_destroy(delete_data=["*"]))) == []
    world.cloud.named("raw").data = 4
    assert list(saved.differences(world.plan_destroy(delete_data=["*"]))) == [
        "a.fake_vault.raw: it holds 4 objects now, not 3 objects"
    ]
    world.cloud.named("raw").data = 0
    assert "it holds nothing now" in next(saved.differences(world.plan_destroy(delete_data=["*"])))
    kept_back = next(saved.differences(world.plan_destroy()))
    assert kept_back == "a.fake_vault.raw: it holds nothing now, not 3 objects"


def by_hand(world: World) -> Sequence[Declared]:
    world.cloud.named("end").fields["color"] = "green"
    return EDITED


def gone(world: World) -> Sequence[Declared]:
    world.cloud.things.pop(("fake_topic", "end"))
    return EDITED


def made_again(world: World) -> Sequence[Declared]:
    (old,) = world.cloud.find("part")
    world.cloud.things.pop((old.kind, old.id))
    old.id = "network-9999"
    world.cloud.things[old.kind, old.id] = old
    return EDITED


def no_tags(world: World) -> Sequence[Declared]:
    world.cloud.named("end").tags.pop("mlplat:address")
    return EDITED


def declared_otherwise(world: World) -> Sequence[Declared]:
    return [each if each.address != END else Declared(END, FakeTopic(name="end", color="pink")) for each in EDITED]


def one_more(world: World) -> Sequence[Declared]:
    return [*EDITED, Declared("b.fake_topic.more", FakeTopic(name="more"))]


def one_less(world: World) -> Sequence[Declared]:
    return [each for each in EDITED if each.address != END]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (by_hand, f"{END}: color of it changed"),
        (gone, f"{END}: it is gone now, not end"),
        (made_again, "a.fake_network.part: it is network-9999 now, not network-0002"),
        (no_tags, f"{END}: tags of it changed"),
        (declared_otherwise, f"{END}: color, links is declared otherwise"),
        (one_more, "b.fake_topic.more: it was not in the plan"),
        (one_less, "the plan said update and would be delete now"),
    ],
)
def test_whatever_changed_since_is_named(
    world: World, change: Callable[[World], Sequence[Declared]], told: str
) -> None:
    world.apply(platform())
    saved = kept(world.plan(EDITED))
    now = world.plan(change(world))
    assert any(told in each for each in saved.differences(now)), list(saved.differences(now))


def test_what_is_not_managed_may_change(world: World) -> None:
    world.apply(platform())
    saved = kept(world.plan(platform()))
    world.cloud.named("end").tags["team"] = "ours"
    world.cloud.named("end").fields["note"] = "made by hand"
    assert list(saved.differences(world.plan(platform()))) == []


def test_no_value_is_in_the_file(world: World) -> None:
    secret = "correct-horse-battery"
    text = Saved.of(world.plan([Declared("a.fake_vault.v", FakeVault(name="v", color=secret))]), HERE, {}).dumps()
    assert b"a.fake_vault.v" in text
    assert secret.encode() not in text


def test_a_file_that_is_none_or_damaged_or_newer(world: World) -> None:
    text = Saved.of(world.plan(platform()), HERE, {}).dumps()
    for damaged in (b"", b"{}", b"[]", b"\xff", text[: len(text) // 2], text.replace(b"create", b"delete")):
        with pytest.raises(ValueError, match=r"\S"):
            Saved.loads(damaged)
    body = json.loads(text)
    body.pop("sha256")
    for number, error in ((2, formats.NewerFormat), (0, ValueError)):
        other = {**body, "format": number}
        with pytest.raises(error, match=str(number)):
            Saved.loads(json.dumps({**other, "sha256": formats.digest(other)}).encode())
    state = world.state.dumps()
    with pytest.raises(ValueError, match="no saved plan"):
        Saved.loads(state)
