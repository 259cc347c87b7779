"""S3's bounds on names, metadata, tags, lists and lifecycle rules, which moto lets go past.

Texts without another source are those that AWS's users and providers quote.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before

PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
LONGEST_KEY = 1024
MOST_METADATA = 2048
MOST_TAGS = 50
MOST_DELETED = 1000
INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
DAYS_BEFORE_INFREQUENT = 30
ACTIONS = (
    "Expiration", "Transitions", "NoncurrentVersionTransitions", "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
)  # fmt: skip
"""What a lifecycle rule may do."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@before("s3", "CreateBucket")
def a_bucket_is_named_by_the_rules(asked: Asked) -> None:
    """User guide, "General purpose bucket naming rules"."""
    name = asked.route.uri_params["Bucket"]
    plain = _NAME.fullmatch(name) and ".." not in name and not _is_address(name)
    if not plain or name.startswith(PREFIXES) or name.endswith(SUFFIXES):
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.", BucketName=name)


@before("s3", "PutObject", "CopyObject", "CreateMultipartUpload")
def keys_and_metadata_are_short(asked: Asked) -> None:
    """User guide, "Naming Amazon S3 objects" and "Working with object metadata"."""
    if len(asked.route.uri_params["Key"].encode()) > LONGEST_KEY:
        raise AwsError("KeyTooLongError", "Your key is too long")
    prefix = "x-amz-meta-"
    given = [(name, value) for name, value in asked.route.request.headers.items() if name.lower().startswith(prefix)]
    if sum(len(name) - len(prefix) + len(value) for name, value in given) > MOST_METADATA:
        text = "Your metadata headers exceed the maximum allowed metadata size"
        raise AwsError("MetadataTooLarge", text)


@before("s3", "PutBucketTagging")
def a_bucket_has_50_tags(asked: Asked) -> None:
    """User guide, "Using cost allocation S3 bucket tags"; the wording is not verified."""
    if len(asked.request["Tagging"].get("TagSet", ())) > MOST_TAGS:
        raise AwsError("BadRequest", f"Bucket tag count cannot be greater than {MOST_TAGS}")


@before("s3", "DeleteObjects")
def a_thousand_go_at_once(asked: Asked) -> None:
    """API reference of DeleteObjects."""
    if len(asked.request["Delete"]["Objects"]) > MOST_DELETED:
        text = "The XML you provided was not well-formed or did not validate against our published schema"
        raise AwsError("MalformedXML", text)


@before("s3", "PutBucketEncryption")
def a_key_is_for_kms(asked: Asked) -> None:
    """API reference, ServerSideEncryptionByDefault."""
    for rule in asked.request["ServerSideEncryptionConfiguration"].get("Rules", ()):
        default = rule.get("ApplyServerSideEncryptionByDefault") or {}
        if default.get("SSEAlgorithm") == "AES256" and default.get("KMSMasterKeyID"):
            text = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
            raise AwsError("InvalidArgument", text)


@before("s3", "PutBucketLifecycleConfiguration", "PutBucketLifecycle")
def lifecycle_rules_can_be_followed(asked: Asked) -> None:
    """User guide, "Lifecycle configuration elements" and "Transitioning objects"."""
    rules = (asked.request.get("LifecycleConfiguration") or {}).get("Rules", ())
    names = [each["ID"] for each in rules if each.get("ID")]
    if len(names) != len(set(names)):
        raise _bad("Rule ID must be unique. Found same ID for more than one rule")
    for rule in rules:
        _check_rule(rule)


def _check_rule(rule: dict[str, Any]) -> None:
    if not any(rule.get(each) for each in ACTIONS):
        raise AwsError("InvalidRequest", "At least one action needs to be specified in a rule")
    expires = (rule.get("Expiration") or {}).get("Days")
    if expires is not None and expires < 1:
        raise _bad("'Days' for Expiration action must be a positive integer")
    for transition in rule.get("Transitions", ()):
        days, storage = transition.get("Days"), transition.get("StorageClass")
        if days is not None and days < DAYS_BEFORE_INFREQUENT and storage in INFREQUENT:
            text = "'Days' in Transition action must be greater than or equal to"
            raise _bad(f"{text} {DAYS_BEFORE_INFREQUENT} for storageClass '{storage}'")
        if days is not None and expires is not None and expires <= days:
            text = "'Days' in the Expiration action for filter"
            raise _bad(f"{text} '{_told(rule)}' must be greater than 'Days' in the Transition action")


def _told(rule: dict[str, Any]) -> str:
    return f"(prefix={(rule.get('Filter') or {}).get('Prefix', rule.get('Prefix', ''))})"


def _bad(text: str) -> AwsError:
    return AwsError("InvalidArgument", text)


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
