"""Trust policies: whether a role lets a service in, and what IAM refuses when one is written."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from mlplat.localcloud import policies
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before


def lets_in(cloud: Cloud, role: str, service: str, source: str) -> bool:
    """Whether a role of this name or ARN exists and its policy lets the service assume it for `source`, an ARN.

    The service tells the account and the ARN of what it works for (IAM user guide, "The confused deputy problem").
    """
    from moto.iam.models import iam_backends

    backend = iam_backends[cloud.account][cloud.partition]
    found = next((each for each in list(backend.roles.values()) if role in (each.name, each.arn)), None)
    if found is None or cloud.host.freshness.hides(f"assuming {found.arn}"):
        return False
    document = json.loads(unquote(found.assume_role_policy_document))
    context = {"aws:sourceaccount": [cloud.account], "aws:sourcearn": [source]}
    return policies.lets_in(document, service, "sts:AssumeRole", "*", context)


@before("iam", "CreateRole", "UpdateAssumeRolePolicy")
def a_trust_policy_is_one(asked: Asked) -> None:
    """User guide, "IAM JSON policy elements: Principal"; texts as AWS's providers quote them."""
    try:
        document = json.loads(asked.request.get("AssumeRolePolicyDocument") or asked.request["PolicyDocument"])
    except ValueError:
        raise _malformed("This policy contains invalid Json") from None
    statements = policies.listed(document.get("Statement")) if isinstance(document, dict) else []
    if not statements or not all(isinstance(each, dict) for each in statements):
        raise _malformed("Syntax errors in policy.")
    for statement in statements:
        if {"Resource", "NotResource"} & statement.keys():
            raise _malformed("Has prohibited field Resource")
        for arn in _principals(statement):
            if not exists(asked, arn):
                raise _malformed(f'Invalid principal in policy: "AWS":"{arn}"')


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", message)


def _principals(statement: dict[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    return policies.listed(principal.get("AWS")) if isinstance(principal, dict) else []


def exists(asked: Asked, arn: str) -> bool:
    """Roles and users of this account must be there; other accounts are taken at their word."""
    kind = arn.rpartition(":")[2].partition("/")[0]
    if f":iam::{asked.cloud.account}:" not in arn or kind not in ("role", "user"):
        return True
    backend = asked.backend("iam")
    known = backend.roles if kind == "role" else backend.users
    return any(each.arn == arn for each in known.values())
