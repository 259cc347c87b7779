"""`[tags]`: the user's own tags, on everything that can have tags."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.asking import asked
from tests.e2e.project import Project

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project.run("init", ".")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS", "0")
    yield project
    daemon.stop(project.cloud)


def tag(project: Project, team: str) -> None:
    path = project.folder / "config" / "development.toml"
    text = 'target = "local"\n[approval]\nrequired = false\n[monitoring.feature_store]\nenabled = true\n'
    path.write_text(f'{text}[tags]\nteam = "{team}"\n')


def test_they_are_on_every_object_and_follow_the_configuration(project: Project) -> None:
    tag(project, "ml")
    asked("apply")
    tagging, team = project.client("resourcegroupstaggingapi"), "mlplat:namespace"
    pages = tagging.get_paginator("get_resources").paginate(TagFilters=[{"Key": team, "Values": ["development"]}])
    objects = [each for page in pages for each in page["ResourceTagMappingList"]]
    assert len(objects) > 50
    without = [each["ResourceARN"] for each in objects if {"Key": "team", "Value": "ml"} not in each["Tags"]]
    assert without == []
    assert asked("drift")["counts"].get("drifted", 0) == 0
    tag(project, "data")
    assert asked("drift")["counts"].get("drifted", 0) == 0, "the configuration changed, not the objects"
    changed = [each for each in project.json("plan", code=2)["steps"] if each["action"] == "update"]
    assert len(changed) > 50
    assert {change["cause"] for each in changed for change in each["changes"]} == {"config"}
    asked("apply")
    assert {each["action"] for each in project.json("plan")["steps"]} == {"keep"}
