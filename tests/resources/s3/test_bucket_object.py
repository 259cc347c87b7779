from __future__ import annotations

from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import BucketObject


class TestBucketObject(KindContract):
    def desired(self, world: World) -> BucketObject:
        return BucketObject(name=f"mlplat/{world.suffix}.py", bucket=world.bucket, content="print('ä')\n")

    def changes(self, world: World) -> dict[str, Any]:
        return {"content_type": "text/plain"}


def test_another_text_is_seen_by_its_digest_and_written(world: World) -> None:
    first = TestBucketObject().desired(world)
    id = first.create(world.aws)
    second = BucketObject(name=first.name, bucket=first.bucket, content="print(2)\n")
    seen = second.describe(world.aws, id)
    assert seen is not None
    assert [each.field for each in second.compare(seen)] == ["sha256"]
    second.update(world.aws, seen, frozenset({"sha256"}))
    body = world.client("s3").get_object(Bucket=world.bucket, Key=first.name)["Body"].read()
    again = second.describe(world.aws, id)
    assert again is not None
    assert (body, second.compare(again)) == (b"print(2)\n", [])
    assert again.tags == seen.tags


def test_no_version_of_it_is_left_and_its_neighbour_stays(world: World) -> None:
    s3, one = world.client("s3"), TestBucketObject().desired(world)
    s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    id = one.create(world.aws)
    one.create(world.aws)
    s3.delete_object(Bucket=world.bucket, Key=one.name)
    one.create(world.aws)
    s3.put_object(Bucket=world.bucket, Key=f"{one.name}.txt", Body=b"stays")
    one.delete(world.aws, id)
    page = s3.list_object_versions(Bucket=world.bucket, Prefix=one.name)
    assert [each["Key"] for each in page["Versions"]] == [f"{one.name}.txt"]
    assert "DeleteMarkers" not in page
