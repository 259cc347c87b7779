"""Tags of SageMaker's objects by ARN. Whoever makes an object registers it in `cloud.tags`; other ARNs are moto's."""

from __future__ import annotations

import re
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import NotMine
from mlplat.localcloud.sagemaker.errors import AwsError, invalid

OURS = frozenset(
    {
        "model", "endpoint-config", "endpoint", "feature-group", "model-package-group", "model-package",
        "training-job", "hyper-parameter-tuning-job", "processing-job", "transform-job", "notebook-instance",
        "pipeline",
    }
)  # fmt: skip
"""Types of objects that only we keep: such an ARN that isn't registered isn't there."""

MOST = 50
"""Tags an object can have."""


class Tags:
    """AddTags, ListTags, DeleteTags."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        """Add or overwrite tags; the answer holds them all."""
        with self._cloud.lock:
            tags = self._of(request["ResourceArn"])
            merged = tags | {each["Key"]: each.get("Value", "") for each in request["Tags"]}
            if len(merged) > MOST:
                raise AwsError("ResourceLimitExceeded", f"The number of tags is over the limit of {MOST}.")
            tags.update(merged)
            return {"Tags": _listed(tags)}

    def list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        """All tags: an object can't have more than fit on a page."""
        with self._cloud.lock:
            return {"Tags": _listed(self._of(request["ResourceArn"]))}

    def delete_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove tags; those that aren't there are no error."""
        with self._cloud.lock:
            tags = self._of(request["ResourceArn"])
            for key in request["TagKeys"]:
                tags.pop(key, None)
        return {}

    def _of(self, arn: str) -> dict[str, str]:
        tags = self._cloud.tags.get(arn)
        if tags is not None:
            return tags
        kind = re.sub(r"/.*", "", arn.split(":", 5)[-1])
        if kind in OURS:
            raise invalid(f'Could not find {kind.replace("-", " ")} "{arn}".')  # wording not verified
        raise NotMine


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
