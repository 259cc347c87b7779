"""Execution roles as SageMaker sees them when an object is made: the role must exist and let SageMaker assume it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import invalid

SERVICE = "sagemaker.amazonaws.com"


def check_role(cloud: Cloud, arn: str) -> None:
    """Refuse a role that isn't there or doesn't trust SageMaker, in AWS's words. Don't hold the cloud's lock."""
    iam = cloud.aws("iam")
    try:
        role = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except iam.exceptions.NoSuchEntityException:
        role = None
    fresh = cloud.host.freshness.hides(f"assuming {arn}")
    if fresh or role is None or role["Arn"] != arn or not trusts(role["AssumeRolePolicyDocument"]):
        raise invalid(
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal '{SERVICE}' to "
            "assume the role."
        )


def trusts(policy: Mapping[str, Any], service: str = SERVICE) -> bool:
    """Whether a trust policy lets the service assume the role; conditions are taken as fulfilled."""
    found = policy.get("Statement", ())
    statements = found if isinstance(found, list | tuple) else [found]
    matching = {each.get("Effect") for each in statements if _concerns(each, service)}
    return "Allow" in matching and "Deny" not in matching


def _concerns(statement: Mapping[str, Any], service: str) -> bool:
    principal = statement.get("Principal", {})
    services = ["*"] if principal == "*" else _listed(principal.get("Service", ()))
    actions = _listed(statement.get("Action", ()))
    assumes = any(fnmatch.fnmatch("sts:assumerole", action.lower()) for action in actions)
    return assumes and (service in services or "*" in services)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
