"""A change by hand, from the command line: seen by plan and drift, repaired by apply."""

from __future__ import annotations

import pytest
from tests.e2e.project import Project

pytestmark = pytest.mark.e2e

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

    plan = project.run("plan", "--template", "ml_training_infrastructure", code=2).stdout
    assert "by hand →" in plan
    assert "1 of them changed by hand" in plan
    project.run("apply", "--template", "ml_training_infrastructure")
    assert project.json("drift")["counts"]["drifted"] == 0
