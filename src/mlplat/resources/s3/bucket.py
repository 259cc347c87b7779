"""S3 buckets with everything that hangs on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from mlplat.aws import Session, tag_list, tag_map
from mlplat.errors import ApiError, ForeignObject
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.policy import Document, canonical
from mlplat.resources.s3 import OWN, all_of, contents, delete_contents

BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)

FORBIDDEN = frozenset({"403", "Forbidden", "AccessDenied"})


@dataclass(frozen=True, kw_only=True)
class Bucket(Resource):
    """A bucket, its encryption, versions, access and lifecycle.

    What AWS makes special, by the S3 user guide, API reference and terraform-provider-aws `internal/service/s3`:

    - us-east-1 takes no LocationConstraint, every other region needs one.
    - CreateBucket with tags answers BucketAlreadyOwnedByYou for a bucket of this account; BucketAlreadyExists means
      that the name belongs to another account, because all of AWS shares the names.
    - For up to an hour after a delete the name answers OperationAborted; so do parts written at the same time
      (#7628), which is why they go one after another.
    - PutBucketLifecycleConfiguration and PutBucketTagging replace all that was there. A rule whose Filter is empty
      reads back as the prefix "".
    - HeadBucket has no words: 404 is absent, 403 another account's.
    - A versioned bucket is empty only without versions, delete markers and unfinished uploads.
    """

    kind: ClassVar[str] = "bucket"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})
    keeps_data: ClassVar[bool] = True

    public_access_block: Mapping[str, bool] = field(default_factory=lambda: dict(BLOCKED))
    ownership: str = "BucketOwnerEnforced"
    kms_key: str | Ref | None = None
    """The ARN of the key that encrypts by default, with an S3 bucket key; None leaves S3's own (SSE-S3)."""
    versioning: bool = True
    policy: Document | None = None
    lifecycle: Sequence[Mapping[str, Any]] | None = None
    """Rules in AWS's shape, each with an ID and a Filter; an empty list means none."""

    def desired(self) -> dict[str, Any]:
        """The fields, with policy and rules in the form that `describe` gives them."""
        plain = super().desired()
        if self.policy is not None:
            plain["policy"] = canonical(self.policy)
        if self.lifecycle is not None:
            plain["lifecycle"] = _ordered(self.lifecycle)
        return plain

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The bucket by its name, which is its id; only the declared parts are read."""
        if id not in (None, self.name):
            return replace(self, name=id).describe(aws)  # the object of a former name
        if not self._exists(aws):
            return None
        declared = {name: part for name, part in PARTS.items() if getattr(self, name) is not None}
        with ThreadPoolExecutor(max_workers=len(PARTS) + 1) as pool:  # S3 has no call that tells it all
            tags = pool.submit(self._read, aws, TAGS)
            values = pool.map(lambda part: self._read(aws, part), declared.values())
        return Observed(
            id=self.name,
            fields={"name": self.name, **dict(zip(declared, values, strict=True))},
            outputs={"name": self.name, "arn": f"arn:{aws.partition}:s3:::{self.name}", "uri": f"s3://{self.name}"},
            tags=tags.result(),
        )

    def create(self, aws: Session) -> str:
        """CreateBucket with tags, then each part; a half-made one is completed by `update`."""
        configuration: dict[str, Any] = {"Tags": tag_list(aws.tags)}
        if aws.region != "us-east-1":
            configuration["LocationConstraint"] = aws.region
        request = {"Bucket": self.name, "ObjectOwnership": self.ownership, "CreateBucketConfiguration": configuration}
        try:
            aws.client("s3").create_bucket(**request)
        except ApiError as error:
            if error.code == "BucketAlreadyExists":
                raise self._foreign("creating") from error
            if error.code != "BucketAlreadyOwnedByYou" or not aws.ownership.items() <= self._read(aws, TAGS).items():
                raise
        self._write(aws, frozenset(self.desired()) - {"ownership"})
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Write the changed parts one after another; tags of others stay."""
        if "tags" in changed:
            self._put(aws, TAGS, all_of(aws, seen))
        self._write(aws, changed)

    def delete(self, aws: Session, id: str) -> None:
        """DeleteBucket; S3 refuses one that holds anything but what is mlplat's own."""
        with aws.gone_is_fine():
            self._delete(aws, id)
        aws.wait(f"the end of bucket {id}", lambda: self._exists(aws), lambda there: not there, within=120)

    def data(self, aws: Session, id: str) -> str | None:
        """What is in it, counted up to a thousand."""
        return contents(aws, id)

    def empty(self, aws: Session, id: str) -> None:
        """Delete every version, delete marker and unfinished upload."""
        delete_contents(aws, id)

    def _delete(self, aws: Session, id: str) -> None:
        try:
            aws.client("s3").delete_bucket(Bucket=id)
        except ApiError as error:
            if error.code != "BucketNotEmpty":
                raise
            delete_contents(aws, id, OWN)
            aws.client("s3").delete_bucket(Bucket=id)

    def _exists(self, aws: Session) -> bool:
        try:
            return aws.find(lambda: aws.client("s3").head_bucket(Bucket=self.name)) is not None
        except ApiError as error:
            if error.code in FORBIDDEN:
                raise self._foreign("reading") from error
            raise

    def _read(self, aws: Session, part: Part) -> Any:
        get = getattr(aws.client("s3"), f"get_{part.call}")
        return part.value(aws.find(lambda: get(Bucket=self.name)) or {})

    def _write(self, aws: Session, changed: frozenset[str]) -> None:
        for name, part in PARTS.items():
            if name == "lifecycle" and name in changed and not self.lifecycle:
                aws.patiently(lambda: aws.client("s3").delete_bucket_lifecycle(Bucket=self.name))
            elif name in changed:
                self._put(aws, part, getattr(self, name))

    def _put(self, aws: Session, part: Part, value: Any) -> None:
        put = getattr(aws.client("s3"), f"put_{part.call}")
        aws.patiently(lambda: put(Bucket=self.name, **part.params(value)))

    def _foreign(self, doing: str) -> ForeignObject:
        return ForeignObject(
            f"{doing} bucket {self.name}: the name belongs to another account, or these credentials may not see it",
            hint=f"aws s3api head-bucket --bucket {self.name}",
        )


class Part(NamedTuple):
    """What hangs on a bucket and has calls of its own: `get_<call>` and `put_<call>`."""

    call: str
    value: Callable[[dict[str, Any]], Any]
    """The field's value from S3's answer, which is {} when there is nothing."""
    params: Callable[[Any], dict[str, Any]]
    """What to send for a value."""


def _ordered(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rules by ID and transitions by day, as S3 may give both in any order."""
    plain = [{**rule, "Filter": rule.get("Filter") or {"Prefix": ""}} for rule in rules]
    for rule in plain:
        for key, day in (("Transitions", "Days"), ("NoncurrentVersionTransitions", "NoncurrentDays")):
            if key in rule:
                rule[key] = sorted(rule[key], key=lambda step, day=day: int(step.get(day, 0)))  # type: ignore[misc]
    return sorted(plain, key=lambda rule: str(rule["ID"]))


def _key(answer: dict[str, Any]) -> str | None:
    """The default key, as far as it is used with a bucket key."""
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    with_bucket_key = [each["ApplyServerSideEncryptionByDefault"] for each in rules if each.get("BucketKeyEnabled")]
    return with_bucket_key[0].get("KMSMasterKeyID") if with_bucket_key else None


def _encryption(key: str) -> dict[str, Any]:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


def _flags(answer: dict[str, Any]) -> dict[str, bool]:
    found = answer.get("PublicAccessBlockConfiguration", {})
    return {flag: bool(found.get(flag)) for flag in BLOCKED}


def _ownership(answer: dict[str, Any]) -> str | None:
    rules = answer.get("OwnershipControls", {}).get("Rules", ())
    return rules[0]["ObjectOwnership"] if rules else None


PARTS: dict[str, Part] = {
    "public_access_block": Part(
        "public_access_block", _flags, lambda flags: {"PublicAccessBlockConfiguration": dict(flags)}
    ),
    "ownership": Part(
        "bucket_ownership_controls",
        _ownership,
        lambda ownership: {"OwnershipControls": {"Rules": [{"ObjectOwnership": ownership}]}},
    ),
    "kms_key": Part("bucket_encryption", _key, _encryption),
    "versioning": Part(
        "bucket_versioning",
        lambda answer: answer.get("Status") == "Enabled",
        lambda on: {"VersioningConfiguration": {"Status": "Enabled" if on else "Suspended"}},
    ),
    "policy": Part(
        "bucket_policy",
        lambda answer: canonical(json.loads(answer["Policy"])) if answer else None,
        lambda policy: {"Policy": json.dumps(policy)},
    ),
    "lifecycle": Part(
        "bucket_lifecycle_configuration",
        lambda answer: _ordered(answer.get("Rules", ())),
        lambda rules: {"LifecycleConfiguration": {"Rules": _ordered(rules)}},
    ),
}
"""By field, in the order in which they are written."""

TAGS = Part(
    "bucket_tagging", lambda answer: tag_map(answer.get("TagSet")), lambda tags: {"Tagging": {"TagSet": tag_list(tags)}}
)
