from __future__ import annotations

from typing import Any

from tests.resources.contract import KindContract, World
from tests.resources.glue.test_job import role

from mlplat.resources import GlueCrawler


def database(world: World, name: str) -> str:
    glue = world.client("glue")
    if name not in [each["Name"] for each in glue.get_databases()["DatabaseList"]]:
        glue.create_database(DatabaseInput={"Name": name})
    return name


class TestGlueCrawler(KindContract):
    def desired(self, world: World) -> GlueCrawler:
        return GlueCrawler(
            name=f"contract-{world.suffix}",
            role=role(world, "crawls").rpartition("/")[2],
            database=database(world, f"one_{world.suffix}"),
            folders=[f"s3://{world.bucket}/raw/"],
            table_prefix="raw_",
            table_level=2,
            schedule="cron(0 4 * * ? *)",
            description="Raw files",
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "role": role(world, "walks").rpartition("/")[2],
            "database": database(world, f"two_{world.suffix}"),
            "folders": [f"s3://{world.bucket}/raw/", f"s3://{world.bucket}/more/"],
            "table_prefix": "",
            "table_level": 3,
            "schedule": "",
            "description": "All files",
        }
