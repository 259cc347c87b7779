"""S3 as AWS has it since 2023: encrypted, private, owner enforced; policies that are JSON; keys that exist."""

from __future__ import annotations

import json
from typing import Any

from mlplat.localcloud import kms, policies
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

DEFAULT_ENCRYPTION: dict[str, Any] = {
    "Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
}
"""User guide, "Default encryption FAQ": every bucket since 2023-01-05."""

BLOCKED = {
    "BlockPublicAcls": "true",
    "IgnorePublicAcls": "true",
    "BlockPublicPolicy": "true",
    "RestrictPublicBuckets": "true",
}
"""User guide, "Default settings for new S3 buckets FAQ": since 2023-04-28, with ACLs off."""

UNKNOWN_TO_MOTO = (
    "BucketAnalyticsConfiguration", "BucketMetricsConfiguration", "BucketIntelligentTieringConfiguration",
    "BucketMetadataTableConfiguration", "BucketMetadataConfiguration", "BucketAbac", "BucketRequestPayment",
)  # fmt: skip
"""Sub-resources that moto takes for the bucket itself: a delete of one would delete the bucket."""

NOT_IMPLEMENTED = (
    *(f"{verb}{name}" for verb in ("Get", "Put", "Delete") for name in UNKNOWN_TO_MOTO),
    "ListBucketAnalyticsConfigurations", "ListBucketMetricsConfigurations",
    "ListBucketIntelligentTieringConfigurations", "CreateBucketMetadataTableConfiguration",
    "CreateBucketMetadataConfiguration", "CreateSession", "DeleteBucketInventoryConfiguration", "GetObjectTorrent",
    "ListDirectoryBuckets", "RenameObject", "UpdateObjectEncryption", "WriteGetObjectResponse",
    *(f"{verb}ObjectAnnotation" for verb in ("Get", "Put", "Delete")), "ListObjectAnnotations",
    *(f"UpdateBucketMetadata{name}TableConfiguration" for name in ("Annotation", "Inventory", "Journal")),
)  # fmt: skip


ANSWERS_OF_OBJECTS = (
    "PutObject", "GetObject", "HeadObject", "CopyObject", "CreateMultipartUpload", "CompleteMultipartUpload",
)  # fmt: skip
"""Operations whose answers tell how an object is encrypted."""


@before("s3", *NOT_IMPLEMENTED)
def sub_resources_are_not_the_bucket(asked: Asked) -> None:
    """moto would do something else instead."""
    raise AwsError("UnknownOperationException", f"The local cloud does not implement s3:{asked.route.operation_name}.")


@after("s3", "CreateBucket")
def a_new_bucket_is_private(asked: Asked, _reply: Reply) -> None:
    """Encryption, block public access and ownership that moto leaves out."""
    from moto.s3.models import PublicAccessBlock

    bucket = find_bucket(asked)
    if bucket is None or getattr(bucket, "has_defaults", False):
        return  # one's own bucket, created again in us-east-1: nothing changes
    bucket.has_defaults = True
    bucket.encryption = bucket.encryption or DEFAULT_ENCRYPTION
    if bucket.public_access_block is None:
        bucket.public_access_block = PublicAccessBlock(*[BLOCKED[key] for key in _ORDER])
    ownership = asked.route.request.headers.get("x-amz-object-ownership", "BucketOwnerEnforced")
    bucket.ownership_rule = ownership  # moto keeps the plain word


_ORDER = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@after("s3", "DeleteBucketEncryption")
def encryption_falls_back_to_the_default(asked: Asked, _reply: Reply) -> None:
    """API reference of DeleteBucketEncryption: "resets the default encryption ... as SSE-S3"."""
    bucket = find_bucket(asked)
    if bucket is not None:
        bucket.encryption = DEFAULT_ENCRYPTION


@before("s3", "PutBucketPolicy")
def a_policy_is_json(asked: Asked) -> None:
    """Recorded from AWS's answers."""
    text = asked.request.get("Policy", "")
    try:
        document = json.loads(text) if text.startswith("{") else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise AwsError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
    if "Statement" not in document:
        raise AwsError("MalformedPolicy", "Missing required field Statement")
    for statement in policies.listed(document["Statement"]):
        _check_statement(statement, asked.route.uri_params["Bucket"])


@before("s3", "DeleteBucket")
def an_empty_bucket_has_no_versions_either(asked: Asked) -> None:
    """API reference of DeleteBucket: all objects, versions and delete markers."""
    bucket = find_bucket(asked)
    if bucket is None or not bucket.keys:
        return
    message = "The bucket you tried to delete is not empty"
    if bucket.versioning_status:
        message += ". You must delete all versions in the bucket."
    raise AwsError("BucketNotEmpty", message, 409, BucketName=bucket.name)


@before("s3", "PutObject", "CopyObject", "CreateMultipartUpload")
def an_object_is_encrypted_with_a_key_that_works(asked: Asked) -> None:
    """S3 finds out when the key is used, not when the bucket is told to use it. Headers only: no body is read."""
    headers, bucket = asked.route.request.headers, find_bucket(asked)
    algorithm = headers.get("x-amz-server-side-encryption")
    key = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    if algorithm is None and bucket is not None and bucket.encryption:
        rule = bucket.encryption["Rule"]
        default = (rule[0] if isinstance(rule, list) else rule).get("ApplyServerSideEncryptionByDefault") or {}
        algorithm, key = default.get("SSEAlgorithm"), key or default.get("KMSMasterKeyID")
    if bucket is None or algorithm != "aws:kms" or not key or key in ("aws/s3", "alias/aws/s3"):
        return
    if error := kms.usable(asked.backend("kms"), key):
        raise error


@before("s3", "GetObject")
def an_object_is_read_with_the_key_that_it_was_written_with(asked: Asked) -> None:
    """User guide, "Using server-side encryption with AWS KMS keys": S3 asks KMS to decrypt the object's data key."""
    bucket = find_bucket(asked)
    version = asked.route.request.args.get("versionId")
    key = bucket and asked.backend().get_object(bucket.name, asked.route.uri_params["Key"], version_id=version)
    if key is None or key.encryption != "aws:kms" or not key.kms_key_id:
        return
    if error := kms.usable(asked.backend("kms"), key.kms_key_id):
        raise error


@before("s3", "PutObject", "CompleteMultipartUpload", "CopyObject")
def a_write_may_only_ask_that_there_be_nothing(asked: Asked) -> None:
    """API reference of PutObject: IfNoneMatch "expects the '*' (asterisk) character". moto passes over others."""
    if asked.route.request.headers.get("If-None-Match", "*") != "*":
        text = "A header you provided implies functionality that is not implemented"
        raise AwsError("NotImplemented", text, 501, Header="If-None-Match")


@before("s3", "DeleteObject")
def a_delete_may_ask_that_there_be_anything(asked: Asked) -> None:
    """User guide, "How to perform conditional deletes": `If-Match: *`, which moto compares with the ETag."""
    headers, bucket = asked.route.request.headers, find_bucket(asked)
    if headers.get("If-Match") == "*" and bucket is not None:
        key = asked.backend().get_object(bucket.name, asked.route.uri_params["Key"])
        if key is not None:
            asked.route.request.environ["HTTP_IF_MATCH"] = key.etag


@after("s3", *ANSWERS_OF_OBJECTS)
def a_bucket_key_is_told_when_there_is_one(_asked: Asked, reply: Reply) -> Reply | None:
    """API reference of PutObject: AWS sends the header for objects with one, and never says false."""
    header = "x-amz-server-side-encryption-bucket-key-enabled"
    if reply.headers.get(header) != "false":
        return None
    return Reply(reply.status, {name: value for name, value in reply.headers.items() if name != header}, reply.body)


def _check_statement(statement: dict[str, Any], bucket: str) -> None:
    """User guide, "Policies and permissions in Amazon S3": all four elements, about this bucket and its objects."""
    for fields in (("Effect",), ("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource")):
        if not any(field in statement for field in fields):
            raise AwsError("MalformedPolicy", f"Missing required field {fields[0]}")
    for resource in policies.listed(statement.get("Resource")):
        if not policies.matches(resource.partition(":::")[2].partition("/")[0], bucket):
            raise AwsError("MalformedPolicy", "Policy has invalid resource")


def find_bucket(asked: Asked) -> Any:
    """moto's bucket that the request is about, or None."""
    from moto.s3.exceptions import MissingBucket

    try:
        return asked.backend().get_bucket(asked.route.uri_params["Bucket"])
    except MissingBucket:
        return None
