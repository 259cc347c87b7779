"""The offline store as people use it: questions, histories and training sets, against pandas and against the files."""

from __future__ import annotations

import io
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.e2e.asking import asked, refused
from tests.e2e.project import EXAMPLE, Project

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

GROUPS = """
target = "local"
[approval]
required = false
[feature_groups.people]
record_identifier = "person"
event_time = "at"
features = { person = "String", at = "String", age = "Integral", spend = "Fractional", Plan = "String" }
[feature_groups.orders]
record_identifier = "number"
event_time = "placed"
features = { number = "Integral", placed = "Fractional", spend = "Fractional", moment = "String" }
[feature_groups.live]
record_identifier = "id"
event_time = "at"
offline = false
features = { id = "String", at = "String" }
"""
START = datetime(2026, 1, 1, tzinfo=UTC)
SETS, LABELS = 1000, 5


@dataclass
class Store:
    """Two groups of an applied platform, and what was put there, in this order."""

    project: Project
    dice: random.Random
    put: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"people": [], "orders": []})

    def fill(self, writes: int) -> None:
        """Random records of few people and orders, many at the same times; a few deletions."""
        runtime = self.project.client("sagemaker-featurestore-runtime")
        for _ in range(writes):
            group = self.dice.choice(list(self.put))
            row = self._row(group)
            self.put[group].append(row)
            record = [
                {"FeatureName": name, "ValueAsString": str(value)} for name, value in row["sent"].items() if value != ""
            ]
            runtime.put_record(FeatureGroupName=self.name(group), Record=record)
        for group, rows in self.put.items():
            for key in self.dice.sample(sorted({row["key"] for row in rows}), 2):
                last = max(row["time"] for row in rows if row["key"] == key) + timedelta(minutes=90)
                runtime.delete_record(
                    FeatureGroupName=self.name(group),
                    RecordIdentifierValueAsString=key,
                    EventTime=_said(group, last),
                )
                rows.append({"key": key, "time": last, "deleted": True, "sent": {}})

    def settle(self) -> None:
        """Until the offline store has every row."""
        for group, rows in self.put.items():
            for _ in range(300):
                found = asked("features", "query", f"SELECT count(*) AS n FROM {{{group}}}")
                if found == [{"n": len(rows)}]:
                    break
                time.sleep(0.2)
            else:
                pytest.fail(f"{group}: {found} rows of {len(rows)}")

    def name(self, group: str) -> str:
        return f"mlplat-development-{group}"

    def _row(self, group: str) -> dict[str, Any]:
        key, when = str(self.dice.randrange(8)), START + timedelta(hours=self.dice.randrange(24 * 20), milliseconds=7)
        spend = self.dice.choice(["", round(self.dice.uniform(-1e6, 1e6), self.dice.randrange(9))])
        if group == "people":
            plan = self.dice.choice(["", "a b", 'say "no"', "back\\slash", "naïve, plan"])
            sent = {
                "person": key,
                "at": _said(group, when),
                "age": self.dice.randrange(99),
                "spend": spend,
                "Plan": plan,
            }
        else:
            sent = {"number": key, "placed": _said(group, when), "spend": spend, "moment": "noon"}
        return {"key": key, "time": when, "deleted": False, "sent": sent}


def _said(group: str, moment: datetime) -> str:
    if group == "orders":
        return f"{moment.timestamp():.3f}"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("offline"))
    made.configure(GROUPS)
    made.run("apply")
    with pytest.MonkeyPatch.context() as patching:
        patching.chdir(made.folder)
        yield made
    daemon.stop(made.cloud)


@pytest.fixture(scope="module")
def store(project: Project) -> Store:
    made = Store(project, random.Random(4711))
    made.fill(400)
    made.settle()
    return made


def as_of(rows: list[dict[str, Any]], labels: pd.DataFrame, names: list[str], ttl: timedelta | None) -> pd.DataFrame:
    """What pandas says: of each record the last row that isn't newer than the label."""
    known = pd.DataFrame(
        [{"key": row["key"], "known": row["time"], "deleted": row["deleted"], **row["sent"]} for row in rows]
    )
    known = known.sort_values("known", kind="stable")
    asked = labels[["key", "time"]].reset_index().sort_values("time", kind="stable")
    found = pd.merge_asof(asked, known, left_on="time", right_on="known", by="key")
    gone = found["deleted"].fillna(True).astype(bool)
    if ttl is not None:
        gone |= found["known"] <= found["time"] - ttl
    found.loc[gone, names] = None
    found["found"] = ~gone
    return found.set_index("index").sort_index()


@pytest.mark.parametrize("ttl", [None, timedelta(days=3)])
def test_training_sets_are_what_pandas_makes_of_a_thousand_label_sets(store: Store, ttl: timedelta | None) -> None:
    dice = random.Random(99)
    moments = [
        START + timedelta(hours=dice.randrange(-24, 24 * 22), milliseconds=dice.choice([0, 7, 8]))
        for _ in range(SETS * LABELS)
    ]
    labels = pd.DataFrame(
        {
            "set": [number // LABELS for number in range(SETS * LABELS)],
            "key": [str(dice.randrange(9)) for _ in moments],
            "time": moments,
        }
    )
    said = labels.assign(time=[moment.isoformat() for moment in moments], order=labels["key"])
    said.to_csv(store.project.folder / "labels.csv", index=False)
    options = ["--ttl", "3d"] if ttl else []
    told = store.project.json(
        "features", "dataset", "--labels", "labels.csv", "--time", "time", "--out", "set.parquet",
        "--features", "people:age,spend,Plan", "--features", "orders:spend,moment",
        "--key", "people=key", "--key", "orders=order", *options,
    )  # fmt: skip
    made = pq.read_table(store.project.folder / "set.parquet").to_pylist()
    people = as_of(store.put["people"], labels, ["age", "spend", "Plan"], ttl)
    orders = as_of(store.put["orders"], labels, ["spend", "moment"], ttl)
    assert [(each["group"], each["missed"]) for each in told["groups"]] == [
        ("people", int((~people["found"]).sum())),
        ("orders", int((~orders["found"]).sum())),
    ]
    for number, row in enumerate(made):
        person, order = people.loc[number], orders.loc[number]
        expected = {
            "set": number // LABELS, "key": int(labels["key"][number]), "order": int(labels["key"][number]),
            "time": said["time"][number],
            "age": _number(person["age"]), "people_spend": _number(person["spend"]), "Plan": _text(person["Plan"]),
            "orders_spend": _number(order["spend"]), "moment": _text(order["moment"]),
        }  # fmt: skip
        assert row == expected, number
    assert len(made) == told["rows"] == SETS * LABELS


def _number(value: Any) -> float | None:
    return None if value == "" or pd.isna(value) else value


def _text(value: Any) -> str | None:
    return None if pd.isna(value) or value == "" else value


def test_labels_leave_nothing_behind(store: Store) -> None:
    before = _traces(store.project)
    (store.project.folder / "one.jsonl").write_text('{"person": "1", "at": "2026-01-20T00:00:00Z", "y": [1, 2]}\n')
    asked("features", "dataset", "--labels", "one.jsonl", "--time", "at", "--features", "people", "--out", "one.jsonl")
    row = json.loads((store.project.folder / "one.jsonl").read_text())
    assert row["y"] == [1, 2]
    assert set(row) == {"person", "at", "y", "age", "spend", "Plan"}
    assert _traces(store.project) == before


def _traces(project: Project) -> tuple[list[str], list[str]]:
    tables = project.client("glue").get_tables(DatabaseName="mlplat_development_catalog")["TableList"]
    bucket = "mlplat-development-experiments-123456789012-us-east-1"
    objects = project.client("s3").list_objects_v2(Bucket=bucket, Prefix="temp/labels/").get("Contents", [])
    return [each["Name"] for each in tables], [each["Key"] for each in objects]


def test_history_tells_everything_a_record_ever_was(store: Store) -> None:
    rows = store.put["people"]
    key = next(row["key"] for row in rows if row["deleted"])
    expected = sorted((row for row in rows if row["key"] == key), key=lambda row: row["time"])
    found = asked("features", "history", "people", key)
    assert [each["at"] for each in found] == [_said("people", row["time"]) for row in expected]
    assert [each["is_deleted"] for each in found] == [row["deleted"] for row in expected]
    assert asked("features", "history", "orders", "nobody") == []


def test_an_answer_as_a_file_is_typed_and_whole(store: Store) -> None:
    folder = store.project.folder
    sql = "SELECT person, age, spend, is_deleted, NULL AS nothing FROM {people} ORDER BY 1, at, 2, 3, 4"
    rows = asked("features", "query", sql)
    for suffix in ("csv", "jsonl", "parquet"):
        told = asked("features", "query", sql, "--out", f"answer.{suffix}")
        assert told["rows"] == len(rows) == len(store.put["people"])
    assert [json.loads(line) for line in (folder / "answer.jsonl").read_text().splitlines()] == rows
    table = pq.read_table(folder / "answer.parquet")
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", "double", "bool", "string"]
    assert table.to_pylist() == rows
    frame = pd.read_csv(folder / "answer.csv", dtype={"person": str})
    assert frame["spend"].tolist() == pytest.approx([row["spend"] or math.nan for row in rows], nan_ok=True)


def test_customers_are_offline_as_they_were_sent(project: Project) -> None:
    sent = pd.read_csv(EXAMPLE / "data" / "customers.csv", dtype=str, keep_default_na=False)
    asked("features", "ingest", "customer", str(EXAMPLE / "data" / "customers.csv"))
    for _ in range(300):
        if asked("features", "query", "SELECT count(*) AS n FROM {customer}") == [{"n": len(sent)}]:
            break
        time.sleep(0.2)
    answer = project.client("sagemaker").describe_feature_group(FeatureGroupName="mlplat-development-customer")
    bucket, _, folder = (
        answer["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"].removeprefix("s3://").partition("/")
    )
    s3 = project.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
    keys = [each["Key"] for page in pages for each in page["Contents"]]
    assert all(key.startswith(f"{folder}/year=2026/month=01/day=01/hour=00/20260101T000000Z_") for key in keys)
    tables = [pq.read_table(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())) for key in keys]
    found = pd.concat([table.to_pandas() for table in tables])
    assert list(found.columns) == [*sent.columns, "write_time", "api_invocation_time", "is_deleted"]
    assert not found["is_deleted"].any()
    found = found.set_index("customer_id").loc[sent["customer_id"]]
    for name in sent.columns.drop("customer_id"):
        assert found[name].tolist() == sent[name].astype(found[name].dtype).tolist(), name


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["query", "SELECT * FROM {peple}"], "unknown feature group 'peple'", "mlplat features describe people"),
        (["query", "SELECT * FROM {live}"], "feature group live: it has no offline store", "feature_groups.live"),
        (["query", "SELECT nothing FROM {people}"], "COLUMN_NOT_FOUND", "mlplat features list"),
        (["query", "SELECT 1", "--out", "a.xls"], "writing a.xls: it ends in none of", "--out a.csv"),
        (["query", "SELECT 1", "--out", "nowhere/a.csv"], "there is no folder nowhere", "mkdir -p nowhere"),
        (["dataset", "--features", "people:agee"], "it has no feature 'agee'; the nearest is age", "describe people"),
        (["dataset", "--features", "people:age", "--time", "when"], "no column when, which says when", "--time=person"),
        (["dataset", "--features", "orders:spend"], "no column number, which names the records", "--key=orders=person"),
        (["dataset", "--features", "people", "--features", "people"], "named twice", "dataset --help"),
        (["dataset", "--features", "people", "--ttl", "9"], "--ttl 9 is not like 90d", ""),
        (["dataset", "--features", "people", "--time", "y"], "wrong.csv:2: column y: '1' is not a time", ""),
    ],
)
def test_what_can_not_be_asked(store: Store, words: list[str], said: str, hint: str) -> None:
    (store.project.folder / "wrong.csv").write_text("person,at,y\n1,2026-01-20T00:00:00Z,1\n")
    if words[0] == "dataset":
        words = [*words, "--labels", "wrong.csv", "--out", "x.csv", *(() if "--time" in words else ("--time", "at"))]
    error = refused("features", *words)
    assert said in error.message
    assert hint in (error.hint or "")
    assert not (store.project.folder / "x.csv").exists()
