"""Glue's own words for what it refuses."""

from __future__ import annotations

from mlplat.localcloud.errors import AwsError


def invalid(message: str) -> AwsError:
    """InvalidInputException."""
    return AwsError("InvalidInputException", message)


def not_found(message: str) -> AwsError:
    """EntityNotFoundException."""
    return AwsError("EntityNotFoundException", message)


def exists(message: str) -> AwsError:
    """AlreadyExistsException."""
    return AwsError("AlreadyExistsException", message)


def mismatch(kind: str, name: str) -> AwsError:
    """The same name with another definition (developer guide, "Troubleshooting blueprint errors": of a trigger)."""
    return AwsError(
        "IdempotentParameterMismatchException",
        f"{kind} with name '{name}' already submitted with different configuration",
    )
