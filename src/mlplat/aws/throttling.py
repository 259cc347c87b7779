"""Which answers mean "not now"."""

from __future__ import annotations

from mlplat.errors import ApiError

THROTTLED = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled",
        "RequestThrottledException", "TooManyRequestsException", "SlowDown", "PriorRequestNotComplete",
        "BandwidthLimitExceeded", "ProvisionedThroughputExceededException", "EC2ThrottledException",
    }
)  # fmt: skip
"""Codes that say "not now": the call did nothing and may be repeated. Mostly HTTP 400."""


def is_throttled(error: BaseException) -> bool:
    """Whether AWS did nothing because it was asked too often."""
    return isinstance(error, ApiError) and error.code in THROTTLED
