"""A feature group whose schema changes: in place where AWS can, otherwise as another version that takes over."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.asking import asked, refused
from tests.e2e.project import Project

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

TEXT = """
target = "local"
[approval]
required = false
[feature_groups.people]
record_identifier = "person"
event_time = "at"
{more}
features = {{ {features} }}
"""
FIRST = 'person = "String", at = "String", age = "Integral", plan = "String"'
SECOND = 'person = "String", at = "String", age = "Fractional", tariff = "String", town = "String"'
ROWS = [
    {"person": "a", "at": "2026-01-01T00:00:00Z", "age": 1, "plan": "x"},
    {"person": "a", "at": "2026-01-02T00:00:00Z", "age": 2},
    {"person": "b", "at": "2026-01-01T00:00:00Z", "age": 3, "plan": "a 'b'"},
    {"person": "c", "at": "2026-01-03T00:00:00Z", "plan": "z"},
]


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project.run("init", ".")
    (project.folder / "config" / "default.toml").write_text("")
    declare(project, FIRST)
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS", "0")
    asked("apply", "--with-dependencies", "--template", "ml_feature_store")
    yield project
    daemon.stop(project.cloud)


def declare(project: Project, features: str, *more: str) -> None:
    text = TEXT.format(features=features, more="\n".join(more))
    (project.folder / "config" / "development.toml").write_text(text)


def write(project: Project, name: str, rows: list[dict[str, Any]]) -> str:
    (project.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def offline(group: str, count: int) -> list[dict[str, Any]]:
    """All rows of the offline store, once there are so many."""
    sql = f"SELECT * FROM {{{group}}} ORDER BY person, at, is_deleted"
    for _ in range(100):
        if len(rows := asked("features", "query", sql)) >= count:
            return list(rows)
        time.sleep(0.3)
    pytest.fail(f"{len(rows)} rows of {count}")


def advice(group: str) -> list[str]:
    return list(asked("features", "version", group)["advice"])


def test_another_version_takes_over_with_all_that_there_was(project: Project) -> None:
    asked("features", "ingest", "people", write(project, "rows.jsonl", ROWS), "--missing-as-null")
    asked("features", "delete", "people", "c")
    before = offline("people", 5)

    declare(project, f'{FIRST}, town = "String"')
    assert advice("people") == ["mlplat apply adds the new features in place"]
    asked("apply")
    assert advice("people") == []

    declare(project, SECOND)
    error = refused("apply")
    assert "Give it the next version in the configuration" in error.message
    assert error.hint == "mlplat features version people --namespace development"
    assert advice("people") == [
        "to change what can't be changed in place, set version = 2 in [feature_groups.people]; "
        "readers = 1 lets readers stay until it is filled"
    ]
    declare(project, SECOND, "version = 2", "readers = 1")
    asked("apply")
    assert refused("features", "retire", "people", "1").message.endswith(
        "readers follow it (feature_groups.people.readers)"
    )
    assert "it is the present one" in refused("features", "retire", "people", "2").message
    assert asked("features", "get", "people", "a")["a"]["age"] == "2"

    told = asked("features", "backfill", "people", "--map", "tariff=plan")
    assert (told["written"], told["deletions"], told["left_empty"]) == (4, 1, [])
    after = offline("people:2", 5)
    keys = ("person", "at", "is_deleted", "town")
    assert [{key: row[key] for key in keys} for row in after] == [{key: row.get(key) for key in keys} for row in before]
    assert [row["tariff"] for row in after] == [row["plan"] for row in before]
    assert [row["age"] for row in after] == [row["age"] for row in before]
    assert asked("features", "backfill", "people", "--map", "tariff=plan")["written"] == 4

    declare(project, SECOND, "version = 2")
    assert asked("features", "get", "people", "a")["a"] == {"person": "a", "at": ROWS[1]["at"], "age": "2"}
    assert "no record of c" in refused("features", "get", "people", "c").message
    assert advice("people") == ["mlplat features retire people 1 deletes version 1, which nobody uses"]
    asked("plan")
    asked("features", "retire", "people", "1")
    assert [each["version"] for each in asked("features", "list")] == [2]
    assert "it isn't there; there is 2" in refused("features", "retire", "people", "1").message


def test_what_can_not_be_filled_is_told(project: Project) -> None:
    assert "there is no version before 1" in refused("features", "backfill", "people").message
    asked("features", "put", "people", "person=a", "age=1")
    declare(project, SECOND, "version = 2")
    asked("apply")
    assert (
        "it has no feature 'plann'; the nearest is plan"
        in refused("features", "backfill", "people", "--map", "tariff=plann").message
    )
    assert "version 2 has no feature plan" in refused("features", "backfill", "people", "--map", "plan=plan").message
    assert "--map tariff is not NEW=OLD" in refused("features", "backfill", "people", "--map", "tariff").message


def test_rows_are_checked_before_they_are_written(project: Project) -> None:
    wrong = [*ROWS, ROWS[0], {"person": "d", "age": "old"}, {"person": "e"}]
    report = asked(
        "features", "validate", "people", write(project, "wrong.jsonl", wrong), "--missing-as-null", fails=True
    )
    assert report["rows"] == 7
    assert (report["unfit"], report["duplicates"], report["without_event_time"]) == (1, 1, 1)
    assert report["wrong"] == [{"row": "wrong.jsonl:6", "reason": "column age: 'old' is not Integral"}]
    ages = next(each for each in report["columns"] if each["name"] == "age")
    assert (ages["nulls"], ages["least"], ages["most"]) == (2, 1.0, 3.0)
    assert offline("people", 0) == []


def test_an_exported_group_is_made_by_the_sagemaker_sdk(project: Project) -> None:
    program = asked("features", "export", "people")["message"]
    described = project.client("sagemaker").describe_feature_group(FeatureGroupName="mlplat-development-people")
    table = described["OfflineStoreConfig"]["DataCatalogConfig"]["TableName"]
    (project.folder / "group.py").write_text(
        program.replace("mlplat-development-people", "people-by-sdk").replace(table, "people_by_sdk")
    )
    address = daemon.status(project.cloud)
    assert address is not None
    subprocess.run(
        [sys.executable, "group.py"], cwd=project.folder, env=project.environment | address.environment(), check=True
    )
    made = project.client("sagemaker").describe_feature_group(FeatureGroupName="people-by-sdk")
    for key in ("FeatureDefinitions", "RecordIdentifierFeatureName", "EventTimeFeatureName", "OnlineStoreConfig"):
        assert made[key] == described[key]
    assert made["OfflineStoreConfig"]["TableFormat"] == "Glue"
