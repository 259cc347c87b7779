"""Part of a platform from the command line: --target and --exclude."""

from __future__ import annotations

import pytest
from tests.e2e.project import Project

pytestmark = pytest.mark.e2e

DATA = "ml_data_infrastructure"


def test_targets_come_with_what_they_need_and_go_alone(project: Project) -> None:
    project.run("apply", "--target", f"{DATA}.bucket.*")
    applied = project.json("outputs").keys()
    assert {each.split(".")[1] for each in applied} == {"bucket", "kms_key"}
    left_out = project.json("plan", "--exclude", f"{DATA}.kms_key.*", "--template", DATA, code=2)
    assert left_out["excluded_but_needed"] == [f"{DATA}.kms_key.platform"]
    assert f"{DATA}.kms_key.platform" not in {step["address"] for step in left_out["steps"]}
    told = project.run("plan", "--target", f"{DATA}.bucket.row", code=2).stderr
    assert f"hint: mlplat plan --target {DATA}.bucket.raw" in told

    project.run("destroy", "--target", f"{DATA}.bucket.experiments")
    assert project.json("outputs").keys() == applied - {f"{DATA}.bucket.experiments"}
    kept = project.run("destroy", "--reverse", "--exclude", f"{DATA}.bucket.raw").stderr
    assert f"kept {DATA}.bucket.raw: it is excluded" in kept
    assert project.json("outputs").keys() == {f"{DATA}.bucket.raw", f"{DATA}.kms_key.platform"}
