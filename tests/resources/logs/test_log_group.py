from __future__ import annotations

from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import LogGroup


class TestLogGroup(KindContract):
    def desired(self, world: World) -> LogGroup:
        return LogGroup(name=f"/mlplat/test/{world.suffix}", retention_days=30, kms_key=world.key)

    def changes(self, world: World) -> dict[str, Any]:
        return {"retention_days": 7, "kms_key": world.new_key()}


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
