"""The table of refusals that pass: each row at each of its operations, and nowhere else, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.aws.clock import Clock

from mlplat.aws import Client, Session
from mlplat.aws.retryable import TABLE, Passing
from mlplat.aws.throttling import THROTTLED
from mlplat.errors import ApiError

UNMODELED = frozenset({"ec2", "s3", "sagemaker", "scheduler", "application-autoscaling"})
"""Services whose models leave out (some of) the errors that they answer with."""


def row_id(row: Passing) -> str:
    return f"{row.service}.{row.operations[0]}-{row.codes[0]}"


class Refusing:
    """A boto3 client that refuses its first calls."""

    def __init__(self, code: str, message: str, status: int = 400, times: int = 1) -> None:
        self.error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
        self.left, self.calls = times, 0

    def __getattr__(self, operation: str) -> Any:
        def call(**_: Any) -> str:
            self.calls += 1
            self.left -= 1
            if self.left >= 0:
                raise ClientError(self.error, operation)  # type: ignore[arg-type]
            return "done"

        return call


def ask(row: Passing, boto: Refusing, operation: str, *, asked: bool) -> Any:
    session = Session("development", "us-east-1")
    call = getattr(Client(session, row.service, boto), operation)
    return session.patiently(call) if asked else call()


def refusals(row: Passing, times: int = 1) -> Iterator[Refusing]:
    for code in (each for each in row.codes if each not in THROTTLED):  # those pass everywhere
        yield Refusing(code, f"AWS says: {row.words}.", row.status, times)


@pytest.mark.parametrize("row", TABLE, ids=row_id)
def test_a_refusal_that_passes_is_waited_out_at_each_of_its_operations(row: Passing, clock: Clock) -> None:
    for operation in row.operations:
        for boto in refusals(row):
            assert ask(row, boto, operation, asked=row.asked) == "done"
            assert boto.calls == 2, operation


@pytest.mark.parametrize("row", TABLE, ids=row_id)
def test_the_same_words_elsewhere_are_final_at_once(row: Passing, clock: Clock) -> None:
    elsewhere = {
        each for each in boto_client(row.service).meta.method_to_api_mapping if each.startswith(("create_", "delete_"))
    }
    busy = {op for each in TABLE if each.service == row.service for op in each.operations}
    for operation in sorted(elsewhere - busy)[:3]:
        for boto in refusals(row):
            with pytest.raises(ApiError):
                ask(row, boto, operation, asked=True)
            assert boto.calls == 1
    assert not clock.pauses


@pytest.mark.parametrize("row", [row for row in TABLE if row.words], ids=row_id)
def test_the_same_code_with_other_words_is_final_at_once(row: Passing, clock: Clock) -> None:
    boto = Refusing(row.codes[0], "something else is wrong", row.status)
    with pytest.raises(ApiError):
        ask(row, boto, row.operations[0], asked=True)
    assert boto.calls == 1


@pytest.mark.parametrize("row", [row for row in TABLE if row.asked], ids=row_id)
def test_what_is_the_truth_of_most_objects_is_waited_for_only_where_a_kind_asks(row: Passing, clock: Clock) -> None:
    for boto in refusals(row):
        with pytest.raises(ApiError):
            ask(row, boto, row.operations[0], asked=False)
        assert boto.calls == 1


@pytest.mark.parametrize("row", TABLE, ids=row_id)
def test_a_refusal_that_stays_is_final_after_its_time(row: Passing, clock: Clock) -> None:
    boto = next(refusals(row, times=100_000))
    begun = clock.now
    with pytest.raises(ApiError) as caught:
        ask(row, boto, row.operations[0], asked=row.asked)
    assert caught.value.code == row.codes[0]
    assert row.within <= clock.now - begun <= row.within + 10
    assert len(clock.pauses) < 20 + row.within / 2


def test_time_spent_throttled_does_not_count_against_a_refusal(clock: Clock) -> None:
    """A role that is refused for the first time after minutes of throttling still gets its two minutes."""
    boto = Refusing("ThrottlingException", "Rate exceeded", times=40)
    session = Session("development", "us-east-1")
    client = Client(session, "sagemaker", boto)
    answers = iter(["Could not assume role"] * 3)

    class Then(Refusing):
        def __getattr__(self, operation: str) -> Any:
            def call(**_: Any) -> str:
                if boto.left > 0:
                    return str(getattr(boto, operation)())
                if (message := next(answers, None)) is not None:
                    raise ClientError(
                        {"Error": {"Code": "ValidationException", "Message": message}},
                        operation,
                    )
                return "done"

            return call

    client.boto = Then("", "")
    assert client.create_model() == "done"
    assert clock.now > 1120


def test_pauses_differ_from_thread_to_thread(clock: Clock) -> None:
    runs = []
    for _ in range(4):
        clock.pauses.clear()
        ask(TABLE[0], Refusing("InvalidVpcID.NotFound", "", times=8), "create_subnet", asked=False)
        runs.append(tuple(clock.pauses))
    assert len(set(runs)) == 4
    assert all(0 < pause <= 10 for run in runs for pause in run)


@cache
def boto_client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


@pytest.mark.parametrize("row", TABLE, ids=row_id)
def test_rows_name_what_aws_has(row: Passing) -> None:
    meta = boto_client(row.service).meta
    assert set(row.operations) <= set(meta.method_to_api_mapping)
    assert row.source
    assert 0 < row.within <= 7200
    if row.service not in UNMODELED:
        for operation in row.operations:
            model = meta.service_model.operation_model(meta.method_to_api_mapping[operation])
            known = {str(shape.error_code or shape.name) for shape in model.error_shapes}
            assert known & set(row.codes) or row.codes[0] in SAID_THOUGH_UNMODELED, (operation, known)


SAID_THOUGH_UNMODELED = frozenset({"AccessDeniedException", "ValidationException"})


def test_no_refusal_is_told_twice() -> None:
    told = [
        (row.service, operation, code.casefold(), row.words)
        for row in TABLE
        for operation in row.operations
        for code in {code.casefold() for code in row.codes}
    ]
    assert len(told) == len(set(told))
