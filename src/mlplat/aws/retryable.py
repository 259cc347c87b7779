"""Refusals that pass by themselves: something was made seconds ago, or somebody is busy with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mlplat.errors import ApiError


class Quirk(NamedTuple):
    """A refusal that passes by itself: the code, and a pattern in the message."""

    code: str
    reason: str


FRESH_ROLE = (
    Quirk("ValidationException", r"Could not assume role|execution role ARN is invalid|Invalid S3Uri provided"),
    Quirk("InvalidParameterValueException", r"cannot be assumed"),
    Quirk("InvalidInputException", r"unable to assume provided role"),
    Quirk("InvalidParameterCombination|InvalidParameter|InvalidRequest", r"role|assume"),
)
"""A role made seconds ago isn't known everywhere yet. Source: terraform-provider-aws, internal/service/sagemaker."""

FRESH_PRINCIPAL = (
    Quirk("MalformedPolicyDocument|MalformedPolicyDocumentException|MalformedPolicy", r"[Ii]nvalid principal"),
)
"""A policy that names a role made seconds ago. Source: terraform-provider-aws, internal/service/kms, iam."""

BUSY_BUCKET = (Quirk("OperationAborted", ""),)
"""Sub-resources of one bucket written at once, or a bucket of that name deleted just now."""

IN_USE = (
    Quirk("DependencyViolation|InvalidGroup.InUse|InvalidIPAddress.InUse", ""),
    Quirk("AuthFailure", r"do not have permission"),
)
"""EC2 objects whose dependants (network interfaces of endpoints, NAT gateways) are still going away. ReleaseAddress
says "You do not have permission to access the specified resource."; other AuthFailures are about credentials."""


def matches(error: BaseException, quirks: Sequence[Quirk]) -> bool:
    """Whether AWS refused with one of `quirks`: code and message are matched together."""
    return isinstance(error, ApiError) and any(
        re.fullmatch(q.code, error.code) and re.search(q.reason, error.reason) for q in quirks
    )
