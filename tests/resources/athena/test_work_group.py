from __future__ import annotations

from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import AthenaWorkGroup


class TestAthenaWorkGroup(KindContract):
    def desired(self, world: World) -> AthenaWorkGroup:
        return AthenaWorkGroup(
            name=f"features-{world.suffix}",
            output_location=f"s3://{world.bucket}/results/",
            key=world.key,
            description="Questions to the offline store",
            scan_limit=10_000_000,
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "output_location": f"s3://{world.bucket}/answers/",
            "key": world.new_key(),
            "description": "Questions",
            "scan_limit": 20_000_000,
        }


def test_a_group_with_a_history_is_deleted_and_its_results_stay(world: World) -> None:
    group, athena = TestAthenaWorkGroup().desired(world), world.client("athena")
    id = group.create(world.aws)
    query = athena.start_query_execution(QueryString="SELECT 1", WorkGroup=id)["QueryExecutionId"]
    world.aws.wait(
        "the query",
        lambda: athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]["State"],
        lambda state: state == "SUCCEEDED",
    )
    group.delete(world.aws, id)
    assert group.describe(world.aws) is None
    body = world.client("s3").get_object(Bucket=world.bucket, Key=f"results/{query}.csv")["Body"].read()
    assert b'"1"' in body
