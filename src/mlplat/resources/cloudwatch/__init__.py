"""Kinds of Amazon CloudWatch, and what they share: tags by ARN."""

from __future__ import annotations

from mlplat.aws import Session, tag_list, tag_map


def tags_of(aws: Session, arn: str) -> dict[str, str]:
    """All tags of an alarm or a dashboard: describing them leaves the tags out."""
    return tag_map(aws.find(lambda: aws.client("cloudwatch").list_tags_for_resource(ResourceARN=arn)["Tags"]))


def claim(aws: Session, arn: str) -> None:
    """Set the ownership tags on one that exists; the calls that write them ignore tags then."""
    aws.client("cloudwatch").tag_resource(ResourceARN=arn, Tags=tag_list(aws.tags))
