"""Whether a step is tried again. Source: developer guide, "Retry Policy for Pipeline Steps"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud.pipelines.definitions import Step

THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})
FAULTS = frozenset({"InternalFailure", "InternalServerError", "ServiceUnavailable", "InternalError"})
BY_ITSELF: Mapping[str, Any] = {"IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 3}
"""For Step.SERVICE_FAULT and Step.THROTTLING, where no policy says otherwise; AWS tells no numbers."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed: the type that policies know it by, and the step's FailureReason."""

    kind: str | None
    reason: str


def of_call(action: str, code: str, message: str) -> Failure:
    """A call that was refused. The wording is recorded from AWS."""
    if code in THROTTLED:
        kind: str | None = "Step.THROTTLING"
    elif code in FAULTS:
        kind = "Step.SERVICE_FAULT"
    else:
        kind = "SageMaker.RESOURCE_LIMIT" if code == "ResourceLimitExceeded" else None
    return Failure(kind, f"ClientError: Failed to invoke {action}. Error Details: {message}")


def of_job(step: Step, reason: str) -> Failure:
    """A job that failed, by its own FailureReason."""
    kind = None
    if reason.startswith("InternalServerError") and step.type != "Tuning":
        kind = "SageMaker.JOB_INTERNAL_ERROR"
    elif reason.startswith("CapacityError"):
        kind = "SageMaker.CAPACITY_ERROR"
    return Failure(kind, f"ClientError: {reason}")


def pause(step: Step, failure: Failure, attempt: int, since: float) -> float | None:
    """Seconds to wait before the next attempt after the `attempt`th, begun `since` seconds ago; None: no more."""
    policy = _policy(step.document.get("RetryPolicies") or (), failure.kind)
    if policy is None or attempt > policy.get("MaxAttempts", attempt):
        return None
    wait = float(policy.get("IntervalSeconds", 1)) * float(policy.get("BackoffRate", 2.0)) ** (attempt - 1)
    return wait if since + wait <= 60 * policy.get("ExpireAfterMin", float("inf")) else None


def _policy(policies: Sequence[Mapping[str, Any]], kind: str | None) -> Mapping[str, Any] | None:
    if kind is None:
        return None
    found = next((each for each in policies if kind in each.get("ExceptionType", ())), None)
    return found or (BY_ITSELF if kind.startswith("Step.") else None)
