"""CloudWatch Logs: retention in the steps that AWS has, and keys for log groups that exist already."""

from __future__ import annotations

import json
from typing import Any

from mlplat.localcloud import kms, policies
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before

RETENTION = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
"""Days, by the API reference of PutRetentionPolicy."""


@before("logs", "PutRetentionPolicy")
def retention_comes_in_steps(asked: Asked) -> None:
    """API reference of PutRetentionPolicy; the wording is not verified."""
    days = asked.request["retentionInDays"]
    if days not in RETENTION:
        allowed = ", ".join(map(str, RETENTION))
        raise AwsError("InvalidParameterException", f"retentionInDays {days} is not one of [{allowed}].")


@before("logs", "CreateLogGroup")
def names_of_aws_are_not_given(asked: Asked) -> None:
    """API reference of CreateLogGroup: a name can't start with aws/ (/aws/ it may)."""
    if asked.request["logGroupName"].lower().startswith("aws/"):
        raise AwsError("InvalidParameterException", "Log groups starting with AWS/ are reserved for AWS.")


@before("logs", "CreateLogGroup")
def its_key_lets_logs_in(asked: Asked) -> None:
    """User guide, "Encrypt log data in CloudWatch Logs using AWS KMS"."""
    if key := asked.request.get("kmsKeyId"):
        check_key(asked.cloud, key, asked.request["logGroupName"])


class LogGroupKeys:
    """AssociateKmsKey and DisassociateKmsKey, which moto doesn't have."""

    service = "logs"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def associate_kms_key(self, request: dict[str, Any]) -> dict[str, Any]:
        """From now on the group's data is encrypted with this key."""
        group = self._group(request)
        check_key(self._cloud, request["kmsKeyId"], group.name)
        group.kms_key_id = request["kmsKeyId"]
        return {}

    def disassociate_kms_key(self, request: dict[str, Any]) -> dict[str, Any]:
        """Back to the service's own encryption."""
        self._group(request).kms_key_id = None
        return {}

    def _group(self, request: dict[str, Any]) -> Any:
        from moto.logs.models import logs_backends

        name = request.get("logGroupName") or request.get("resourceIdentifier", "").rpartition(":log-group:")[2]
        groups = logs_backends[self._cloud.account][self._cloud.region].groups
        if name.removesuffix(":*") not in groups:
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        return groups[name.removesuffix(":*")]


def check_key(cloud: Cloud, key_id: str, group: str) -> None:
    """The key must be there and usable, and its policy must let the service in for this log group."""
    from moto.kms.models import kms_backends

    arn = cloud.arn(f"log-group:{group}", "logs")
    key = kms.find_key(kms_backends[cloud.account][cloud.region], key_id)
    context = {"kms:encryptioncontext:aws:logs:arn": [arn], "aws:sourceaccount": [cloud.account]}
    if key is None or key.key_state != "Enabled" or not _lets_in(key, f"logs.{cloud.region}.amazonaws.com", context):
        raise AwsError(
            "AccessDeniedException",
            f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}'",
        )


def _lets_in(key: Any, service: str, context: policies.Context) -> bool:
    return policies.lets_in(json.loads(key.policy), service, "kms:GenerateDataKey", "*", context)
