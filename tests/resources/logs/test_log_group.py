from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import LogGroup


class TestLogGroup(KindContract):
    def desired(self, world: World) -> LogGroup:
        return LogGroup(name=f"/mlplat/test/{world.suffix}", retention_days=30, kms_key=world.key)

    def changes(self, world: World) -> dict[str, Any]:
        other = world.client("kms").create_key()["KeyMetadata"]["Arn"]
        return {"retention_days": 7, "kms_key": other}


class TestSharedLogGroup(TestLogGroup):
    def desired(self, world: World) -> LogGroup:
        return replace(super().desired(world), shared=True)


def test_a_group_whose_name_begins_like_ours_is_not_ours(world: World) -> None:
    group = TestLogGroup().desired(world)
    world.client("logs").create_log_group(logGroupName=f"{group.name}-2")
    assert group.describe(world.aws) is None


def test_a_group_that_sagemaker_made_first_is_brought_in_line(world: World) -> None:
    group = TestLogGroup().desired(world)
    world.client("logs").create_log_group(logGroupName=group.name)
    seen = group.describe(world.aws)
    assert seen is not None
    assert LogGroup.adopts_untagged
    assert seen.tags == {}
    changed = {change.field for change in group.compare(seen)}
    assert changed == {"retention_days", "kms_key"}
    group.update(world.aws, seen, frozenset(changed | {"tags"}))
    after = group.describe(world.aws)
    assert after is not None
    assert after.tags == world.aws.tags
    assert group.compare(after) == []


def test_a_shared_group_of_another_namespace_is_left_alone_until_that_one_goes(world: World) -> None:
    group = replace(TestLogGroup().desired(world), shared=True)
    theirs = replace(world.session, namespace="other").at(world.address)
    ours = world.aws
    replace(group, retention_days=7, kms_key=None).create(theirs)
    seen = group.describe(ours)
    assert seen is not None
    assert group.compare(seen) == []
    assert seen.tags is not None
    assert ours.tags.items() <= seen.tags.items()
    group.delete(ours, group.name)
    assert group.describe(theirs) is not None
    group.delete(theirs, group.name)
    assert group.describe(ours) is None
