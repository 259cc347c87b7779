from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.resources.contract import ASSUMED_BY_SAGEMAKER, KindContract, World, statement

from mlplat.resources import Role

LIST = statement(Action=["s3:ListBucket", "s3:GetBucketLocation"], Resource="arn:aws:s3:::some-bucket")
WRITE = statement(Action="s3:PutObject", Resource=["arn:aws:s3:::some-bucket/*"])


class TestRole(KindContract):
    def desired(self, world: World) -> Role:
        return Role(
            name=f"role-{world.suffix}",
            trust=ASSUMED_BY_SAGEMAKER,
            policies={"list": LIST, "write": WRITE},
            description="For a test",
        )

    def changes(self, world: World) -> dict[str, Any]:
        narrower = {**ASSUMED_BY_SAGEMAKER["Statement"][0], "Condition": {"Bool": {"aws:SecureTransport": True}}}  # type: ignore[dict-item]
        return {
            "description": "For another test",
            "trust": {"Version": "2012-10-17", "Statement": [narrower]},
            "policies": {"write": statement(Action=["s3:PutObject", "s3:AbortMultipartUpload"], Resource="*")},
        }


def test_the_same_policy_written_otherwise_is_no_change(world: World) -> None:
    role = TestRole().desired(world)
    role.create(world.aws)
    seen = role.describe(world.aws)
    assert seen is not None
    turned = statement(Action=["s3:GetBucketLocation", "s3:ListBucket"], Resource=["arn:aws:s3:::some-bucket"])
    assert replace(role, policies={"list": turned, "write": WRITE}).compare(seen) == []


def test_a_policy_added_by_hand_is_seen_and_removed(world: World) -> None:
    role = TestRole().desired(world)
    role.create(world.aws)
    world.client("iam").put_role_policy(RoleName=role.name, PolicyName="by-hand", PolicyDocument=json.dumps(LIST))
    seen = role.describe(world.aws)
    assert seen is not None
    assert [change.field for change in role.compare(seen)] == ["policies"]
    role.update(world.aws, seen, frozenset({"policies"}))
    assert world.client("iam").list_role_policies(RoleName=role.name)["PolicyNames"] == ["list", "write"]


def test_delete_frees_the_role_from_attachments_made_by_hand(world: World) -> None:
    role, iam = TestRole().desired(world), world.client("iam")
    id = role.create(world.aws)
    managed = iam.create_policy(
        PolicyName=f"managed-{world.suffix}",
        PolicyDocument=json.dumps(LIST),
    )["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role.name, PolicyArn=managed)
    profile = f"profile-{world.suffix}"
    iam.create_instance_profile(InstanceProfileName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role.name)
    role.delete(world.aws, id)
    assert role.describe(world.aws) is None
