"""Reading records by their layout says what looking at every value says, and never more."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.sagemaker.record_schema import MOST_LAYOUTS, Schema

KINDS = {"id": "String", "at": "String", "spent": "Fractional", "visits": "Integral", "note": "String"}
FEATURES = {name: {"FeatureName": name, "FeatureType": kind} for name, kind in KINDS.items()} | {
    "tags": {"FeatureName": "tags", "FeatureType": "Integral", "CollectionType": "List"}
}
SCHEMA = Schema("g", "g@1", "id", "at", FEATURES, True, None, "Standard", None)
TEXTS = ("1", "-7", "1.5", "nan", "", "x", 'é\n"%s', str(2**63), "2026-03-01T00:00:00Z", "2026-03-01T00:00:00.5Z")


def made(chance: random.Random) -> list[dict[str, Any]]:
    """A record that may have everything wrong that the model allows."""
    names = [name for name in KINDS if chance.random() < 0.95]
    names += chance.choices(["tags", "note", "unknown"], k=1) if chance.random() < 0.2 else []
    good = {"id": "a", "at": "2026-03-01T00:00:00Z", "spent": "1.5", "visits": "3"}
    record = []
    for name in names:
        value = {"ValueAsString": good.get(name, "x") if chance.random() < 0.9 else chance.choice(TEXTS)}
        other: dict[str, Any] = chance.choice([{}, {"ValueAsStringList": ["1"]}, {**value, "ValueAsStringList": ["1"]}])
        record.append({"FeatureName": name, **(value if chance.random() < 0.95 else other)})
    return record


def read(schema: Schema, record: list[dict[str, Any]]) -> Any:
    try:
        identifier, event, text = schema.read(record)
    except AwsError as error:
        return error.code, error.message
    return identifier, event, json.loads(text)


def closely(record: list[dict[str, Any]]) -> Any:
    try:
        return *SCHEMA._check(record), record
    except AwsError as error:
        return error.code, error.message


def test_both_ways_of_reading_agree() -> None:
    chance, seen = random.Random(1), {True: 0, False: 0}
    for _ in range(3000):
        record = made(chance)
        found = read(SCHEMA, record)
        assert found == closely(record)
        seen[len(found) == 3] += 1
    assert min(seen.values()) > 300


@pytest.mark.parametrize("size", [350 * 1024, 350 * 1024 + 1])
def test_a_value_has_its_limit(size: int) -> None:
    record = [{"FeatureName": name, "ValueAsString": value} for name, value in
              {"id": "a", "at": "2026-03-01T00:00:00Z", "note": "x" * size}.items()]  # fmt: skip
    assert read(SCHEMA, record) == closely(record)
    assert len(read(SCHEMA, record)) == (3 if size == 350 * 1024 else 2)


def test_layouts_are_remembered_within_bounds() -> None:
    features = {f"f{number}": {"FeatureType": "String"} for number in range(11)}
    schema = replace(SCHEMA, features=FEATURES | features, layouts={})
    good = {"id": "a", "at": "2026-03-01T00:00:00Z"}
    for chosen in range(2**11):
        names = [name for place, name in enumerate(features) if chosen >> place & 1]
        record = [{"FeatureName": name, "ValueAsString": good.get(name, "x")} for name in (*good, *names)]
        assert json.loads(schema.read(record)[2]) == record
    assert len(schema.layouts) <= MOST_LAYOUTS


@pytest.mark.parametrize("moment", ["1e300", "-1e12", "253402300800", "inf", "nan"])
def test_an_event_time_is_one_that_a_calendar_has(moment: str) -> None:
    features = {"id": FEATURES["id"], "at": {"FeatureName": "at", "FeatureType": "Fractional"}}
    record = [{"FeatureName": "id", "ValueAsString": "a"}, {"FeatureName": "at", "ValueAsString": moment}]
    with pytest.raises(AwsError, match="event time feature"):
        replace(SCHEMA, features=features, layouts={}).read(record)
