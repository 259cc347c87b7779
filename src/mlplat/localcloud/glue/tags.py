"""Tags of jobs, crawlers and triggers; those of other objects are moto's."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import NotMine


class Tags:
    """TagResource, UntagResource, GetTags."""

    service = "glue"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def get_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        """All of them."""
        with self._cloud.lock:
            return {"Tags": dict(self._of(request["ResourceArn"]))}

    def tag_resource(self, request: dict[str, Any]) -> dict[str, Any]:
        """Add or overwrite."""
        with self._cloud.lock:
            self._of(request["ResourceArn"]).update(request["TagsToAdd"])
        return {}

    def untag_resource(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove; those that aren't there are no error."""
        with self._cloud.lock:
            tags = self._of(request["ResourceArn"])
            for key in request["TagsToRemove"]:
                tags.pop(key, None)
        return {}

    def _of(self, arn: str) -> dict[str, str]:
        if arn not in self._cloud.tags:
            raise NotMine
        return self._cloud.tags[arn]


def tag(cloud: Cloud, arn: str, tags: dict[str, str] | None) -> None:
    """Register an object with tags as Glue's requests have them."""
    cloud.tags[arn] = dict(tags or {})


def are_on(cloud: Cloud, arn: str, wanted: dict[str, str] | None) -> bool:
    """Whether an object has all of these tags, as the List operations filter."""
    return (wanted or {}).items() <= cloud.tags.get(arn, {}).items()
