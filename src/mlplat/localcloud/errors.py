"""The error that an operation of the local cloud answers with."""

from __future__ import annotations

from typing import Any


class AwsError(Exception):
    """What AWS would answer: `code`, `message`, the HTTP `status`, and further `members` of the error's shape.

    `AwsError("ModelError", "...", 424, OriginalStatusCode=500)`; the members' names are the model's.
    """

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.members = code, message, status, members
        for name, value in members.items():
            setattr(self, name, value)  # the serializer of moto reads the members of the shape from the exception


class NotMine(Exception):
    """Raised by a family's operation when the object isn't its own: moto answers instead."""
