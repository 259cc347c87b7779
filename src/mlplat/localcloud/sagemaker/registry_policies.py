"""Resource policies of model package groups: who of other accounts may see a group and its versions.

They are kept, not acted on: the local cloud has one account.
"""

from __future__ import annotations

import json
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import invalid
from mlplat.localcloud.sagemaker.registry import find_group

OWN = "ResourcePolicy"
"""Ours, in a group: its policy as text."""


class ModelPackageGroupPolicies:
    """PutModelPackageGroupPolicy and its siblings."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put_model_package_group_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Give the group a policy, in place of the one that it has."""
        with self._cloud.lock:
            group = find_group(self._cloud, request["ModelPackageGroupName"])
            group[OWN] = _checked(request["ResourcePolicy"], group["ModelPackageGroupArn"])
            return {"ModelPackageGroupArn": group["ModelPackageGroupArn"]}

    def get_model_package_group_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """The policy, as it was given."""
        with self._cloud.lock:
            return {OWN: self._with_policy(request)[OWN]}

    def delete_model_package_group_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take it away."""
        with self._cloud.lock:
            del self._with_policy(request)[OWN]
        return {}

    def _with_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Text as CloudFormation's handler matches it."""
        group = find_group(self._cloud, request["ModelPackageGroupName"])
        if OWN not in group:
            raise invalid(f"Cannot find resource policy for: {group['ModelPackageGroupArn']}")
        return group


def _checked(text: str, arn: str) -> str:
    """A policy that speaks of this group and its versions only; the wording is not verified."""
    try:
        statements = json.loads(text)["Statement"]
        named = [each for one in statements for each in _listed(one["Resource"]) if one["Principal"]]
    except (ValueError, KeyError, TypeError):
        raise invalid("The resource policy is not a valid policy document.") from None
    versions = arn.replace(":model-package-group/", ":model-package/")
    if strange := [each for each in named if each != arn and not each.startswith(f"{versions}/")]:
        raise invalid(f"The resource policy names {strange[0]}, which is not of {arn}.")
    return text


def _listed(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [value]
