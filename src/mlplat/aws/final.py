"""Refusals that no waiting helps against: quotas and permissions, each with the command that says more."""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

from mlplat.errors import ApiError, PermissionDenied, QuotaExceeded

NO_PERMISSION = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AccessForbidden", "UnauthorizedOperation", "UnauthorizedAccess",
        "NotAuthorized", "AuthorizationError", "AuthorizationErrorException",
    }
)  # fmt: skip
"""AccessForbidden is how the feature store's runtime says it, AuthorizationError how SNS does."""


class Quota(NamedTuple):
    """How a service says that there may be no more of something."""

    service: str
    codes: str
    """A pattern of the whole code."""
    owner: str
    """The service whose quotas they are, as Service Quotas names it."""
    region: str | None = None
    """Where its quotas are kept, when that is not where the call went."""


QUOTAS = (
    Quota("sagemaker", "ResourceLimitExceeded", "sagemaker"),
    Quota("ec2", "AddressLimitExceeded", "ec2"),
    Quota("ec2", r"(?!Request|Bandwidth|Address)\w+LimitExceeded", "vpc"),
    Quota("s3", "TooManyBuckets", "s3"),
    Quota("iam", "LimitExceeded", "iam", "us-east-1"),
    Quota("kms", "LimitExceededException", "kms"),
    Quota("glue", "ResourceNumberLimitExceededException", "glue"),
    Quota("logs", "LimitExceededException|ServiceQuotaExceededException", "logs"),
    Quota("cloudwatch", "LimitExceeded|LimitExceededFault|LimitExceededException", "monitoring"),
    Quota("events", "LimitExceededException", "events"),
    Quota("scheduler", "ServiceQuotaExceededException", "scheduler"),
    Quota("lambda", "CodeStorageExceededException|ServiceQuotaExceededException|AliasLimitExceededException", "lambda"),
    Quota("application-autoscaling", "LimitExceededException", "application-autoscaling"),
    Quota("apigateway", "LimitExceededException", "apigateway"),
    Quota("sns", r"(Topic|Subscription|FilterPolicy)LimitExceeded(Exception)?", "sns"),
)
"""From botocore's models; those of EC2 from its API reference, "Error codes". What is throttling is asked first."""

_SAGEMAKER_QUOTA = re.compile(r"service limit '(?P<name>[\w./ -]+)'")
_ENCODED = re.compile(r"\s*Encoded authorization failure message: (?P<encoded>\S+)")
_DENIED = re.compile(
    r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on resource: (?P<resource>\S+))?"
)


def final(about: dict[str, Any], region: str | None = None) -> ApiError | None:
    """The error of a refusal that is final: QuotaExceeded, PermissionDenied, or None when it is neither."""
    service, code, reason = about["service"], about["code"], about["reason"]
    for quota in QUOTAS:
        if quota.service == service and re.fullmatch(quota.codes, code):
            return QuotaExceeded(**about, hint=_quota_hint(quota, reason, region))
    if code in NO_PERMISSION:
        shown = {**about, "reason": _ENCODED.sub("", reason)}
        return PermissionDenied(**shown, hint=_permission_hint(service, reason))
    return None


def _quota_hint(quota: Quota, reason: str, region: str | None) -> str:
    command = f"aws service-quotas list-service-quotas --service-code {quota.owner}"
    where = quota.region or region
    named = _SAGEMAKER_QUOTA.search(reason)
    query = f" --query \"Quotas[?QuotaName=='{named['name']}']\"" if named else ""
    return command + (f" --region {where}" if where else "") + query


def _permission_hint(service: str, reason: str) -> str:
    if service == "glue" and "Lake Formation" in reason:  # its grants stand beside IAM's, and refuse in Glue's name
        kind = "DATABASE" if re.search(r"\bon (?!Catalog\b)", reason, re.IGNORECASE) else "CATALOG"
        return f"aws lakeformation list-permissions --resource-type {kind}"
    if encoded := _ENCODED.search(reason):
        told = f"--encoded-message {encoded['encoded']} --query DecodedMessage --output text"
        return f"aws sts decode-authorization-message {told}"
    denied = _DENIED.search(reason)
    source = _policy_source(denied["who"]) if denied else None
    if denied is None or source is None:
        return "aws sts get-caller-identity"
    on = f" --resource-arns {shlex.quote(denied['resource'].rstrip('.,'))}" if denied["resource"] else ""
    return f"aws iam simulate-principal-policy --policy-source-arn {source} --action-names {denied['action']}{on}"


def _policy_source(who: str | None) -> str | None:
    """Whose policies decide: a user, or the role behind a session, whose ARN holds a path that STS leaves out."""
    parts = (who or "").split(":", 5)
    kind, _, name = parts[-1].partition("/")
    if kind == "user":
        return who
    if kind == "assumed-role":
        return f'"$(aws iam get-role --role-name {name.split("/")[0]} --query Role.Arn --output text)"'
    return None
