"""The key of a log group, which moto takes only when the group is made."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError

PREFIX = "log-group:"


class LogKeys:
    """AssociateKmsKey and DisassociateKmsKey of CloudWatch Logs, on moto's log groups."""

    service = "logs"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def associate_kms_key(self, request: dict[str, Any]) -> dict[str, Any]:
        """The key must exist and be usable; what was written before stays as it is."""
        group, key = self._group(request), request["kmsKeyId"]
        if not self._is_usable(key):
            arn = self._cloud.arn(f"{PREFIX}{group.name}", "logs")
            text = f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}'"
            raise AwsError("AccessDeniedException", text)
        group.kms_key_id = key
        return {}

    def disassociate_kms_key(self, request: dict[str, Any]) -> dict[str, Any]:
        """From now on the group is encrypted by CloudWatch Logs' own key."""
        self._group(request).kms_key_id = None
        return {}

    def _group(self, request: dict[str, Any]) -> Any:
        from moto.logs.models import logs_backends

        named = request.get("logGroupName") or request.get("resourceIdentifier", "").partition(PREFIX)[2]
        group = logs_backends[self._cloud.account][self._cloud.region].groups.get(named)
        if group is None:
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        return group

    def _is_usable(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            return bool(self._cloud.aws("kms").describe_key(KeyId=key)["KeyMetadata"]["Enabled"])
        except ClientError:
            return False
