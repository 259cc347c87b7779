from __future__ import annotations

from typing import Any

from tests.resources.contract import KindContract, World
from tests.resources.glue.test_job import TestGlueJob as JobContract

from mlplat.resources import GlueTrigger


def job(world: World, name: str) -> str:
    """The name of somebody's job."""
    glue, like, called = world.client("glue"), JobContract().desired(world), f"{name}-{world.suffix}"
    if called not in glue.list_jobs()["JobNames"]:
        glue.create_job(Name=called, Role=like.role, Command={"Name": "pythonshell", "ScriptLocation": like.script})
    return called


class TestGlueTrigger(KindContract):
    def desired(self, world: World) -> GlueTrigger:
        return GlueTrigger(
            name=f"contract-{world.suffix}",
            schedule="cron(0 3 * * ? *)",
            job=job(world, "first"),
            description="Every night",
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "schedule": "cron(0 4 * * ? *)",
            "job": job(world, "second"),
            "active": False,
            "description": "Every morning",
        }
