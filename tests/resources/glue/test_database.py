from __future__ import annotations

from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import GlueDatabase


class TestGlueDatabase(KindContract):
    def desired(self, world: World) -> GlueDatabase:
        return GlueDatabase(
            name=f"catalog_{world.suffix}", description="Features", location_uri=f"s3://{world.bucket}/features/"
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {"description": "Features of customers", "location_uri": f"s3://{world.bucket}/other/"}


def test_tables_are_data_and_are_deleted_only_by_empty(world: World) -> None:
    database, glue = TestGlueDatabase().desired(world), world.client("glue")
    id = database.create(world.aws)
    assert database.data(world.aws, id) is None
    for index in range(105):
        glue.create_table(DatabaseName=id, TableInput={"Name": f"table_{index}"})
        if index == 0:
            assert database.data(world.aws, id) == "1 table"
    assert database.data(world.aws, id) == "100+ tables"
    database.empty(world.aws, id)
    assert database.data(world.aws, id) is None
    assert glue.get_tables(DatabaseName=id)["TableList"] == []


def test_an_update_keeps_what_did_not_change(world: World) -> None:
    database = TestGlueDatabase().desired(world)
    database.create(world.aws)
    seen = database.describe(world.aws)
    assert seen is not None
    database.update(world.aws, seen, frozenset({"description"}))
    there = world.client("glue").get_database(Name=database.name)["Database"]
    assert there["LocationUri"] == database.location_uri
    assert there["CreateTableDefaultPermissions"][0]["Permissions"] == ["ALL"]
