from __future__ import annotations

import json
from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import GlueJob


def role(world: World, name: str) -> str:
    """The ARN of a role that Glue may assume."""
    trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = world.client("iam").create_role(
        RoleName=f"{name}-{world.suffix}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    return str(made["Role"]["Arn"])


class TestGlueJob(KindContract):
    def desired(self, world: World) -> GlueJob:
        iam = world.client("iam")
        names = [each["RoleName"] for each in iam.list_roles()["Roles"]]
        one = f"one-{world.suffix}"
        return GlueJob(
            name=f"contract-{world.suffix}",
            role=iam.get_role(RoleName=one)["Role"]["Arn"] if one in names else role(world, "one"),
            script=f"s3://{world.bucket}/code/job.py",
            arguments={"library-set": "analytics"},
            description="Raw files into features",
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "role": role(world, "two"),
            "script": f"s3://{world.bucket}/code/other.py",
            "arguments": {"library-set": "analytics", "--files": "all"},
            "capacity": 1.0,
            "timeout_minutes": 90,
            "description": "Features",
        }
