"""KMS's refusals: keys that are on their way out or switched off, and policies that would lock everybody out."""

from __future__ import annotations

import json
import re
from typing import Any

from mlplat.localcloud import policies, trust
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before

CRYPTO = (
    "Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "Sign", "Verify",
    "GenerateMac", "VerifyMac",
)  # fmt: skip
NOT_WHILE_DYING = (
    "CreateAlias", "UpdateAlias", "TagResource", "UntagResource", "EnableKey", "DisableKey", "EnableKeyRotation",
    "DisableKeyRotation", "ScheduleKeyDeletion", "CreateGrant", "UpdateKeyDescription", *CRYPTO,
)  # fmt: skip
"""Developer guide, "Key states of AWS KMS keys". DescribeKey, GetKeyPolicy, ListAliases and DeleteAlias succeed."""

SHORTEST, LONGEST = 7, 30
MOST_TAGS = 50
_UUID = re.compile(r"(mrk-)?[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def invalid_state(message: str) -> AwsError:
    """KMSInvalidStateException."""
    return AwsError("KMSInvalidStateException", message)


def find_key(backend: Any, key_id: str) -> Any:
    """moto's key by id, ARN or alias; None when there is none."""
    try:
        return backend.keys.get(backend.any_id_to_key_id(key_id))
    except (KeyError, AttributeError, TypeError):
        return None  # an alias of nothing


@before("kms", *NOT_WHILE_DYING)
def a_dying_key_is_left_alone(asked: Asked) -> None:
    """Developer guide, "Key states of AWS KMS keys"."""
    key = find_key(asked.backend(), asked.request.get("TargetKeyId") or asked.request.get("KeyId", ""))
    if key is not None and key.key_state == "PendingDeletion":
        raise invalid_state(f"{key.arn} is pending deletion.")


@before("kms", *CRYPTO)
def a_disabled_key_does_nothing(asked: Asked) -> None:
    """Developer guide, "Key states of AWS KMS keys"."""
    key = find_key(asked.backend(), asked.request.get("KeyId", ""))
    if key is not None and key.key_state == "Disabled":
        raise AwsError("DisabledException", f"{key.arn} is disabled.")


@before("kms", "CancelKeyDeletion")
def only_a_dying_key_is_saved(asked: Asked) -> None:
    """API reference of CancelKeyDeletion."""
    key = find_key(asked.backend(), asked.request["KeyId"])
    if key is not None and key.key_state != "PendingDeletion":
        raise invalid_state(f"{key.arn} is not pending deletion.")


@before("kms", "ScheduleKeyDeletion")
def the_window_is_7_to_30_days(asked: Asked) -> None:
    """API reference of ScheduleKeyDeletion; botocore's shape allows 1 to 365. The wording is not verified."""
    days = asked.request.get("PendingWindowInDays", LONGEST)
    if not SHORTEST <= days <= LONGEST:
        raise AwsError("ValidationException", f"PendingWindowInDays must be between {SHORTEST} and {LONGEST} days.")


@before("kms", "CreateAlias", "UpdateAlias", "DeleteAlias")
def an_alias_has_its_prefix(asked: Asked) -> None:
    """Recorded from AWS's answers."""
    if not asked.request["AliasName"].startswith("alias/"):
        where = "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        raise AwsError("ValidationException", f'Alias must start with the prefix "alias/". Please see {where}')


@before("kms", "CreateKey", "PutKeyPolicy")
def nobody_is_locked_out(asked: Asked) -> None:
    """API reference of PutKeyPolicy, "lockout safety check": the caller (here: the account) can change it again."""
    text = asked.request.get("Policy")
    if not text or asked.request.get("BypassPolicyLockoutSafetyCheck"):
        return
    try:
        document = json.loads(text)
        statements = policies.listed(document["Statement"])
    except (ValueError, KeyError, TypeError) as error:
        raise AwsError("MalformedPolicyDocumentException", "The policy is not valid JSON.") from error  # not verified
    if not any(_keeps_a_door_open(each, asked.cloud.account) for each in statements):
        raise AwsError(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        )


@before("kms", "CreateKey", "PutKeyPolicy")
def a_policy_names_who_is_there(asked: Asked) -> None:
    """Developer guide, "Key policies": roles and users of this account must exist when they are named."""
    try:
        statements = policies.listed(json.loads(asked.request.get("Policy") or "{}").get("Statement"))
    except (ValueError, AttributeError):
        return  # refused above
    named = (each.get("Principal") for each in statements if isinstance(each, dict))
    arns = [arn for each in named if isinstance(each, dict) for arn in policies.listed(each.get("AWS"))]
    if not all(trust.exists(asked, arn) for arn in arns):
        text = "Policy contains a statement with one or more invalid principals."
        raise AwsError("MalformedPolicyDocumentException", text)


@before("kms", "CreateAlias", "UpdateAlias", "DeleteAlias")
def aliases_of_services_are_theirs(asked: Asked) -> None:
    """API reference of CreateAlias: the prefix alias/aws/ is reserved. moto knows some of them."""
    from moto.kms.utils import RESERVED_ALIASES

    name = asked.request["AliasName"]
    if name.startswith("alias/aws/") and name not in RESERVED_ALIASES:
        raise AwsError("NotAuthorizedException", "")


@before("kms", "CreateKey", "TagResource")
def tags_are_in_bounds(asked: Asked) -> None:
    """Developer guide, "Tags in AWS KMS"; the wording is not verified."""
    keys = [each["TagKey"] for each in asked.request.get("Tags", ())]
    if len(keys) != len(set(keys)):
        raise AwsError("TagException", "Duplicate tag keys")
    if any(key.lower().startswith("aws:") for key in keys):
        raise AwsError("TagException", "Tag keys that start with aws: are reserved for AWS")
    known = [tag["TagKey"] for tag in _tags_of(asked)]
    if len({*keys, *known}) > MOST_TAGS:
        raise AwsError("LimitExceededException", f"A key has at most {MOST_TAGS} tags")


def _tags_of(asked: Asked) -> list[dict[str, str]]:
    """Those of a key that is there."""
    key = find_key(asked.backend(), asked.request.get("KeyId", ""))
    return [] if key is None else list(asked.backend().list_resource_tags(key.id).get("Tags", []))


def _keeps_a_door_open(statement: dict[str, Any], account: str) -> bool:
    principal = statement.get("Principal", {})
    names = ["*"] if principal == "*" else policies.listed(principal.get("AWS"))
    allowed = statement.get("Effect") == "Allow" and policies.concerns(statement, "kms:PutKeyPolicy", "*")
    return allowed and any(name == "*" or account in name for name in names)


def usable(backend: Any, key_id: str) -> AwsError | None:
    """Why S3 can't encrypt with this key (S3's codes), or None. Recorded from AWS's answers."""
    key = find_key(backend, key_id)
    name = key_id.rpartition("/")[2]
    if key is None and not key_id.startswith("alias/") and ":alias/" not in key_id and not _UUID.fullmatch(name):
        return AwsError("KMS.NotFoundException", f"Invalid keyId '{key_id}'")
    if key is None:
        arn = key_id if key_id.startswith("arn:") else _arn(backend, key_id)
        return AwsError("KMS.NotFoundException", f"Key '{arn}' does not exist")
    if key.key_state == "PendingDeletion":
        return AwsError("KMS.KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if key.key_state == "Disabled":
        return AwsError("KMS.DisabledException", f"{key.arn} is disabled.")
    return None


def _arn(backend: Any, key_id: str) -> str:
    kind = "" if key_id.startswith("alias/") else "key/"
    return f"arn:{backend.partition}:kms:{backend.region_name}:{backend.account_id}:{kind}{key_id}"
