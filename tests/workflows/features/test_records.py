"""What becomes of a value on its way into a record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mlplat.workflows.features.groups import Feature, Schema
from mlplat.workflows.features.records import Checker, value_of

SCHEMA = Schema(
    "people",
    1,
    "people",
    datetime(2026, 1, 1, tzinfo=UTC),
    "id",
    "at",
    {
        each.name: each
        for each in (
            Feature("id", "String"),
            Feature("at", "String"),
            Feature("age", "Integral"),
            Feature("spend", "Fractional"),
            Feature("plan", "String"),
            Feature("likes", "String", "List"),
            Feature("place", "Fractional", "Vector", 2),
        )
    },
)
WHOLE = {"id": "a", "at": "2026-01-01T00:00:00Z"}


def checked(stamp: str | None = None, **values: Any) -> Any:
    return Checker(SCHEMA, stamp).check({**WHOLE, **values})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("age", 7, "7"),
        ("age", "7", "7"),
        ("age", " 7 ", "7"),
        ("age", 7.0, "7"),
        ("age", "7.0", "7"),
        ("age", True, "1"),
        ("age", -(2**63), str(-(2**63))),
        ("spend", 0.1, "0.1"),
        ("spend", "1e-3", "1e-3"),
        ("spend", 3, "3"),
        ("plan", "", ""),
        ("plan", 1.5, "1.5"),
        ("plan", False, "false"),
        ("plan", datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        ("at", datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T00:00:00Z"),
        ("at", datetime(2026, 1, 1), "2026-01-01T00:00:00Z"),
        ("at", datetime(2026, 1, 1, 0, 0, 0, 5000, tzinfo=UTC), "2026-01-01T00:00:00.005Z"),
        ("at", "2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00Z"),
        ("at", "2026-01-01T00:00:00.250Z", "2026-01-01T00:00:00.250Z"),
    ],
)
def test_a_value_goes_on_the_wire_as_its_feature_has_it(name: str, value: Any, text: str) -> None:
    assert value_of(checked(**{name: value}), name) == text


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("age", "7.5", "column age: '7.5' is not Integral"),
        ("age", "1_000", "column age: '1_000' is not Integral"),
        ("age", 2**63, "column age: 9223372036854775808 is not Integral: it needs more than 64 bits"),
        ("spend", "nan", "column spend: 'nan' is not Fractional"),
        ("spend", "12,5", "column spend: '12,5' is not Fractional"),
        ("spend", float("inf"), "column spend: inf is not Fractional"),
        ("at", "2026-01-01", "column at: '2026-01-01' is not an event time"),
        ("at", "2026-01-01T00:00:00", "column at: '2026-01-01T00:00:00' is not an event time"),
        ("at", "2026-13-01T00:00:00Z", "column at: '2026-13-01T00:00:00Z' is not an event time"),
        ("at", "", "column at: the event time is empty"),
        ("at", 5, "column at: 5 is not an event time"),
        ("id", None, "column id: the record identifier is empty"),
        ("id", "x" * 2049, "column id: a record identifier has at most 2048 bytes"),
        ("plan", "x" * 358_401, "column plan: a value has at most 358,400 bytes"),
        ("colour", "red", "column colour: the feature group has no such feature"),
        ("likes", "a, b", "column likes: 'a, b' is not a JSON list"),
        ("likes", 5, "column likes: 5 is not a list"),
        ("likes", ["a", None], "column likes: a list has no nulls"),
        ("place", [1.0], "column place: a vector of 2 dimensions, but 1 values are given"),
        ("place", [1.0, "x"], "column place: 'x' is not Fractional"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_column(name: str, value: Any, reason: str) -> None:
    assert str(checked(**{name: value})).startswith(reason)


@pytest.mark.parametrize("null", [None, "", float("nan")])
@pytest.mark.parametrize("name", ["age", "spend", "plan"])
def test_a_null_is_left_out(name: str, null: Any) -> None:
    assert [each["FeatureName"] for each in checked(**{name: null})] == ["id", "at"]


def test_collections_are_lists_of_text() -> None:
    record = checked(likes='["a", "b"]', place=(1, 2.5))
    assert [each.get("ValueAsStringList") for each in record[2:]] == [["a", "b"], ["1", "2.5"]]


def test_a_missing_event_time_is_the_stamp() -> None:
    stamped = Checker(SCHEMA, "2026-02-03T04:05:06Z").check({"id": "a"})
    assert not isinstance(stamped, str)
    assert value_of(stamped, "at") == "2026-02-03T04:05:06Z"


def test_the_stamp_of_a_fractional_event_time_is_in_seconds() -> None:
    features = {**SCHEMA.features, "at": Feature("at", "Fractional")}
    schema = Schema("people", 1, "people", SCHEMA.created, "id", "at", features)
    stamped = Checker(schema, "1970-01-02T00:00:00Z").check({"id": "a"})
    assert not isinstance(stamped, str)
    assert value_of(stamped, "at") == "86400.0"
