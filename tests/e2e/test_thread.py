"""The whole thread: a platform stood up, used, changed by hand, killed, repaired and taken down."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import Any

import psutil
import pytest
from tests.e2e.project import EXAMPLE, Project

pytestmark = pytest.mark.e2e

EVERYTHING = ("destroy", "--reverse", "--delete-data", "ml_*")


def writes(project: Project, since: int) -> list[str]:
    return [
        f"{each['service']}.{each['operation']}" for each in project.requests()[since:] if each["access"] == "write"
    ]


def test_a_second_apply_does_nothing_and_a_change_by_hand_is_seen(project: Project) -> None:
    first = project.json("apply")
    assert not first["failed"]
    before = len(project.requests())
    project.run("apply")
    assert writes(project, before) == []
    assert project.run("plan").stdout.startswith("development: nothing to change")

    bucket = project.json("outputs")["ml_data_infrastructure.bucket.raw"]["name"]
    s3 = project.client("s3")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    for rule in rules:
        for move in rule.get("Transitions", []):
            move["Days"] += 5
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    seen = project.run("plan", code=2).stdout
    assert "~ bucket.raw" in seen
    assert "lifecycle" in seen
    assert "35" in seen
    assert "30" in seen
    project.run("apply")
    project.run("plan")


def owned(project: Project) -> Counter[str]:
    """How many objects of each kind that AWS names by id carry an address of ours."""
    ec2 = project.client("ec2")
    found: Counter[str] = Counter()
    for operation, key in (
        ("describe_vpcs", "Vpcs"),
        ("describe_subnets", "Subnets"),
        ("describe_internet_gateways", "InternetGateways"),
        ("describe_route_tables", "RouteTables"),
        ("describe_security_groups", "SecurityGroups"),
        ("describe_vpc_endpoints", "VpcEndpoints"),
        ("describe_flow_logs", "FlowLogs"),
    ):
        for each in getattr(ec2, operation)()[key]:
            tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
            if each.get("State") not in ("deleted", "deleting") and "mlplat:address" in tags:
                found[tags["mlplat:address"]] += 1
    kms = project.client("kms")
    for key in kms.list_keys()["Keys"]:
        tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]}
        if "mlplat:address" in tags:
            found[tags["mlplat:address"]] += 1
    return found


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.8])
def test_an_apply_that_was_killed_converges(project: Project, seconds: float) -> None:
    project.run("local", "start")
    killed = project.start("apply")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(each["access"] == "write" for each in project.requests()):
        time.sleep(0.01)
    time.sleep(seconds)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    project.run("apply")
    project.run("plan")
    assert set(owned(project).values()) == {1}


def test_destroy_leaves_nothing_and_no_process(project: Project) -> None:
    project.run("apply")
    project.run("data", "put", "raw/customers", str(EXAMPLE / "data" / "holdout.csv"))
    kept = project.run("destroy", "--reverse").stderr
    assert "kept ml_data_infrastructure.bucket.raw" in kept
    assert "ml_data_infrastructure.kms_key.platform" in kept
    assert [each["key"] for each in project.json("data", "ls", "raw")] == ["customers/holdout.csv"]
    project.run(*EVERYTHING)
    assert project.json("outputs") == {}
    assert project.client("s3").list_buckets()["Buckets"] == []
    assert project.client("iam").list_roles()["Roles"] == []
    assert project.client("logs").describe_log_groups()["logGroups"] == []
    assert [vpc for vpc in project.client("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    project.run("local", "stop")
    assert running_in(project) == []


def running_in(project: Project) -> list[str]:
    mine = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(project.folder) in word for word in process.info["cmdline"] or []):
            mine.append(" ".join(process.info["cmdline"]))
    return mine


def test_two_models_side_by_side(project: Project) -> None:
    project.run("apply")
    assert project.json("features", "ingest", "customer", str(EXAMPLE / "data" / "customers.csv"))["written"] == 5000
    assert project.json("features", "get", "customer", "7")["7"]["state"] == "MA"
    trained = project.json("train")
    assert trained["metrics"]["validation:auc"] > 0.75
    again = project.json("train")
    assert (again["job"], again["version"]["version"]) == (trained["job"], trained["version"]["version"])
    tuned = project.json("train", "--tune")
    assert tuned["metrics"]["validation:auc"] > trained["metrics"]["validation:auc"]
    unapproved = project.run("deploy", code=2).stderr
    assert "hint: mlplat registry approve" in unapproved
    for version in ("1", "2"):
        project.run("registry", "approve", version)
    project.run("deploy", "--model", "primary=1")
    project.run("deploy", "--variant", "challenger=0.2")
    found = asked(project)
    assert found["primary"]["requests"] + found["challenger"]["requests"] == 500
    assert 0.72 < found["primary"]["share"] < 0.88
    alone = {name: asked(project, "--target-variant", name)[name]["auc"] for name in found}
    assert alone["challenger"] > alone["primary"] > 0.75  # on the same 500; a fifth of them is too few to compare by
    weights_only(project)
    the_state_is_lost(project)
    bad_requests(project)


def asked(project: Project, *words: str) -> dict[str, dict[str, Any]]:
    rows = str(EXAMPLE / "data" / "holdout.csv")
    told = project.json("invoke", "churn", "--file", rows, "--by-row", "--label", "churn", "--limit", "500", *words)
    assert told["failed"] == []
    return {each["variant"]: each for each in told["variants"]}


def weights_only(project: Project) -> None:
    """Moving traffic is one call in place: no new model, config or update of the endpoint."""
    before = len(project.requests())
    project.run("deploy", "--variant", "challenger=0.5")
    assert writes(project, before) == ["sagemaker.UpdateEndpointWeightsAndCapacities"]
    before = len(project.requests())
    project.run("deploy", "--variant", "challenger=0.5")
    project.run("apply")
    assert writes(project, before) == []


def the_state_is_lost(project: Project) -> None:
    """Everything is found again by tags and names, and the release is read back from the live endpoint."""
    (project.folder / ".mlplat" / "development.state.json").unlink()
    before = len(project.requests())
    assert "the state knows nothing" in project.run(*EVERYTHING, code=2).stderr
    project.run("apply")
    assert writes(project, before) == []
    served = {each["variant"]: (each["version"], each["weight"]) for each in project.json("status")["endpoints"]}
    assert served == {"primary": (1, 0.5), "challenger": (2, 0.5)}
    assert project.run("plan").stdout.startswith("development: nothing to change")


def bad_requests(project: Project) -> None:
    """Wrong input to a running endpoint says what is wrong and leaves it running."""
    assert "unknown variant 'chalenger'" in project.run("deploy", "--model", "chalenger=2", code=2).stderr
    assert "its versions are 2, 1" in project.run("deploy", "--model", "primary=9", code=2).stderr
    refused = project.run("invoke", "churn", "--data", "not,a,customer", code=1).stderr
    assert "error: invoking endpoint mlplat-development-churn: ModelError" in refused
    assert "hint: aws logs tail /aws/sagemaker/Endpoints/mlplat-development-churn" in refused
    project.run("invoke", "churn", "--data", "{", "--target-variant", "nobody", code=1)
