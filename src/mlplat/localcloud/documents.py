"""Limits and grammar of the policies that IAM keeps, and of the names of roles.

User guide, "IAM and AWS STS quotas": white space doesn't count. Texts as AWS's users quote them.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from mlplat.localcloud import policies
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before

INLINE = 10_240
"""Characters of all inline policies of a role together."""

TRUST = 2_048
ATTACHED = 10
RESERVED = "aws:"
_SPACE = re.compile(r"\s")
_SID = re.compile(r"[0-9A-Za-z]*")


@before("iam", "PutRolePolicy")
def the_inline_policies_of_a_role_are_short(asked: Asked) -> None:
    """All of them together, the new one in the place of its namesake."""
    name = asked.request["RoleName"]
    role = _role(asked, name)
    if role is None:
        return
    documents = {**role.policies, asked.request["PolicyName"]: asked.request["PolicyDocument"]}
    if sum(map(_length, documents.values())) > INLINE:
        text = f"Maximum policy size of {INLINE} bytes exceeded for role {name}"
        raise AwsError("LimitExceeded", text, 409)


@before("iam", "CreateRole", "UpdateAssumeRolePolicy")
def a_trust_policy_is_short(asked: Asked) -> None:
    """The quota that an account has without asking for more."""
    document = asked.request.get("AssumeRolePolicyDocument") or asked.request.get("PolicyDocument", "")
    if _length(document) > TRUST:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for ACLSizePerRole: {TRUST}", 409)


@before("iam", "AttachRolePolicy")
def a_role_has_ten_managed_policies(asked: Asked) -> None:
    """The quota that an account has without asking for more."""
    role = _role(asked, asked.request["RoleName"])
    if role is not None and len({*role.managed_policies, asked.request["PolicyArn"]}) > ATTACHED:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for PoliciesPerRole: {ATTACHED}", 409)


@before("iam", "CreateRole")
def names_differ_by_more_than_case(asked: Asked) -> None:
    """API reference of CreateRole: "Names are not distinguished by case"."""
    name = asked.request["RoleName"]
    if any(each.name.lower() == name.lower() for each in asked.backend().roles.values()):
        raise AwsError("EntityAlreadyExists", f"Role with name {name} already exists.", 409)


@before("iam", "PutRolePolicy", "PutUserPolicy", "PutGroupPolicy", "CreatePolicy", "CreatePolicyVersion")
def a_policy_of_an_identity_names_nobody(asked: Asked) -> None:
    """User guide, "IAM JSON policy elements": Principal is for resources' policies, Sid is letters and digits."""
    for statement in _statements(asked.request["PolicyDocument"]):
        if {"Principal", "NotPrincipal"} & statement.keys():
            raise _malformed("Policy document should not specify a principal.")
        if isinstance(sid := statement.get("Sid"), str) and not _SID.fullmatch(sid):
            raise _malformed(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
                "[0-9A-Za-z]*"
            )


@before("iam", "CreateRole", "TagRole", "CreatePolicy", "TagPolicy")
def keys_of_aws_are_not_given(asked: Asked) -> None:
    """User guide, "Tags for IAM resources"; the wording is not verified."""
    if any(each["Key"].lower().startswith(RESERVED) for each in asked.request.get("Tags", ())):
        raise AwsError("InvalidInput", f"Tag keys that start with {RESERVED} are reserved for AWS.")


def _role(asked: Asked, name: str) -> Any:
    return next((each for each in asked.backend().roles.values() if each.name == name), None)


def _length(document: str | dict[str, Any]) -> int:
    text = unquote(document) if isinstance(document, str) else json.dumps(document)
    return len(_SPACE.sub("", text))


def _statements(text: str) -> list[dict[str, Any]]:
    """Those that can be read: moto refuses the rest."""
    try:
        document = json.loads(text)
    except ValueError:
        return []
    found = policies.listed(document.get("Statement")) if isinstance(document, dict) else []
    return [each for each in found if isinstance(each, dict)]


def _malformed(text: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", text)
