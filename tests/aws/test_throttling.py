"""Throttling: shared by all threads, survived by every run; and the limits that are known beforehand."""

from __future__ import annotations

import heapq
import random
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.aws.clock import Clock

from mlplat.aws import Client, Session
from mlplat.aws.throttling import LIMITS, Bucket, Budget, Limit, limits, throttles
from mlplat.errors import ApiError

THREADS = 32


def throttled(operation: str, code: str = "ThrottlingException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "Rate exceeded"}}, operation)


class Moody:
    """A boto3 client that throttles by `mood`."""

    def __init__(self, mood: Any) -> None:
        self.mood, self.calls, self.refused = mood, 0, 0

    def __getattr__(self, operation: str) -> Any:
        def call(**_: Any) -> str:
            self.calls += 1
            if self.mood():
                self.refused += 1
                raise throttled(operation)
            return "done"

        return call


@pytest.mark.parametrize("seed", range(50))
def test_random_throttling_never_fails_a_run(seed: int, clock: Clock) -> None:
    """One call in ten, 400 calls: all go through, and nearly at the usual pace."""
    chance = random.Random(seed)
    boto = Moody(lambda: chance.random() < 0.1)
    client = Client(Session("development", "us-east-1"), "ec2", boto)
    begun = clock.now
    for _ in range(400):
        assert client.create_vpc() == "done"
    assert boto.refused > 15
    assert clock.now - begun < 120


def test_a_service_that_goes_on_throttling_is_given_up(clock: Clock) -> None:
    client = Client(Session("development", "us-east-1"), "ec2", Moody(lambda: True))
    begun = clock.now
    with pytest.raises(ApiError, match="ThrottlingException"):
        client.create_vpc()
    assert 600 <= clock.now - begun <= 620


class Shop:
    """A service that takes `rate` calls a second, and `THREADS` callers with `each` calls to make, in virtual time."""

    def __init__(self, rate: float, each: int, budget: Budget | None) -> None:
        self.rate, self.budget = rate, budget
        self.random = random.Random(7)
        self.tokens, self.filled = rate, 0.0
        self.refused = 0
        self.events = [(0.0, caller, each, 0) for caller in range(THREADS)]

    def run(self) -> float:
        """Everybody's calls; returns when the last went through."""
        now = 0.0
        while self.events:
            now, caller, left, failures = heapq.heappop(self.events)
            if self._takes(now):
                if self.budget:
                    self.budget.succeeded()
                left, failures = left - 1, 0
            else:
                self.refused += 1
                if self.budget:
                    self.budget.throttled(now)
                failures += 1
            if left:
                self._queue(now, caller, left, failures)
        return now

    def _queue(self, now: float, caller: int, left: int, failures: int) -> None:
        pause = self.random.uniform(0.1, min(8.0, 0.2 * 2**failures)) if failures else 0.08
        turn = self.budget.turn(now + pause) if self.budget else 0.0
        heapq.heappush(self.events, (now + pause + turn, caller, left, failures))

    def _takes(self, now: float) -> bool:
        self.tokens = min(self.rate, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@pytest.mark.parametrize("rate", [2, 5, 20])
def test_threads_slow_down_together(rate: float) -> None:
    """A shared budget means far fewer refused calls than when each thread only minds its own, for about the time."""
    alone, together = Shop(rate, 20, None), Shop(rate, 20, Budget())
    slow, fast = alone.run(), together.run()
    assert together.refused < alone.refused / 2
    assert fast < 1.5 * max(slow, THREADS * 20 / rate)


def test_the_budget_is_one_for_all_threads_and_addresses_of_a_service() -> None:
    session = Session("development", "us-east-1")
    assert session.at("a.b.c").budget("ec2") is session.at("d.e.f").budget("ec2")
    assert session.budget("ec2") is not session.budget("iam")


def test_one_wave_of_refusals_counts_once_and_success_refills() -> None:
    budget = Budget()
    assert [budget.turn(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    for _ in range(THREADS):
        budget.throttled(1.0)
    assert budget.gap == Budget.FIRST
    assert [round(budget.turn(1.0), 2) for _ in range(3)] == [0.0, 0.05, 0.1]
    for later in range(2, 20):
        budget.throttled(float(3 * later))
    assert budget.gap == Budget.MOST
    for _ in range(150):
        budget.succeeded()
    assert budget.gap == 0.0


@pytest.mark.parametrize(
    ("service", "code", "reason", "passes"),
    [
        ("ec2", "RequestLimitExceeded", "Request limit exceeded.", True),
        ("sagemaker", "SomethingElse", "Rate exceeded", True),
        ("apigateway", "LimitExceededException", "Retry after 3 s", True),
        ("apigateway", "LimitExceededException", "Maximum number of stages has been reached", False),
        ("iam", "LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000", False),
        ("logs", "LimitExceededException", "Resource limit exceeded.", False),
        ("sagemaker", "ResourceLimitExceeded", "The account-level service limit is 0", False),
    ],
)
def test_a_quota_is_not_throttling(service: str, code: str, reason: str, passes: bool) -> None:
    assert throttles(service, code, reason) is passes


def test_a_bucket_gives_out_its_burst_and_then_one_turn_at_a_time() -> None:
    bucket = Bucket(2.0, 3)
    assert [bucket.turn(100.0) for _ in range(5)] == [0.0, 0.0, 0.0, 2.0, 4.0]
    assert bucket.turn(104.0) == 2.0
    assert [bucket.turn(1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


def test_calls_keep_to_the_limits_of_their_operation(clock: Clock) -> None:
    session = Session("development", "us-east-1")
    sent = list[tuple[str, float]]()

    class Boto:
        def __getattr__(self, operation: str) -> Any:
            return lambda **_: sent.append((operation, clock.now))

    client = Client(session, "apigateway", Boto())
    begun = clock.now
    regional = {"name": "n", "endpointConfiguration": {"types": ["REGIONAL"]}}
    for _ in range(3):
        client.create_rest_api(**regional)
    for _ in range(2):
        Client(session.at("a.b.c"), "apigateway", Boto()).delete_rest_api(restApiId="i")
    for _ in range(2):
        client.create_rest_api(name="edge")
    whens = [round(when - begun, 3) for _, when in sent]
    assert whens == [0.0, 3.0, 6.0, 6.0, 36.0, 36.0, 66.0]


def test_all_calls_of_a_service_share_its_total(clock: Clock) -> None:
    client = Client(Session("development", "us-east-1"), "apigateway", Moody(lambda: False))
    begun = clock.now
    for _ in range(60):
        client.get_stages(restApiId="i")
    assert clock.now - begun == pytest.approx(2.0)


def test_a_service_without_limits_is_never_held_back(clock: Clock) -> None:
    client = Client(Session("development", "us-east-1"), "ec2", Moody(lambda: False))
    for _ in range(100):
        client.create_vpc()
    assert not clock.pauses


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: f"{row.service}.{'+'.join(row.operations) or 'all'}")
def test_limits_name_what_aws_has(row: Limit) -> None:
    client = boto3.client(row.service, region_name="us-east-1")  # type: ignore[call-overload]
    assert set(row.operations) <= set(client.meta.method_to_api_mapping)
    assert all(row in limits(row.service, each, {}) or row.when({}) is False for each in row.operations)
