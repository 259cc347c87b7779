from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import KindContract, World

from mlplat.errors import ForeignObject
from mlplat.resources import KmsKey


def policy(world: World, *more: dict[str, Any]) -> dict[str, Any]:
    root = {"AWS": f"arn:aws:iam::{world.session.account}:root"}
    own = {"Sid": "Account", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [own, *more]}


LOGS = {
    "Sid": "Logs",
    "Effect": "Allow",
    "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
    "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
    "Resource": "*",
}


class TestKmsKey(KindContract):
    def desired(self, world: World) -> KmsKey:
        return KmsKey(name=f"key-{world.suffix}", description="For a test", policy=policy(world))

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "description": "For another test",
            "policy": policy(world, LOGS),
            "rotation": False,
            "deletion_window_days": 8,
            "enabled": False,
        }


def test_disabled_by_hand_it_is_enabled_again(world: World) -> None:
    key = TestKmsKey().desired(world)
    id = key.create(world.aws)
    world.client("kms").disable_key(KeyId=id)
    seen = key.describe(world.aws, id)
    assert seen is not None
    assert [(change.field, change.new) for change in key.compare(seen)] == [("enabled", True)]
    key.update(world.aws, seen, frozenset({"enabled"}))
    assert world.client("kms").describe_key(KeyId=id)["KeyMetadata"]["KeyState"] == "Enabled"


def test_made_again_within_the_window_it_is_the_same_key(world: World) -> None:
    key = TestKmsKey().desired(world)
    id = key.create(world.aws)
    key.delete(world.aws, id)
    state = world.client("kms").describe_key(KeyId=id)["KeyMetadata"]
    assert state["KeyState"] == "PendingDeletion"
    again = replace(key, description="Taken back", rotation=False)
    assert again.create(world.aws) == id
    seen = again.describe(world.aws)
    assert seen is not None
    assert again.compare(seen) == []
    assert seen.outputs["alias"] == f"alias/{key.name}"


def test_it_is_the_same_key_though_the_users_own_tags_have_changed(world: World) -> None:
    key = TestKmsKey().desired(world)
    before, after = (replace(world.session, labels={"team": team}).at(world.address) for team in ("a", "b"))
    id = key.create(before)
    key.delete(before, id)
    assert key.create(after) == id
    seen = key.describe(after)
    assert seen is not None
    assert (seen.tags or {}).get("team") == "b"


@pytest.mark.parametrize("leftover", ["alias of our dying key", "key taken back but not enabled"])
def test_half_taken_back_it_still_is_one_key(world: World, leftover: str) -> None:
    key, kms = TestKmsKey().desired(world), world.client("kms")
    id = key.create(world.aws)
    key.delete(world.aws, id)
    if leftover.startswith("key"):
        kms.cancel_key_deletion(KeyId=id)
        seen = key.describe(world.aws)
        assert seen is not None
        assert seen.id == id
        key.update(world.aws, seen, frozenset(change.field for change in key.compare(seen)))
    else:
        kms.cancel_key_deletion(KeyId=id)
        kms.create_alias(AliasName=key.alias, TargetKeyId=id)
        kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=7)
        assert key.describe(world.aws) is None
        assert key.create(world.aws) == id
    found = key.describe(world.aws)
    assert found is not None
    assert key.compare(found) == []


def test_an_alias_of_somebody_elses_key_is_seen_as_theirs_and_never_moved(world: World) -> None:
    key, kms = TestKmsKey().desired(world), world.client("kms")
    theirs = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=key.alias, TargetKeyId=theirs)
    seen = key.describe(world.aws)
    assert seen is not None
    assert seen.id == theirs
    assert not (seen.tags or {})
    with pytest.raises(ForeignObject, match="which is not ours"):
        key.create(world.aws)
    assert kms.describe_key(KeyId=key.alias)["KeyMetadata"]["KeyId"] == theirs


def test_the_window_is_the_declared_one(world: World) -> None:
    key = replace(TestKmsKey().desired(world), deletion_window_days=9)
    id = key.create(world.aws)
    key.delete(world.aws, id)
    metadata = world.client("kms").describe_key(KeyId=id)["KeyMetadata"]
    days = (metadata["DeletionDate"] - metadata["CreationDate"]).total_seconds() / 86400
    assert days == pytest.approx(9, abs=0.1)
