"""SageMaker's kinds, and what they share: tags by ARN, and waiting until an object has settled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from mlplat.aws import Session, tag_list, tag_map

Description = Mapping[str, Any]
"""What a describe call answers."""


def tags_of(aws: Session, arn: str) -> dict[str, str]:
    """All tags of an object. SageMaker's describe calls leave them out."""
    return tag_map(list(aws.client("sagemaker").pages("list_tags", "Tags", ResourceArn=arn)))


def claim(aws: Session, arn: str) -> None:
    """Set the ownership tags of the address on an object that exists; other tags stay."""
    aws.client("sagemaker").add_tags(ResourceArn=arn, Tags=tag_list(aws.tags))


def settled(
    aws: Session,
    what: str,
    read: Callable[[], Description],
    moving: Callable[[Description], Collection[str]],
    *,
    within: float,
    every: float = 5.0,
) -> Description | None:
    """What `read` answers once no status in it is on its way (`moving` names those), or None when it is gone."""

    def look() -> Description | None:
        answer = aws.find(read)
        for status in moving(answer) if answer is not None else ():
            aws.report(status)
        return answer

    return aws.wait(what, look, lambda answer: answer is None or not moving(answer), within=within, every=every)
