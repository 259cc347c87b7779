from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import KindContract, World

from mlplat.errors import ApiError, ForeignObject
from mlplat.resources import Bucket
from mlplat.resources.s3 import delete_contents
from mlplat.resources.s3.bucket import BLOCKED

EXPIRY = {"ID": "temp", "Status": "Enabled", "Filter": {"Prefix": "temp/"}, "Expiration": {"Days": 7}}
ARCHIVE = {
    "ID": "archive",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}, {"Days": 30, "StorageClass": "STANDARD_IA"}],
    "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}


def deny(name: str, condition: dict[str, Any]) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{name}"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {"Version": "2012-10-17", "Statement": [{**statement, "Condition": condition}]}


class TestBucket(KindContract):
    def desired(self, world: World) -> Bucket:
        name = f"bucket-{world.suffix}"
        return Bucket(
            name=name,
            kms_key=world.key,
            policy=deny(name, {"Bool": {"aws:SecureTransport": False}}),
            lifecycle=[EXPIRY, ARCHIVE],
        )

    def changes(self, world: World) -> dict[str, Any]:
        other = world.client("kms").create_key()["KeyMetadata"]["Arn"]
        return {
            "kms_key": other,
            "versioning": False,
            "ownership": "BucketOwnerPreferred",
            "public_access_block": {**BLOCKED, "BlockPublicAcls": False},
            "policy": deny(f"bucket-{world.suffix}", {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
            "lifecycle": [EXPIRY],
        }


def test_in_every_region_but_the_first_create_says_where(cloud: Any) -> None:
    world = World(
        session=cloud.session(region="eu-central-1"), client=lambda service: cloud.client(service, "eu-central-1")
    )
    bucket = Bucket(name=f"elsewhere-{world.suffix}")
    bucket.create(world.aws)
    seen = TestBucket().settled(bucket, world, bucket.name)
    assert seen.outputs["uri"] == f"s3://{bucket.name}"
    assert world.client("s3").get_bucket_location(Bucket=bucket.name)["LocationConstraint"] == "eu-central-1"


def fill(world: World, bucket: str, *, versions: int) -> None:
    s3 = world.client("s3")
    for _ in range(versions):
        s3.put_object(Bucket=bucket, Key="customers.csv", Body=b"x")


def test_an_empty_list_of_rules_removes_the_lifecycle(world: World) -> None:
    bucket = TestBucket().desired(world)
    bucket.create(world.aws)
    without = replace(bucket, lifecycle=[])
    seen = without.describe(world.aws)
    assert seen is not None
    assert [change.field for change in without.compare(seen)] == ["lifecycle"]
    without.update(world.aws, seen, frozenset({"lifecycle"}))
    after = without.describe(world.aws)
    assert after is not None
    assert after.fields["lifecycle"] == []


def test_a_lifecycle_changed_by_hand_is_seen(world: World) -> None:
    bucket = TestBucket().desired(world)
    bucket.create(world.aws)
    world.client("s3").put_bucket_lifecycle_configuration(
        Bucket=bucket.name, LifecycleConfiguration={"Rules": [{**EXPIRY, "Expiration": {"Days": 8}}]}
    )
    seen = bucket.describe(world.aws)
    assert seen is not None
    assert [change.field for change in bucket.compare(seen)] == ["lifecycle"]


def test_tags_of_others_stay(world: World) -> None:
    bucket = TestBucket().desired(world)
    bucket.create(world.aws)
    world.client("s3").put_bucket_tagging(
        Bucket=bucket.name, Tagging={"TagSet": [{"Key": "cost-center", "Value": "42"}]}
    )
    seen = bucket.describe(world.aws)
    assert seen is not None
    bucket.update(world.aws, seen, frozenset({"tags"}))
    after = bucket.describe(world.aws)
    assert after is not None
    assert after.tags == {"cost-center": "42", **world.aws.tags}


def test_what_is_in_it_is_counted_and_only_empty_takes_it(world: World) -> None:
    bucket, s3 = TestBucket().desired(world), world.client("s3")
    id = bucket.create(world.aws)
    assert bucket.data(world.aws, id) is None
    fill(world, id, versions=1)
    assert bucket.data(world.aws, id) == "1 object, 1 B"
    fill(world, id, versions=2)
    s3.create_multipart_upload(Bucket=id, Key="big.bin")
    assert bucket.data(world.aws, id) == "1 object and 2 old versions and 1 unfinished upload, 3 B"
    s3.delete_object(Bucket=id, Key="customers.csv")
    assert bucket.data(world.aws, id) == "4 old versions and 1 unfinished upload, 3 B"
    bucket.empty(world.aws, id)
    assert bucket.data(world.aws, id) is None
    bucket.delete(world.aws, id)
    assert bucket.describe(world.aws) is None


def test_more_than_a_page_is_emptied_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlplat.resources.s3.PAGE", 4)
    monkeypatch.setattr("mlplat.resources.s3.IN_FLIGHT", 2)
    bucket, s3 = TestBucket().desired(world), world.client("s3")
    id = bucket.create(world.aws)
    for index in range(21):
        s3.put_object(Bucket=id, Key=f"{index % 15}", Body=b"")
    s3.delete_object(Bucket=id, Key="0")
    assert bucket.data(world.aws, id) == "more than 4 objects, 0 B in the first 4"
    bucket.empty(world.aws, id)
    assert bucket.data(world.aws, id) is None


def test_what_s3_refuses_to_delete_is_an_error_and_not_a_success(world: World) -> None:
    bucket, s3 = TestBucket().desired(world), world.client("s3")
    id = bucket.create(world.aws)
    fill(world, id, versions=1)
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject*", "Resource": f"arn:aws:s3:::{id}/*"}
    s3.put_bucket_policy(Bucket=id, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(ApiError, match=r"customers\.csv"):
        bucket.empty(world.aws, id)


def test_deleting_under_a_prefix_takes_nothing_else(world: World) -> None:
    s3 = world.client("s3")
    bucket = TestBucket().desired(world)
    id = bucket.create(world.aws)
    for key in ("old/a", "old/b", "new/a"):
        s3.put_object(Bucket=id, Key=key, Body=b"")
    delete_contents(world.aws, id, "old/")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=id)["Contents"]] == ["new/a"]


def test_a_name_taken_by_another_account_is_told_as_that(cloud: Any, world: World) -> None:
    import boto3

    name = f"taken-{world.suffix}"
    role = "arn:aws:iam::222222222222:role/somebody"
    lent = world.client("sts").assume_role(RoleArn=role, RoleSessionName="somebody")["Credentials"]
    boto3.client(
        "s3",
        endpoint_url=cloud.url,
        region_name="us-east-1",
        aws_access_key_id=lent["AccessKeyId"],
        aws_secret_access_key=lent["SecretAccessKey"],
        aws_session_token=lent["SessionToken"],
    ).create_bucket(Bucket=name)
    with pytest.raises(ForeignObject, match="belongs to another account") as error:
        Bucket(name=name).create(world.aws)
    assert error.value.hint == f"aws s3api head-bucket --bucket {name}"


def test_what_is_mlplats_own_is_no_data_and_goes_with_the_bucket(world: World) -> None:
    bucket, s3 = TestBucket().desired(world), world.client("s3")
    id = bucket.create(world.aws)
    s3.put_object(Bucket=id, Key="mlplat/transformations/customer.py", Body=b"pass")
    s3.put_object(Bucket=id, Key="mlplat/transformations/customer.py", Body=b"")
    assert bucket.data(world.aws, id) is None
    s3.put_object(Bucket=id, Key="data.csv", Body=b"1")
    assert bucket.data(world.aws, id) == "1 object, 1 B"
    with pytest.raises(ApiError, match="BucketNotEmpty"):
        bucket.delete(world.aws, id)
    bucket.empty(world.aws, id)
    s3.put_object(Bucket=id, Key="mlplat/transformations/customer.py", Body=b"pass")
    bucket.delete(world.aws, id)
    assert bucket.describe(world.aws) is None
