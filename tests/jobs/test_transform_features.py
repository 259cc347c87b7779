"""The job as it runs in its container, against the local cloud: what is written, what isn't, and why."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import RunningCloud

from mlplat.jobs import transform_features

FEATURES = {"id": "String", "at": "String", "age": "Integral", "spent": "Fractional"}
SOURCE = "def transform(frame):\n    return frame\n"
TIME = "2026-01-01T00:00:00Z"
ROW = {"id": "007", "at": TIME, "age": 30, "spent": 1.5}
Run = Callable[..., int]


class Place:
    """A bucket with raw files, and a feature group."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.name = f"job-{uuid.uuid4().hex[:8]}"
        self._s3, self._cloud = cloud.client("s3"), cloud
        self._s3.create_bucket(Bucket=self.name)
        cloud.client("sagemaker").create_feature_group(
            FeatureGroupName=self.name,
            RecordIdentifierFeatureName="id",
            EventTimeFeatureName="at",
            FeatureDefinitions=[{"FeatureName": name, "FeatureType": kind} for name, kind in FEATURES.items()],
            OnlineStoreConfig={"EnableOnlineStore": True},
        )
        self.contract: dict[str, Any] = {
            "feature_group": self.name,
            "region": "us-east-1",
            "raw": {"bucket": self.name, "prefix": "raw/"},
            "kept": {"bucket": self.name, "prefix": "kept/"},
            "features": FEATURES,
            "identifier": "id",
            "event_time": "at",
            "max_quarantined": 1.0,
            "publishes": True,
            "rules": {},
        }

    def put(self, name: str, body: bytes | list[dict[str, Any]]) -> None:
        raw = body if isinstance(body, bytes) else "".join(json.dumps(row) + "\n" for row in body).encode()
        self._s3.put_object(Bucket=self.name, Key=f"raw/{name}", Body=raw)

    def record(self, id: str) -> dict[str, str] | None:
        runtime = self._cloud.client("sagemaker-featurestore-runtime")
        found = runtime.get_record(FeatureGroupName=self.name, RecordIdentifierValueAsString=id).get("Record")
        return None if found is None else {each["FeatureName"]: each["ValueAsString"] for each in found}

    def object(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=self.name, Key=key)["Body"].read())

    def report(self, run: str) -> Any:
        return json.loads(self.object(f"kept/reports/{run}.json"))

    def quarantine(self, run: str, name: str) -> list[dict[str, Any]]:
        lines = self.object(f"kept/quarantine/{run}/{name}.jsonl").decode().splitlines()
        return [json.loads(line) for line in lines]

    def metrics(self) -> dict[str, float]:
        listed = self._cloud.client("cloudwatch").list_metrics(
            Namespace="mlplat/FeatureStore", Dimensions=[{"Name": "FeatureGroupName", "Value": self.name}]
        )
        return {each["MetricName"]: 1.0 for each in listed["Metrics"]}


@pytest.fixture
def place(cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    return Place(cloud)


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch) -> Run:
    def once(name: str, *more: str, source: str = SOURCE) -> int:
        monkeypatch.setattr("sys.argv", ["job", "--run", name, *more])
        return transform_features.main(place.contract, source)

    return once


def test_files_of_each_sort_become_records_and_are_taken_once(place: Place, run: Run) -> None:
    import pandas as pd

    place.put("a.csv", b"id,at,age,spent\n007,2026-01-01T00:00:00Z,30,1.5\nNA,2026-01-01T00:00:00Z,,\n")
    place.put("b.jsonl", [{**ROW, "id": "8"}])
    parquet = io.BytesIO()
    pd.DataFrame([{**ROW, "id": "9"}]).to_parquet(parquet)
    place.put("deep/c.parquet", parquet.getvalue())
    place.put("d.csv.gz", gzip.compress(b"id,age\n10,4\n"))
    assert run("one") == 0
    assert place.record("007") == {"id": "007", "at": TIME, "age": "30", "spent": "1.5"}
    assert place.record("NA") == {"id": "NA", "at": TIME}
    assert place.record("8") == {**place.record("007"), "id": "8"}  # type: ignore[dict-item]
    assert place.record("9") == {**place.record("007"), "id": "9"}  # type: ignore[dict-item]
    stamped = place.record("10")
    assert stamped is not None
    assert (stamped["age"], stamped["at"][:2]) == ("4", "20")
    report = place.report("one")
    assert (report["rows"], report["written"], report["quarantined"], report["refused_files"]) == (5, 5, 0, 0)
    assert run("two") == 0
    assert place.report("two")["files"] == []
    assert run("three", "--files", "all") == 0
    assert len(place.report("three")["files"]) == 4
    place.put("a.csv", b"id,at,age,spent\n1,2026-01-01T00:00:00Z,1,1\n")
    assert run("four") == 0
    assert [each["file"][-5:] for each in place.report("four")["files"]] == ["a.csv"]
    assert place.metrics().keys() == {"IngestedRecords", "FailedRecords", "NewestRecordAge"}


def test_rows_that_break_a_rule_are_in_quarantine_with_the_reason(place: Place, run: Run) -> None:
    place.contract["rules"] = {
        "id": {"required": True, "unique": True},
        "age": {"min": 0, "max": 120},
        "spent": {"required": True},
    }
    bad = [
        ({**ROW, "id": "a", "age": -1}, "column age is under 0"),
        ({**ROW, "id": "b", "age": 121}, "column age is over 120"),
        ({**ROW, "id": "c", "age": 1.5}, "column age: 1.5 is no Integral"),
        ({**ROW, "id": "d", "spent": None}, "column spent is required"),
        ({**ROW, "id": "e", "spent": "much"}, "column spent: 'much' is no Fractional"),
        ({**ROW, "id": None}, "column id is required"),
        ({**ROW, "id": "f", "at": "yesterday"}, "column at is no ISO 8601 time in UTC, as 2026-01-31T12:00:00Z"),
        ({**ROW, "at": "2026-01-02T00:00:00Z"}, "column id is there twice"),
    ]
    place.put("a.jsonl", [ROW, *(row for row, _ in bad)])
    place.put("b.jsonl", [{**ROW, "at": "2026-01-03T00:00:00Z"}])
    assert run("one") == 0
    found = place.quarantine("one", "a.jsonl")
    assert [(each["row"], each["reason"]) for each in found] == [(n, why) for n, (_, why) in enumerate(bad, 2)]
    assert found[0]["values"] == {**ROW, "id": "a", "age": -1}
    [first, second] = place.report("one")["files"]
    assert (first["rows"], first["written"], first["quarantined"]) == (9, 1, 8)
    assert second["reasons"] == {"column id is there twice": 1}, "unique in the run, not only in its file"
    assert place.record("007") is not None
    assert place.record("a") is None


@pytest.mark.parametrize(
    ("name", "body", "source", "reason"),
    [
        ("a.txt", b"?", SOURCE, "neither .csv, .jsonl nor .parquet"),
        ("a.parquet", b"PAR1 not really", SOURCE, "ArrowInvalid: "),
        ("a.csv", b"id,colour\n1,red\n", SOURCE, "columns that are no features of the group: colour"),
        ("a.csv", b"age\n1\n", SOURCE, "no column id, the record identifier"),
        ("a.csv", b"id\n1\n", "def transform(frame):\n    return None\n", "transform gave a NoneType, not a DataFrame"),
        ("a.csv", b"id\n1\n", "def transform(frame):\n    return frame.nothing\n", "AttributeError: "),
        ("a.csv", b"", SOURCE, "EmptyDataError: No columns to parse from file"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_and_the_others_are_not(
    place: Place, run: Run, name: str, body: bytes, source: str, reason: str
) -> None:
    place.put(name, body)
    if source == SOURCE:
        place.put("z.jsonl", [ROW])
    assert run("one", source=source) == 1
    first, *others = place.report("one")["files"]
    assert (first["status"], first["written"]) == ("refused", 0)
    assert first["reason"].startswith(reason)
    assert [each["status"] for each in others] == ["written"] * (source == SOURCE)
    assert run("two", source=source) == 1
    assert [each["file"] for each in place.report("two")["files"]] == [first["file"]], "tried again, alone"


def test_of_a_file_with_too_many_bad_rows_nothing_is_written(place: Place, run: Run) -> None:
    place.contract.update(max_quarantined=0.5, rules={"age": {"min": 0}})
    place.put("a.jsonl", [ROW, {**ROW, "id": "b", "age": -1}, {**ROW, "id": "c", "age": -2}])
    assert run("one") == 1
    [found] = place.report("one")["files"]
    assert found["reason"] == "66.7% of its rows are bad, over max_quarantined = 0.5"
    assert place.record("007") is None
    assert len(place.quarantine("one", "a.jsonl")) == 2


def test_what_the_store_refuses_for_what_it_is_goes_into_quarantine(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("a.jsonl", [{**ROW, "at": "2026-13-45T00:00:00Z"}, {**ROW, "id": "b"}])
    assert run("one") == 0
    [bad] = place.quarantine("one", "a.jsonl")
    assert bad["reason"].startswith("PutRecord: ")
    assert place.record("b") is not None


def test_a_run_that_ends_in_the_middle_is_made_good_by_the_next(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("a.jsonl", [ROW])
    place.put("b.jsonl", [{**ROW, "id": str(number)} for number in range(50)])
    put_record, calls = transform_features.Job._put_record, list[int]()

    def dies(job: transform_features.Job, record: Any) -> str | None:
        calls.append(1)
        if len(calls) > 20:
            raise ConnectionError("gone")
        return put_record(job, record)

    monkeypatch.setattr(transform_features.Job, "_put_record", dies)
    with pytest.raises(ConnectionError):
        run("one")
    monkeypatch.setattr(transform_features.Job, "_put_record", put_record)
    assert run("two") == 0
    [again] = place.report("two")["files"]
    assert (again["file"][-7:], again["written"]) == ("b.jsonl", 50)
    assert all(place.record(str(number)) is not None for number in range(50))


def test_a_file_that_is_refused_takes_no_value_from_the_next(place: Place, run: Run) -> None:
    place.contract.update(max_quarantined=0.4, rules={"id": {"unique": True}, "age": {"min": 0}})
    place.put("a.jsonl", [ROW, {**ROW, "id": "b", "age": -1}])
    place.put("b.jsonl", [ROW, {**ROW, "id": "b"}])
    assert run("one") == 1
    first, second = place.report("one")["files"]
    assert (first["status"], second["status"], second["written"]) == ("refused", "written", 2)


def test_metrics_that_are_not_taken_fail_no_run(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put("a.jsonl", [ROW])
    monkeypatch.setattr(transform_features, "NAMESPACE", ":no namespace")
    assert run("one") == 0
    assert "warning: the records are written" in capsys.readouterr().out


def test_nothing_is_published_where_nothing_is_monitored(place: Place, run: Run) -> None:
    place.contract["publishes"] = False
    place.put("a.jsonl", [ROW])
    assert run("one") == 0
    assert place.metrics() == {}
