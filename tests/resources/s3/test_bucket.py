from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import KindContract, World

from mlplat.errors import ForeignObject
from mlplat.resources import Bucket
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


class TestBucketElsewhere(TestBucket):
    """In every region but us-east-1 CreateBucket must say where."""

    def desired(self, world: World) -> Bucket:
        world.session = replace(world.session, region="eu-central-1", _shared=type(world.session._shared)())
        world.__dict__.pop("aws", None)
        return replace(super().desired(world), name=f"bucket-elsewhere-{world.suffix}", policy=None)

    def changes(self, world: World) -> dict[str, Any]:
        return {"versioning": False}


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
    assert bucket.data(world.aws, id) == "1 object"
    fill(world, id, versions=2)
    s3.create_multipart_upload(Bucket=id, Key="big.bin")
    assert bucket.data(world.aws, id) == "1 object and 2 old versions and 1 unfinished upload"
    s3.delete_object(Bucket=id, Key="customers.csv")
    assert bucket.data(world.aws, id) == "4 old versions and 1 unfinished upload"
    bucket.empty(world.aws, id)
    assert bucket.data(world.aws, id) is None
    bucket.delete(world.aws, id)
    assert bucket.describe(world.aws) is None


def test_more_than_a_page_is_emptied_in_batches(world: World) -> None:
    bucket, s3 = TestBucket().desired(world), world.client("s3")
    id = bucket.create(world.aws)
    for index in range(1010):
        s3.put_object(Bucket=id, Key=f"{index}", Body=b"")
    assert bucket.data(world.aws, id) == "1,000+ objects"
    bucket.empty(world.aws, id)
    assert bucket.data(world.aws, id) is None


def test_a_name_taken_by_another_account_is_told_as_that(world: World) -> None:
    name = f"taken-{world.suffix}"
    theirs = replace(world.session, credentials=None, _shared=type(world.session._shared)())
    assume = world.client("sts").assume_role(
        RoleArn="arn:aws:iam::222222222222:role/somebody", RoleSessionName="somebody"
    )["Credentials"]
    import boto3

    boto3.client(
        "s3",
        endpoint_url=theirs.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=assume["AccessKeyId"],
        aws_secret_access_key=assume["SecretAccessKey"],
        aws_session_token=assume["SessionToken"],
    ).create_bucket(Bucket=name)
    with pytest.raises(ForeignObject, match="belongs to another account") as error:
        Bucket(name=name).create(world.aws)
    assert error.value.hint == f"aws s3api head-bucket --bucket {name}"
