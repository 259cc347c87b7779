"""Kinds of Amazon CloudWatch, and what they share: tags by ARN."""

from __future__ import annotations

from mlplat.aws import Session, tag_list, tag_map
from mlplat.resources.base import Observed


def tags_of(aws: Session, arn: str) -> dict[str, str]:
    """All tags of an alarm or a dashboard: describing them leaves the tags out."""
    return tag_map(aws.find(lambda: aws.client("cloudwatch").list_tags_for_resource(ResourceARN=arn)["Tags"]))


def claim(aws: Session, seen: Observed) -> None:
    """Set the tags on one that exists, and take off what is outdated; the calls that write it ignore tags then."""
    cloudwatch, arn = aws.client("cloudwatch"), seen.outputs["arn"]
    cloudwatch.tag_resource(ResourceARN=arn, Tags=tag_list(aws.tags))
    if outdated := list(aws.outdated(seen.tags)):
        cloudwatch.untag_resource(ResourceARN=arn, TagKeys=outdated)
