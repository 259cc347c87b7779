"""What API Gateway itself answers when a request does not get through ("Gateway response types" of its guide)."""

from __future__ import annotations


class Refusal(Exception):
    """Status, message and x-amzn-ErrorType of an answer."""

    def __init__(self, status: int, message: str, kind: str) -> None:
        super().__init__(message)
        self.status, self.message, self.kind = status, message, kind


def misconfigured() -> Refusal:
    """Whatever is wrong with the API itself: the caller isn't told, the execution log is."""
    return Refusal(500, "Internal server error", "InternalServerErrorException")
