"""Glue's kinds, and what they share: ARNs, which no answer has, and tags by them."""

from __future__ import annotations

from mlplat.aws import Session
from mlplat.resources.base import Observed


def arn_of(aws: Session, kind: str, name: str) -> str:
    """The ARN of a `database`, `job`, `trigger` or `crawler`."""
    return f"arn:{aws.partition}:glue:{aws.region}:{aws.account}:{kind}/{name}"


def tags_of(aws: Session, arn: str) -> dict[str, str]:
    """All tags of an object."""
    return dict(aws.find(lambda: aws.client("glue").get_tags(ResourceArn=arn)["Tags"]) or {})


def claim(aws: Session, seen: Observed) -> None:
    """Set the tags of the address on an object that exists, and take off what is outdated; other tags stay."""
    glue, arn = aws.client("glue"), seen.outputs["arn"]
    glue.tag_resource(ResourceArn=arn, TagsToAdd=aws.tags)
    if outdated := list(aws.outdated(seen.tags)):
        glue.untag_resource(ResourceArn=arn, TagsToRemove=outdated)
