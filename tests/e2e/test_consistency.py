"""The whole platform stands up where new objects are not found at first, in one run."""

from __future__ import annotations

import pytest
from tests.e2e.project import Project

from mlplat.localcloud import daemon, request_log

pytestmark = pytest.mark.e2e


def test_an_apply_waits_out_what_is_not_found_yet(project: Project) -> None:
    project.run("local", "start", "--transition-delay", "0", "--eventual-consistency-reads", "3")
    address = daemon.status(project.cloud)
    assert address is not None
    assert address.eventual_consistency_reads == 3
    there = address.environment()
    project.run("apply", "--namespace", "production", "--auto-approve", **there)
    asked = [each for each in request_log.records(project.cloud) if not each["internal"]]
    refused = {each["operation"] for each in asked if each["status"] >= 400}
    assert {"PutRolePolicy", "CreateAlias", "AttachInternetGateway", "CreateFeatureGroup"} <= refused
    assert project.run("plan", "--namespace", "production", **there).stdout.startswith("production: nothing to change")


def test_the_settings_switch_it_on(project: Project) -> None:
    project.run("plan", code=2, MLPLAT_LOCAL__EVENTUAL_CONSISTENCY_READS="2")
    address = daemon.status(project.cloud)
    assert address is not None
    assert address.eventual_consistency_reads == 2
