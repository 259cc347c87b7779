"""Where a namespace lives, and the names that follow from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """One namespace in one account and region; `zones` are availability zone names (`us-east-1a`)."""

    namespace: str
    account: str
    region: str
    partition: str
    zones: tuple[str, ...]

    def name(self, *parts: str, limit: int = 63) -> str:
        """`mlplat-<namespace>-<parts>`, shortened with a hash where AWS's limit asks for it."""
        return fitted("-".join(("mlplat", self.namespace, *parts)), limit)

    def global_name(self, *parts: str, limit: int = 63) -> str:
        """The same with account and region, for names that all of AWS shares (buckets)."""
        return fitted("-".join(("mlplat", self.namespace, *parts, self.account, self.region)), limit)

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def bucket_arn(self, bucket: str) -> str:
        """The ARN of a bucket: S3's carry neither region nor account."""
        return f"arn:{self.partition}:s3:::{bucket}"


def fitted(name: str, limit: int) -> str:
    """The name with `-` for `_` and `.`, within `limit` characters; a cut one ends in a hash of the whole.

    SageMaker allows `[a-zA-Z0-9-]` only, and a name cut without a hash could meet another one.
    """
    plain = name.replace("_", "-").replace(".", "-")
    if len(plain) <= limit:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{plain[: limit - 9].rstrip('-')}-{digest}"
