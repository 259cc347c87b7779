"""SageMaker's kinds, and what they share: tags by ARN, and waiting until an object has settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mlplat.aws import Session, tag_list, tag_map
from mlplat.resources.base import Observed

Description = Mapping[str, Any]
"""What a describe call answers."""

SHOWS_WITHIN = 120.0
"""Seconds in which a read may not know yet what a create has answered for."""


def tags_of(aws: Session, arn: str) -> dict[str, str]:
    """All tags of an object. SageMaker's describe calls leave them out."""
    return tag_map(list(aws.client("sagemaker").pages("list_tags", "Tags", ResourceArn=arn)))


def claim(aws: Session, seen: Observed) -> None:
    """Set the tags of the address on an object that exists, and take off what is outdated; other tags stay."""
    sagemaker, arn = aws.client("sagemaker"), seen.outputs["arn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=tag_list(aws.tags))
    if outdated := list(aws.outdated(seen.tags)):
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=outdated)


def settled(
    aws: Session,
    what: str,
    read: Callable[[], Description],
    moving: Callable[[Description], Collection[str]],
    *,
    within: float,
    every: float = 5.0,
    made: bool = False,
) -> Description | None:
    """What `read` answers once no status in it is on its way (`moving` names those), or None when it is gone.

    One that was `made` a moment ago may not show yet: that it isn't there is believed after two minutes.
    """
    shown_by = time.monotonic() + (SHOWS_WITHIN if made else 0.0)

    def look() -> Description | None:
        answer = aws.find(read)
        for status in moving(answer) if answer is not None else ():
            aws.report(status)
        return answer

    def is_settled(answer: Description | None) -> bool:
        return time.monotonic() >= shown_by if answer is None else not moving(answer)

    return aws.wait(what, look, is_settled, within=within, every=every)
