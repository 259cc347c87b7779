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


def tag(project: Project, **tags: str) -> None:
    path = project.folder / "config" / "development.toml"
    text = 'target = "local"\n[approval]\nrequired = false\n[monitoring.feature_store]\nenabled = true\n'
    path.write_text("\n".join([f"{text}[tags]", *(f'{key} = "{value}"' for key, value in tags.items())]) + "\n")


def tagged(project: Project) -> dict[str, dict[str, str]]:
    """The tags of every object of the namespace that the tagging API lists, by its ARN."""
    ours = [{"Key": "mlplat:namespace", "Values": ["development"]}]
    pages = project.client("resourcegroupstaggingapi").get_paginator("get_resources").paginate(TagFilters=ours)
    listed = [each for page in pages for each in page["ResourceTagMappingList"]]
    return {each["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in each["Tags"]} for each in listed}


def test_they_are_on_every_object_and_follow_the_configuration(project: Project) -> None:
    tag(project, team="ml", cost="b")
    asked("apply")
    objects = tagged(project)
    assert len(objects) > 50
    assert [arn for arn, tags in objects.items() if (tags.get("team"), tags.get("cost")) != ("ml", "b")] == []
    assert asked("drift")["counts"].get("drifted", 0) == 0
    bucket = next(arn for arn in objects if arn.startswith("arn:aws:s3:::"))
    project.client("resourcegroupstaggingapi").tag_resources(ResourceARNList=[bucket], Tags={"owner": "somebody"})
    tag(project, team="ml")
    assert "tags.cost: b → (none)" in project.run("plan", code=2).stdout
    asked("apply")
    after = tagged(project)
    assert [arn for arn, tags in after.items() if "cost" in tags] == []
    assert {**after[bucket], "cost": "b"} == {**objects[bucket], "owner": "somebody"}
    assert asked("apply")["done"] == []
    tag(project, team="data")
    assert asked("drift")["counts"].get("drifted", 0) == 0, "the configuration changed, not the objects"
    changed = [each for each in project.json("plan", code=2)["steps"] if each["action"] == "update"]
    assert len(changed) > 50
    assert {change["cause"] for each in changed for change in each["changes"]} == {"config"}
    asked("apply")
    assert {each["action"] for each in project.json("plan")["steps"]} == {"keep"}
