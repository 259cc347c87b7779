"""S3 without ACLs, as buckets are since 2023, and policies that would make a bucket public while that is blocked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.policies import listed
from mlplat.localcloud.rules import Asked, before
from mlplat.localcloud.s3 import find_bucket

ENFORCED = "BucketOwnerEnforced"
GRANTS = ("x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp", "x-amz-grant-write-acp",
          "x-amz-grant-full-control")  # fmt: skip


def not_supported() -> AwsError:
    """User guide, "Controlling ownership of objects and disabling ACLs for your bucket"."""
    return AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")


@before("s3", "CreateBucket")
def a_new_bucket_has_no_acl(asked: Asked) -> None:
    """User guide, "Default settings for new S3 buckets FAQ": an ACL needs another ownership in the same request."""
    headers = asked.route.request.headers
    ownership = headers.get("x-amz-object-ownership", ENFORCED)
    if ownership == ENFORCED and (headers.get("x-amz-acl", "private") != "private" or _grants(headers)):
        text = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        raise AwsError("InvalidBucketAclWithObjectOwnership", text)


@before("s3", "PutBucketAcl", "PutObjectAcl")
def acls_are_not_written(asked: Asked) -> None:
    """Same page: "Requests to set ACLs or update ACLs fail"."""
    if _is_enforced(asked):
        raise not_supported()


@before("s3", "PutObject", "CopyObject", "CreateMultipartUpload")
def objects_are_the_bucket_owners(asked: Asked) -> None:
    """Same page: uploads may say nothing or bucket-owner-full-control."""
    headers = asked.route.request.headers
    granted = headers.get("x-amz-acl", "bucket-owner-full-control") != "bucket-owner-full-control" or _grants(headers)
    if granted and _is_enforced(asked):
        raise not_supported()


@before("s3", "PutBucketPolicy")
def a_policy_makes_nothing_public(asked: Asked) -> None:
    """User guide, "Blocking public access": BlockPublicPolicy, for everybody without a condition."""
    bucket = find_bucket(asked)
    block = None if bucket is None else bucket.public_access_block
    if block is None or str(block.block_public_policy).lower() != "true":
        return
    if any(_is_public(each) for each in listed(json.loads(asked.request["Policy"]).get("Statement"))):
        raise AwsError(
            "AccessDenied",
            f"User: arn:aws:iam::{asked.cloud.account}:root is not authorized to perform: s3:PutBucketPolicy on "
            f'resource: "arn:aws:s3:::{bucket.name}" because public policies are prevented by the BlockPublicPolicy '
            "setting in S3 Block Public Access.",
            403,
        )


def _grants(headers: Mapping[str, str]) -> bool:
    return any(name in headers for name in GRANTS)


def _is_enforced(asked: Asked) -> bool:
    bucket = find_bucket(asked)
    return bucket is not None and bucket.ownership_rule == ENFORCED


def _is_public(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    everybody = principal == "*" or (isinstance(principal, Mapping) and "*" in listed(principal.get("AWS")))
    return statement.get("Effect") == "Allow" and everybody and not statement.get("Condition")
