from __future__ import annotations

import json
from typing import Any

from tests.resources.contract import ASSUMED_BY_SAGEMAKER, KindContract, World

from mlplat.resources import Pipeline


def definition(*, fails: str = "nothing to do") -> dict[str, Any]:
    """One step that fails with a message: it needs nothing else."""
    step = {"Name": "stop", "Type": "Fail", "Arguments": {"ErrorMessage": fails}}
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]}


class TestPipeline(KindContract):
    def desired(self, world: World) -> Pipeline:
        return Pipeline(
            name=f"contract-{world.suffix}", definition=definition(), role=world.role, description="For a test"
        )

    def changes(self, world: World) -> dict[str, Any]:
        other = world.client("iam").create_role(
            RoleName=f"pipelines-{world.suffix}", AssumeRolePolicyDocument=json.dumps(ASSUMED_BY_SAGEMAKER)
        )
        return {
            "definition": definition(fails="something else"),
            "role": other["Role"]["Arn"],
            "description": "Another",
        }
