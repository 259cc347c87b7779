"""SageMaker's own words for what it refuses. Codes and texts as recorded from AWS, not moto's."""

from __future__ import annotations

from mlplat.localcloud.errors import AwsError as AwsError
from mlplat.localcloud.errors import NotMine as NotMine


def invalid(message: str) -> AwsError:
    """ValidationException: SageMaker's answer to most mistakes, absent models and endpoints among them."""
    return AwsError("ValidationException", message)


def in_use(message: str) -> AwsError:
    """ResourceInUse: jobs and feature groups that exist already, or are busy."""
    return AwsError("ResourceInUse", message)


def not_found(message: str) -> AwsError:
    """ResourceNotFound: feature groups, tuning jobs, pipelines and schedules that aren't there."""
    return AwsError("ResourceNotFound", message)


def conflict(message: str) -> AwsError:
    """ConflictException: a model package group that still holds packages."""
    return AwsError("ConflictException", message)


def limit_exceeded(message: str) -> AwsError:
    """ResourceLimitExceeded: a quota of the account."""
    return AwsError("ResourceLimitExceeded", message)
