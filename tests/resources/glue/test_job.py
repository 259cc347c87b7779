from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import GlueJob


def role(world: World, name: str) -> str:
    """The ARN of a role that Glue may assume, made when it isn't there yet."""
    iam, called = world.client("iam"), f"{name}-{world.suffix}"
    trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=called, AssumeRolePolicyDocument=document)
    return str(iam.get_role(RoleName=called)["Role"]["Arn"])


class TestGlueJob(KindContract):
    def desired(self, world: World) -> GlueJob:
        return GlueJob(
            name=f"contract-{world.suffix}",
            role=role(world, "one"),
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
