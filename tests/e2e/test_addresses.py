"""Local is an address: any namespace honours AWS_ENDPOINT_URL, and only a local one brings its own."""

from __future__ import annotations

import json

import pytest
from tests.e2e.project import Project

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

PROTECTED = ("ml_data_infrastructure.bucket.*", "ml_data_infrastructure.kms_key.*", "ml_feature_store.feature_group.*")
NOWHERE = "http://127.0.0.1:9"


def test_a_local_namespace_overrides_addresses_credentials_and_profiles(project: Project) -> None:
    strangers = {"AWS_ENDPOINT_URL": NOWHERE, "AWS_ENDPOINT_URL_S3": NOWHERE, "AWS_PROFILE": "nobody"}
    project.run("apply", "--template", "ml_data_infrastructure", AWS_ACCESS_KEY_ID="AKIAOTHER", **strangers)
    project.run("plan", "--template", "ml_data_infrastructure", **strangers)


def test_production_stands_up_wherever_aws_is(project: Project) -> None:
    """The whole production platform, NAT gateways and interface endpoints included, by the path that leads to AWS."""
    project.run("local", "start", "--transition-delay", "0")
    address = daemon.status(project.cloud)
    assert address is not None
    there = address.environment()
    refused = project.run("apply", "--namespace", "production", code=2, **there).stderr
    assert "approval is required and there is no terminal" in refused
    assert "hint: mlplat apply --namespace production --auto-approve" in refused
    project.run("apply", "--namespace", "production", "--auto-approve", **there)
    assert project.run("plan", "--namespace", "production", **there).stdout.startswith("production: nothing to change")
    ec2 = project.client("ec2")
    assert len(ec2.describe_nat_gateways()["NatGateways"]) == 2
    interfaces = [
        each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"] if each["VpcEndpointType"] == "Interface"
    ]
    assert len(interfaces) == 11
    everything = ("destroy", "--reverse", "--namespace", "production", "--auto-approve", "--delete-data", "ml_*")
    protected = project.run(*everything, code=1, **there).stderr
    assert "ml_data_infrastructure.kms_key.platform would be destroyed" in protected
    there = {**there, "MLPLAT_LIFECYCLE__PROTECT": json.dumps(dict.fromkeys(PROTECTED, False))}
    unconfirmed = project.run(*everything, code=2, **there).stderr
    assert "This loses data: ml_data_infrastructure.glue_database.catalog (3 tables)" in unconfirmed
    assert f"hint: mlplat {' '.join(everything[:-1])} 'ml_*' --confirm production" in unconfirmed
    project.run(*everything, "--confirm", "production", **there)
    assert project.client("s3").list_buckets()["Buckets"] == []


def test_one_service_may_live_elsewhere(project: Project) -> None:
    project.run("local", "start")
    address = daemon.status(project.cloud)
    assert address is not None
    there = address.environment() | {"AWS_ENDPOINT_URL_KMS": NOWHERE}
    told = project.run("plan", "--namespace", "production", code=1, **there).stderr
    assert "kms" in told
    assert NOWHERE in told
