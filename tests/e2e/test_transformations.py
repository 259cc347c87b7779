"""Raw files into a feature group: by a pipeline, by a Glue job, by the clock; typed as a person types it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.asking import asked, refused
from tests.e2e.project import EXAMPLE, Project

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

TEXT = """
target = "local"
[approval]
required = false
[feature_groups.people]
record_identifier = "person"
event_time = "at"
features = {{ person = "String", at = "String", age = "Integral" }}
[transformations.people]
script = "people.py"
source = "people/"
max_quarantined = 0.5
{more}
[transformations.people.rules]
age = {{ min = 0 }}
"""
SCRIPT = """
def transform(frame):
    return frame.rename(columns={"name": "person"})
"""


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project.run("init", ".")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS", "0")
    monkeypatch.setenv("MLPLAT_LOCAL__ENFORCE_IAM", "true")  # the roles allow all that is needed
    yield project
    daemon.stop(project.cloud)


def people(project: Project, more: str = "") -> None:
    """A project of one group and its transformation, applied."""
    (project.folder / "config" / "default.toml").write_text("")
    (project.folder / "config" / "development.toml").write_text(TEXT.format(more=more))
    (project.folder / "config" / "people.py").write_text(SCRIPT)
    asked("apply", "--with-dependencies", "--template", "ml_feature_store")


def put(project: Project, name: str, rows: list[dict[str, Any]]) -> None:
    (project.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked("data", "put", "raw/people", name)


def test_the_customers_as_they_come_are_the_records_of_the_example(project: Project) -> None:
    asked("apply", "--with-dependencies", "--template", "ml_feature_store")
    with (EXAMPLE / "data" / "customers.csv").open(newline="") as stream:
        customers = list(csv.DictReader(stream))[:400]
    with (project.folder / "export.csv").open("w", newline="") as stream:
        names = ["rownames", *(name for name in customers[0] if name not in ("customer_id", "event_time"))]
        writer = csv.DictWriter(stream, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(
            {**each, "rownames": each["customer_id"], "state": f" {each['state'].lower()}"} for each in customers
        )
    asked("data", "put", "raw/customers", "export.csv")
    report = asked("features", "transform")
    assert (report["rows"], report["written"], report["quarantined"]) == (400, 400, 0)
    for each in (customers[0], customers[250], customers[-1]):
        [record] = asked("features", "get", "customer", each["customer_id"]).values()
        assert record.pop("event_time") > "2026"
        assert {name: _value(value) for name, value in record.items()} == {
            name: _value(value) for name, value in each.items() if name != "event_time"
        }


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.parametrize("more", ['engine = "processing"', 'engine = "glue"'])
def test_each_engine_writes_what_is_good_and_keeps_what_is_not(project: Project, more: str) -> None:
    people(project, more)
    put(project, "a.jsonl", [{"name": "eve", "age": 30}, {"name": "bob", "age": -1}])
    found = refused("features", "transform")
    assert (found.exit_code, "1 of 2 rows are in quarantine" in found.message) == (3, True)
    assert asked("features", "get", "people", "eve")["eve"]["age"] == "30"
    report = asked("features", "transform", "--report", fails=True)
    [file] = report["files"]
    assert file["reasons"] == {"column age is under 0": 1}
    bucket, _, key = file["quarantine"].removeprefix("s3://").partition("/")
    kept = project.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert json.loads(kept)["values"]["person"] == "bob"
    assert asked("features", "transform")["files"] == []
    put(project, "b.csv", [])
    found = refused("features", "transform")
    assert (found.exit_code, "1 of 1 files were refused" in found.message) == (1, True)


def test_without_files_or_with_a_broken_script_it_says_what_to_do(project: Project) -> None:
    people(project)
    nothing = refused("features", "transform")
    assert (nothing.exit_code, nothing.hint) == (2, "mlplat data put raw/people FILE")
    (project.folder / "config" / "people.py").write_text("def transform(frame):\n    return nothing\n")
    asked("apply", "--template", "ml_feature_store")
    put(project, "a.jsonl", [{"name": "eve", "age": 30}])
    report = asked("features", "transform", fails=True)
    assert report["files"][0]["reason"] == "NameError: name 'nothing' is not defined"
