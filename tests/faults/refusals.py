"""What AWS answers a call with when it means "later": throttling, and the product's own table of what passes."""

from __future__ import annotations

from botocore import xform_name
from tests.faults.layer import Call

from mlplat.aws.retryable import Passing, rows

Refusal = tuple[str, str, int]
"""Code, message, HTTP status."""

THROTTLING: dict[str, Refusal] = {
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
    "iam": ("Throttling", "Rate exceeded", 400),
    "sts": ("Throttling", "Rate exceeded", 400),
    "kms": ("ThrottlingException", "Rate exceeded", 400),
    "glue": ("ThrottlingException", "Rate exceeded", 400),
    "athena": ("ThrottlingException", "Rate exceeded", 400),
    "cloudwatch": ("Throttling", "Rate exceeded", 400),
    "sns": ("Throttling", "Rate exceeded", 400),
    "eventbridge": ("ThrottlingException", "Rate exceeded", 400),
    "cloudwatch-logs": ("ThrottlingException", "Rate exceeded", 400),
    "sagemaker": ("ThrottlingException", "Rate exceeded", 400),
    "resource-groups-tagging-api": ("ThrottledException", "Rate exceeded", 400),
    "sagemaker-featurestore-runtime": ("ThrottlingException", "Rate exceeded", 400),
}

EVENTS_TO_CLIENTS = {"cloudwatch-logs": "logs", "cloudwatch-events": "events", "eventbridge": "events"}
"""botocore's events name a few services otherwise than its clients."""

ONLY_FRESH = frozenset({"ResourceNotFoundException"})
"""What only an object made by the same run may be refused with: of any other it is the truth."""


def refusals(call: Call, fresh: bool) -> list[Refusal]:
    """Throttling for every call, and the others for calls that change something; some only of what is `fresh`."""
    found = [THROTTLING[call.service]]
    service = EVENTS_TO_CLIENTS.get(call.service, call.service)
    if call.mutates:
        for row in rows(service, xform_name(call.operation), asked=True):
            found += [each for each in _spoken(row) if fresh or each[0] not in ONLY_FRESH]
    return found


def _spoken(row: Passing) -> list[Refusal]:
    return [(code, f"AWS says: {row.words or 'not now'}.", row.status) for code in row.codes]
