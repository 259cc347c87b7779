"""Calling no faster than AWS allows: what all threads share when a service throttles, and limits known beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mlplat.errors import ApiError

THROTTLED = frozenset(
    {
        "Throttling", "ThrottlingException", "Throttled", "ThrottledException", "RequestLimitExceeded",
        "RequestThrottled", "RequestThrottledException", "TooManyRequestsException", "SlowDown",
        "PriorRequestNotComplete", "BandwidthLimitExceeded", "ProvisionedThroughputExceededException",
        "EC2ThrottledException", "KMSThrottling", "KMSThrottlingException",
    }
)  # fmt: skip
"""Codes that say "not now": the call did nothing and may be repeated. Mostly HTTP 400."""

RATE_LIMIT = {"apigateway": "LimitExceededException"}
"""What is a quota elsewhere and throttling here: "The request exceeded the rate limit" (botocore's model, HTTP 429)."""


def throttles(service: str, code: str, reason: str) -> bool:
    """Whether an answer says that the call was one too many just now, and did nothing."""
    if code in THROTTLED or reason.startswith("Rate exceeded"):
        return True
    return RATE_LIMIT.get(service) == code and "Maximum number" not in reason


def is_throttled(error: BaseException) -> bool:
    """Whether AWS did nothing because it was asked too often."""
    return isinstance(error, ApiError) and throttles(error.service, error.code, error.reason)


class Bucket:
    """A token bucket that gives out turns: one in `seconds`, `burst` of them at once. Many threads may ask."""

    def __init__(self, seconds: float, burst: int = 1) -> None:
        self._seconds, self._burst = seconds, burst
        self._full = float("-inf")  # when all tokens would be there again
        self._lock = threading.Lock()

    def turn(self, now: float) -> float:
        """Take the next turn: the seconds to wait for it."""
        with self._lock:
            starts = max(now, self._full - self._seconds * (self._burst - 1))
            self._full = max(self._full, starts) + self._seconds
            return starts - now


class Budget:
    """How fast one service may be called, shared by all threads: they slow down together, and recover together.

    Nothing is held back until the service throttles. Each time it does, the gap between any two calls grows by 30 %;
    each success takes 5 % of it away. Calls that were under way when it was widened don't widen it again. So one call
    refused in ten by chance closes it faster than it opens, and 32 threads in front of a slow service have a tenth to
    a third of the refusals that they would have each by itself (`tests/aws/test_throttling.py`).
    """

    FIRST, MOST, ROUND_TRIP = 0.05, 2.0, 0.5
    WIDER, CLOSER = 1.3, 0.95

    def __init__(self) -> None:
        self._gap = 0.0
        self._next = self._widened = float("-inf")
        self._lock = threading.Lock()

    @property
    def gap(self) -> float:
        """Seconds from one call to the next."""
        return self._gap

    def turn(self, now: float) -> float:
        """Take the next turn: the seconds to wait for it."""
        with self._lock:
            starts = max(now, self._next) if self._gap else now
            self._next = starts + self._gap
            return starts - now

    def throttled(self, now: float) -> None:
        """The service said that this is too fast."""
        with self._lock:
            if now - self._widened >= max(self._gap, self.ROUND_TRIP):
                self._gap = min(max(self.WIDER * self._gap, self.FIRST), self.MOST)
                self._widened = now

    def succeeded(self) -> None:
        """A call went through."""
        if self._gap:
            with self._lock:
                self._gap = self.CLOSER * self._gap if self._gap > self.FIRST / 10 else 0.0


def _always(_params: Mapping[str, Any]) -> bool:
    return True


def _edge_optimized(params: Mapping[str, Any]) -> bool:
    return "EDGE" in (params.get("endpointConfiguration") or {}).get("types", ["EDGE"])


class Limit(NamedTuple):
    """How often AWS takes a call, per account and region. Only what it documents and doesn't raise on request."""

    service: str
    operations: tuple[str, ...]
    """By boto3's method names; empty: all of the service, together."""
    seconds: float
    """From one call to the next, when it goes on for long."""
    burst: int = 1
    when: Callable[[Mapping[str, Any]], bool] = _always


LIMITS = (
    Limit("apigateway", ("create_api_key",), 1 / 5),
    Limit("apigateway", ("create_deployment",), 5.0),
    Limit("apigateway", ("create_documentation_version",), 20.0),
    Limit("apigateway", ("create_domain_name",), 30.0),
    Limit("apigateway", ("create_resource",), 1 / 5),
    Limit("apigateway", ("create_rest_api",), 30.0, when=_edge_optimized),
    Limit("apigateway", ("create_rest_api",), 3.0, when=lambda params: not _edge_optimized(params)),
    Limit("apigateway", ("delete_api_key",), 1 / 5),
    Limit("apigateway", ("delete_domain_name",), 30.0),
    Limit("apigateway", ("delete_resource",), 1 / 5),
    Limit("apigateway", ("delete_rest_api",), 30.0),
    Limit("apigateway", ("get_resources",), 2 / 5),
    Limit("apigateway", ("import_documentation_parts",), 30.0),
    Limit("apigateway", ("import_rest_api",), 30.0),  # 3 s for a regional one: what it is stands in its body
    Limit("apigateway", ("put_rest_api",), 1.0),
    Limit("apigateway", ("update_account",), 20.0),
    Limit("apigateway", ("update_domain_name",), 30.0),
    Limit("apigateway", ("update_usage_plan",), 20.0),
    Limit("apigateway", (), 1 / 10, 40),
)
"""API Gateway developer guide, "Amazon API Gateway quotas": creating, deploying and managing an API; none of these can
be raised. The last is "Total operations: 10 requests per second with a burst quota of 40", which counts all of them."""


def limits(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[Limit]:
    """The rows that a call falls under."""
    for row in LIMITS:
        if row.service == service and (operation in row.operations or not row.operations) and row.when(params):
            yield row
