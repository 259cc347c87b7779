"""One feature group, written and read by mlplat, by the SageMaker SDK and by plain boto3, each the others' records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from tests.e2e.asking import asked
from tests.e2e.project import Project
from tests.localcloud.jobs import until

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

GROUP = """
target = "local"
[approval]
required = false
[feature_groups.people]
record_identifier = "id"
event_time = "at"
features = { id = "String", at = "String", age = "Integral", score = "Fractional", plan = "String" }
"""
JANUARY, FEBRUARY, MARCH = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
COLUMNS = ("id", "at", "age", "score", "plan")
MLPLATS = [("a", JANUARY, "30", "0.5", "basic"), ("b", JANUARY, "40", "1.25", ""), ("c", JANUARY, "50", "2.0", "gold")]

PROGRAM = """
import json, sys
import pandas
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.shapes import FeatureValue
from sagemaker.mlops.feature_store import FeatureGroup, create_athena_query, ingest_dataframe, list_records
from sagemaker.mlops.feature_store.dataset_builder import DatasetBuilder

name, bucket, at = sys.argv[1:]
group, session, told = FeatureGroup.get(feature_group_name=name), Session(), {}
record = group.get_record(record_identifier_value_as_string="a").record
told["record"] = {each.feature_name: each.value_as_string for each in record}
told["identifiers"] = sorted(list_records(feature_group_name=name).record_identifiers)
told["types"] = {each.feature_name: each.feature_type for each in group.feature_definitions}
query = create_athena_query(name, session)
query.run(f'SELECT id, age, score, plan FROM "{query.table_name}" WHERE NOT is_deleted', f"s3://{bucket}/sdk/")
query.wait()
told["rows"] = json.loads(query.as_dataframe(dtype=str).sort_values("id").to_json(orient="records"))
builder = DatasetBuilder.create(base=group, output_path=f"s3://{bucket}/sdk", session=session)
frame, _ = builder.to_dataframe()
told["dataset"] = json.loads(frame.sort_values("id").to_json(orient="records"))

def frame(*ids):
    rows = pandas.DataFrame({"id": ids, "at": at, "age": 60, "score": 3.5, "plan": "sdk"})
    return rows.astype({"id": "string", "at": "string", "plan": "string"})
ingest_dataframe(feature_group_name=name, data_frame=frame("d", "e"), max_workers=2, wait=True)
ingest_dataframe(feature_group_name=name, data_frame=frame("f"), use_batch_write_record=True, wait=True)
values = {"id": "a", "at": at, "age": "31", "score": "0.75"}
group.put_record(record=[FeatureValue(feature_name=f, value_as_string=value) for f, value in values.items()])
group.delete_record(record_identifier_value_as_string="c", event_time=at)
print("TOLD" + json.dumps(told))
"""


def by_the_sdk(project: Project, *words: str) -> Any:
    """What the SDK has read, before it wrote: it knows the local cloud by the variables of `mlplat local env` alone."""
    address = daemon.status(project.cloud)
    assert address is not None
    environment = {"PATH": os.environ["PATH"], "HOME": str(project.folder), **address.environment()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        env=environment, cwd=project.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("TOLD"))[4:])


def offline(count: int) -> list[dict[str, Any]]:
    """All rows of the offline store, once it has as many."""
    query = "SELECT id, at, age, score, plan, is_deleted FROM {people} ORDER BY id, at"
    found: list[dict[str, Any]] = until(
        lambda: asked("features", "query", query), lambda rows: len(rows) == count, within=60
    )
    return found


def test_the_sdk_boto3_and_mlplat_read_what_the_others_wrote(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.configure(GROUP)
    (project.folder / "config" / "default.toml").write_text("")
    project.run("apply", "--with-dependencies", "--template", "ml_feature_store")
    monkeypatch.chdir(project.folder)
    outputs = asked("outputs")
    name = outputs["ml_feature_store.feature_group.people"]["name"]
    bucket = outputs["ml_data_infrastructure.bucket.experiments"]["name"]
    lines = [",".join(COLUMNS), *map(",".join, MLPLATS)]
    (project.folder / "people.csv").write_text("\n".join(lines) + "\n")
    assert asked("features", "ingest", "people", "people.csv")["written"] == 3
    offline(3)

    told = by_the_sdk(project, name, bucket, FEBRUARY)
    assert told["record"] == dict(zip(COLUMNS, MLPLATS[0], strict=True))
    assert told["identifiers"] == ["a", "b", "c"]
    assert told["types"] == {
        "id": "String", "at": "String", "age": "Integral", "score": "Fractional", "plan": "String",
    }  # fmt: skip
    kept = [{"id": id, "age": age, "score": score, "plan": plan or None} for id, _, age, score, plan in MLPLATS]
    assert told["rows"] == kept
    numbers = [{"id": row["id"], "age": int(row["age"] or 0), "score": float(row["score"] or 0)} for row in kept]
    assert [{key: row[key] for key in ("id", "age", "score")} for row in told["dataset"]] == numbers

    runtime = project.client("sagemaker-featurestore-runtime")
    found = runtime.get_record(FeatureGroupName=name, RecordIdentifierValueAsString="b")["Record"]
    values = {each["FeatureName"]: each["ValueAsString"] for each in found}
    assert values == {"id": "b", "at": JANUARY, "age": "40", "score": "1.25"}, "a null is no value"

    record = {"id": "g", "at": MARCH, "age": "70", "plan": "boto3"}
    runtime.put_record(
        FeatureGroupName=name, Record=[{"FeatureName": f, "ValueAsString": value} for f, value in record.items()]
    )
    runtime.delete_record(FeatureGroupName=name, RecordIdentifierValueAsString="b", EventTime=MARCH)

    read = asked("features", "get", "people", *"abcdefg", fails=True)
    assert read["a"] == {"id": "a", "at": FEBRUARY, "age": "31", "score": "0.75"}
    assert {key for key, value in read.items() if value is None} == {"b", "c"}
    assert read["d"] == read["f"] | {"id": "d"} == {
        "id": "d", "at": FEBRUARY, "age": "60", "score": "3.5", "plan": "sdk",
    }  # fmt: skip
    assert read["g"] == record
    rows = offline(10)
    assert [(row["id"], row["at"]) for row in rows if row["is_deleted"]] == [("b", MARCH), ("c", FEBRUARY)]
    assert [(row["age"], row["score"], row["plan"]) for row in rows if row["id"] in "ag"] == [
        (30, 0.5, "basic"), (31, 0.75, None), (70, None, "boto3"),
    ]  # fmt: skip
    history = asked("features", "history", "people", "a")
    assert [(each["at"], each["age"]) for each in history] == [(JANUARY, 30), (FEBRUARY, 31)]
    known(project)


def known(project: Project) -> None:
    """A training set of what everybody wrote, at two times."""
    labels = [(id, at) for id in "abcdg" for at in ("2026-01-15T00:00:00Z", "2026-03-15T00:00:00Z")]
    text = "\n".join(["id,event_time", *map(",".join, labels)])
    (project.folder / "labels.csv").write_text(text + "\n")
    asked("features", "dataset", "--labels", "labels.csv", "--features", "people:age", "--out", "set.json")
    found = [json.loads(line) for line in (project.folder / "set.json").read_text().splitlines()]
    ages = {(each["id"], each["event_time"][:7]): each["age"] for each in found}
    assert ages == {
        ("a", "2026-01"): 30, ("a", "2026-03"): 31, ("b", "2026-01"): 40, ("b", "2026-03"): None,
        ("c", "2026-01"): 50, ("c", "2026-03"): None, ("d", "2026-01"): None, ("d", "2026-03"): 60,
        ("g", "2026-01"): None, ("g", "2026-03"): 70,
    }  # fmt: skip
