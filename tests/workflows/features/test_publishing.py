"""What an ingestion says of itself to CloudWatch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.workflows.features.conftest import FEATURES, Group, Make
from tests.workflows.features.test_ingest import as_csv, people, run

from mlplat.aws import Client
from mlplat.errors import PermissionDenied
from mlplat.settings import Settings
from mlplat.workflows.features import publishing
from mlplat.workflows.features.publishing import Published

Data = list[dict[str, Any]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Data:
    """Every datum that is published."""
    found: Data = []
    call = Client._call

    def noted(self: Client, operation: str, repeatable: bool, send: Any) -> Any:
        if operation == "put_metric_data":
            self.boto.meta.events.register("before-parameter-build.cloudwatch.PutMetricData", note, unique_id="told")
        return call(self, operation, repeatable, send)

    def note(params: dict[str, Any], **_: Any) -> None:
        assert params["Namespace"] == "mlplat/FeatureStore"
        found.extend(params["MetricData"])

    monkeypatch.setattr(Client, "_call", noted)
    return found


def watched(group: Group) -> Group:
    settings = Settings(namespace="test", monitoring={"feature_store": {"enabled": True}})
    return replace(group, platform=replace(group.platform, settings=settings))


def values(told: Data) -> dict[str, float]:
    return {each["MetricName"]: each["Value"] for each in told}


def test_counts_and_the_age_of_the_newest_record(people_group: Group, told: Data) -> None:
    group = watched(people_group)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = people(30)
    rows[7]["at"], rows[3]["age"] = yesterday, "many"
    done = run(group, as_csv(group.folder / "people.csv", rows))
    assert (done.written, done.refused, done.unpublished) == (29, 1, None)
    found = values(told)
    assert (found["IngestedRecords"], found["FailedRecords"]) == (29, 1)
    assert 86_400 <= found["NewestRecordAge"] < 86_400 + 600
    assert {each["Unit"] for each in told} == {"Count", "Seconds"}
    assert told[0]["Dimensions"] == [{"Name": "FeatureGroupName", "Value": group.schema.name}]


def test_nothing_is_said_where_nobody_watches_and_nothing_twice(people_group: Group, told: Data) -> None:
    path = as_csv(people_group.folder / "people.csv", people(5))
    run(people_group, path)
    assert told == []
    group = watched(people_group)
    run(group, path)
    assert told == [], "it was ingested before"


def test_times_in_seconds_and_from_the_future(make: Make, told: Data) -> None:
    group = watched(make({**FEATURES, "at": "Fractional"}))
    rows = people(3)
    for row, seconds in zip(rows, (9.5, 1e10, 100.0), strict=True):
        row["at"] = str(seconds)
    run(group, as_csv(group.folder / "people.csv", rows))
    assert values(told)["NewestRecordAge"] == 0.0


def test_a_long_ingestion_says_what_is_new_each_minute(
    people_group: Group, told: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "EVERY", -1.0)
    rows = people(200)
    rows[1]["age"] = "many"
    run(watched(people_group), as_csv(people_group.folder / "people.csv", rows), parallel=1)
    sums = {name: sum(each["Value"] for each in told if each["MetricName"] == name) for name in values(told)}
    assert (sums["IngestedRecords"], sums["FailedRecords"]) == (199, 1)
    assert sum(each["MetricName"] == "IngestedRecords" for each in told) > 1


def test_that_it_cannot_be_said_fails_nothing(people_group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Client._call

    def refused(self: Client, operation: str, repeatable: bool, send: Any) -> Any:
        if operation == "put_metric_data":
            raise PermissionDenied(
                service="cloudwatch", operation=operation, code="AccessDenied", reason="not authorized", hint=""
            )
        return call(self, operation, repeatable, send)

    monkeypatch.setattr(Client, "_call", refused)
    done = run(watched(people_group), as_csv(people_group.folder / "people.csv", people(5)))
    assert done.written == 5
    assert "not authorized" in str(done.unpublished)


def test_only_the_newest_of_what_was_written_counts(people_group: Group, told: Data) -> None:
    group = watched(people_group)
    metrics = Published(group.platform, group.schema)
    metrics.add(0, "2099-01-01T00:00:00Z")
    metrics.publish(failed=3)
    assert values(told) == {"IngestedRecords": 0, "FailedRecords": 3}
    metrics.publish(failed=3)
    assert len(told) == 2
