from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlplat.localcloud.buckets import context
from mlplat.localcloud.conditions import holds

ENCRYPTION = "s3:x-amz-server-side-encryption"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, False),
        ({"Bool": {"aws:SecureTransport": [True]}}, True),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, False),
        ({"StringEquals": {ENCRYPTION: ["AES256", "aws:kms"]}}, True),
        ({"StringNotEquals": {ENCRYPTION: "AES256"}}, True),
        ({"StringNotEquals": {ENCRYPTION: ["AES256", "aws:kms"]}}, False),
        ({"StringLike": {ENCRYPTION: "aws:*"}}, True),
        ({"StringNotLike": {ENCRYPTION: "aws:*"}}, False),
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, False),
        ({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, True),
        ({"StringEqualsIfExists": {"aws:SourceVpce": "vpce-1"}}, True),
        ({"Null": {"aws:SourceVpce": "true"}}, True),
        ({"Null": {ENCRYPTION: "true"}}, False),
        ({"Null": {ENCRYPTION: False}, "StringEquals": {ENCRYPTION: "AES256"}}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
    ],
)
def test_conditions_hold_as_iam_says(conditions: dict[str, Any], expected: bool) -> None:
    assert holds(conditions, context({"X-Amz-Server-Side-Encryption": "aws:kms"})) is expected


@pytest.fixture
def bucket(cloud: Any) -> str:
    name = f"policies-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=name)
    return name


def deny(bucket: str, **statement: Any) -> str:
    whole = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [whole]})


def test_a_policy_against_plain_http_lets_the_loopback_in(cloud: Any, bucket: str) -> None:
    s3 = cloud.client("s3")
    s3.put_bucket_policy(Bucket=bucket, Policy=deny(bucket, Condition={"Bool": {"aws:SecureTransport": "false"}}))
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"


def test_a_policy_without_conditions_still_denies(cloud: Any, bucket: str) -> None:
    cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=deny(bucket))
    with pytest.raises(ClientError):
        cloud.client("s3").put_object(Bucket=bucket, Key="a", Body=b"1")


def test_only_an_upload_that_asks_for_other_encryption_is_refused(cloud: Any, bucket: str) -> None:
    s3 = cloud.client("s3")
    condition = {"StringNotEquals": {ENCRYPTION: "aws:kms"}, "Null": {ENCRYPTION: "false"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=deny(bucket, Action="s3:PutObject", Condition=condition))
    s3.put_object(Bucket=bucket, Key="by-default", Body=b"")
    s3.put_object(Bucket=bucket, Key="by-kms", Body=b"", ServerSideEncryption="aws:kms")
    with pytest.raises(ClientError):
        s3.put_object(Bucket=bucket, Key="by-s3", Body=b"", ServerSideEncryption="AES256")


def test_create_bucket_takes_tags_and_then_is_not_repeatable(cloud: Any) -> None:
    s3, name = cloud.client("s3"), f"tagged-{uuid.uuid4().hex[:8]}"
    configuration = {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=configuration)
    assert {each["Key"]: each["Value"] for each in s3.get_bucket_tagging(Bucket=name)["TagSet"]} == {"a": "1", "b": ""}
    with pytest.raises(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=configuration)
    s3.create_bucket(Bucket=name)  # us-east-1 answers 200 for one's own without tags
    s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=name)
