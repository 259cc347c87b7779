"""`lifecycle.protect` from the configuration to the refusal."""

from __future__ import annotations

import pytest
from tests.e2e.project import Project

pytestmark = pytest.mark.e2e

RAW = "ml_data_infrastructure.bucket.raw"


def test_what_the_settings_protect_is_not_destroyed(project: Project) -> None:
    project.configure('target = "local"\n[approval]\nrequired = false\n[lifecycle]\nprotect = ["*.bucket.r*"]\n')
    project.run("apply", "--target", RAW)
    told = project.run("destroy", "--reverse", code=1).stderr
    assert f"lifecycle.protect (config/development.toml:5) forbids it: {RAW} would be destroyed" in told
    assert f"hint: mlplat destroy --reverse --exclude {RAW} --namespace development" in told
    assert RAW in project.json("outputs")
    assert project.json("status")["namespace"] == "development"
    project.configure('target = "local"\n[approval]\nrequired = false\n')
    project.run("destroy", "--reverse")
    assert project.json("outputs") == {}


def test_production_protects_what_holds_data(project: Project) -> None:
    shown = project.json("config", "show", "--namespace", "production")
    assert "ml_data_infrastructure.kms_key.*" in str(shown)
