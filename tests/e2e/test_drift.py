"""A change by hand, from the command line: seen by plan and drift, repaired by apply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.e2e.project import Project

from mlplat.reconciler.state import Store

pytestmark = pytest.mark.e2e

KEY = "ml_data_infrastructure.kms_key.platform"
ROLE = "ml_training_infrastructure.role.training"


def test_what_somebody_changed_by_hand_is_told_apart_and_repaired(project: Project) -> None:
    project.run("apply", "--template", "ml_training_infrastructure", "--with-dependencies")
    clean = project.json("drift")
    assert clean["counts"] == {"drifted": 0, "clean": len(clean["addresses"]), "not checked": 0}
    name = project.json("outputs", ROLE)[ROLE]["name"]
    project.client("iam").update_role(RoleName=name, Description="by hand")

    seen = project.json("drift", code=2)
    (drifted,) = [each for each in seen["addresses"] if each["verdict"] == "drifted"]
    assert drifted["address"] == ROLE
    assert [(each["field"], each["now"]) for each in drifted["changes"]] == [("description", "by hand")]
    told = project.run("drift", code=2)
    assert f"! {ROLE}  changed by hand: description" in told.stdout
    assert "hint: mlplat apply --namespace development" in told.stderr
    assert project.json("drift", "--template", "ml_data_infrastructure")["counts"]["drifted"] == 0

    with Store(project.folder / ".mlplat", "development").edit() as state:  # as a kill in the middle leaves it
        state.entries[KEY] = replace(state.entries[KEY], intent={"verb": "update"})
    seen = project.json("drift", code=2)
    assert seen["counts"] == {"drifted": 1, "clean": len(clean["addresses"]) - 2, "not checked": 1}
    (unread,) = [each for each in seen["addresses"] if each["verdict"] == "not checked"]
    assert (unread["address"], unread["reason"]) == (KEY, "its update was broken off; apply finishes it")
    assert KEY in project.run("drift", "--template", "ml_data_infrastructure", code=1).stdout

    plan = project.run("plan", "--template", "ml_training_infrastructure", code=2).stdout
    assert "by hand →" in plan
    assert "1 of them changed by hand" in plan
    project.run("apply", "--template", "ml_training_infrastructure", "--with-dependencies")
    assert project.json("drift")["counts"] == clean["counts"]
