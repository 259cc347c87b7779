"""Objects of a bucket that belong to the platform itself: the scripts of its jobs."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from mlplat.aws import Session, tag_list, tag_map
from mlplat.resources.base import Observed, Resource
from mlplat.resources.s3 import all_of


@dataclass(frozen=True, kw_only=True)
class BucketObject(Resource):
    """A text under a key of one of the platform's buckets, known by its SHA-256.

    What AWS makes special, by the S3 user guide, "Checking object integrity" and "Categorizing your storage":

    - S3 checks a SHA-256 that comes with the upload, keeps it, and tells it when asked (ChecksumMode).
    - The tagging API lists no objects: one that neither the configuration nor the state names is found no more, and
      goes with its bucket.
    - PutObjectTagging replaces all tags.
    - In a bucket with versions a delete only hides: every version is deleted, so that nothing is left of it.
    """

    kind: ClassVar[str] = "bucket_object"
    immutable: ClassVar[frozenset[str]] = frozenset({"name", "bucket"})
    create_only: ClassVar[frozenset[str]] = frozenset({"content"})

    bucket: str
    """By its name, never a Ref: an object has no tags to be found by when the state is lost."""
    content: str
    content_type: str = "text/x-python"

    def desired(self) -> dict[str, Any]:
        """The fields, with a digest for the content."""
        return {**super().desired(), "sha256": _sha256(self.content)}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The object by its bucket and key."""
        place = id or f"{self.bucket}/{self.name}"
        bucket, _, key = place.partition("/")
        s3 = aws.client("s3")
        head = aws.find(lambda: s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED"))
        if head is None:
            return None
        tags = aws.find(lambda: s3.get_object_tagging(Bucket=bucket, Key=key))
        fields = {"name": key, "bucket": bucket, "content_type": head.get("ContentType", "")}
        return Observed(
            id=place,
            fields={**fields, "sha256": head.get("ChecksumSHA256", "")},
            outputs={"uri": f"s3://{bucket}/{key}"},
            tags=tag_map((tags or {}).get("TagSet", ())),
        )

    def create(self, aws: Session) -> str:
        """PutObject with tags and checksum."""
        self._put(aws, aws.tags)
        return f"{self.bucket}/{self.name}"

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The whole object again; for tags alone, only those."""
        tags = all_of(aws, seen)
        if changed == {"tags"}:
            aws.client("s3").put_object_tagging(Bucket=self.bucket, Key=self.name, Tagging={"TagSet": tag_list(tags)})
        else:
            self._put(aws, tags)

    def delete(self, aws: Session, id: str) -> None:
        """Delete every version of it."""
        bucket, _, key = id.partition("/")
        s3 = aws.client("s3")
        with aws.gone_is_fine():
            page = s3.list_object_versions(Bucket=bucket, Prefix=key)
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if each["Key"] == key:
                    s3.delete_object(Bucket=bucket, Key=key, VersionId=each["VersionId"])

    def _put(self, aws: Session, tags: dict[str, str]) -> None:
        aws.client("s3").put_object(
            Bucket=self.bucket,
            Key=self.name,
            Body=self.content.encode(),
            ContentType=self.content_type,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=_sha256(self.content),
            Tagging=urlencode(tags),
        )


def _sha256(content: str) -> str:
    """As S3 writes it."""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
