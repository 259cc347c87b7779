"""`lifecycle.protect` from the configuration to the refusal."""

from __future__ import annotations

import pytest
from tests.e2e.project import Project

pytestmark = pytest.mark.e2e

RAW = "ml_data_infrastructure.bucket.raw"
FREE = 'target = "local"\n[approval]\nrequired = false\n'


def test_what_the_settings_protect_is_not_destroyed(project: Project) -> None:
    project.configure(f'{FREE}[lifecycle.protect]\n"*.bucket.r*" = true\n')
    project.run("apply", "--target", RAW)
    told = project.run("destroy", "--reverse", code=1).stderr
    key = 'lifecycle.protect."*.bucket.r*" (config/development.toml:5)'
    assert f"{RAW} would be destroyed (destroy), which {key} forbids" in told
    assert f"hint: mlplat destroy --reverse --exclude {RAW} --namespace development" in told
    assert RAW in project.json("outputs")
    assert project.json("status")["namespace"] == "development"
    project.configure(f'{FREE}[lifecycle.protect]\n"*.bucket.r*" = true\n"{RAW}" = false\n')
    project.run("destroy", "--reverse")
    assert project.json("outputs") == {}


def test_production_protects_what_holds_data(project: Project) -> None:
    shown = project.json("config", "show", "--namespace", "production")
    assert shown["settings"]["lifecycle"]["protect"] == {
        "ml_data_infrastructure.bucket.*": True,
        "ml_data_infrastructure.kms_key.*": True,
        "ml_feature_store.feature_group.*": True,
    }


def test_a_line_that_protects_nothing_is_refused(project: Project) -> None:
    project.configure(f'{FREE}[lifecycle.protect]\n"ml_data_infrastructure.buckets.*" = true\n')
    told = project.run("plan", code=2).stderr
    assert 'config/development.toml:5: lifecycle.protect."ml_data_infrastructure.buckets.*": no template has' in told
    assert 'did you mean "ml_data_infrastructure.bucket.*"?' in told
    project.configure(f'{FREE}[lifecycle.protect]\n"{RAW}s" = true\n"{RAW[:-1]}" = false\n')
    told = project.run("plan", code=2).stderr
    line = f'config/development.toml:5: lifecycle.protect."{RAW}s": nothing has this address; did you mean "{RAW}"?'
    assert line in told
    assert line in project.run("destroy", "--reverse", code=2).stderr
    moved = f'[[moved]]\nfrom = "{RAW}s"\nto = "{RAW}"\n'
    project.configure(f'{FREE}[lifecycle.protect]\n"{RAW}s" = true\n{moved}')
    assert f'nothing has this address; it is now "{RAW}"' in project.run("plan", code=2).stderr
    project.configure(f'{FREE}[lifecycle.protect]\n"{RAW}" = "yes"\n')
    assert f'lifecycle.protect."{RAW}" = "yes": must be true or false' in project.run("plan", code=2).stderr
    project.configure(f'{FREE}[lifecycle]\nprotect = ["{RAW}"]\n')
    assert "lifecycle.protect" in project.run("plan", code=2).stderr
