"""The platform's own roles are enough, and no role is a formality: where IAM is enforced, jobs act as their role."""

from __future__ import annotations

import json

import pytest
from tests.e2e.project import EXAMPLE, Project

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

ENFORCED = {"MLPLAT_LOCAL__ENFORCE_IAM": "true"}


def test_the_platforms_roles_allow_what_it_does_and_no_less(project: Project) -> None:
    project.run("apply", **ENFORCED)
    address = daemon.status(project.cloud)
    assert address is not None
    assert address.enforce_iam
    training = project.start("train")  # beside the search, which has other jobs
    project.run("train", "--tune", MLPLAT_WORKLOADS__CHURN__TUNING__MAX_JOBS="2")
    told = training.communicate(timeout=240)
    assert training.returncode == 0, told
    package = project.json("registry", "list", "churn")[0]["arn"]
    project.client("sagemaker").update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    project.run("deploy")
    rows = str(EXAMPLE / "data" / "holdout.csv")
    answers = project.json("invoke", "churn", "--file", rows, "--by-row", "--label", "churn", "--limit", "20")
    assert answers["failed"] == []
    assert "not authorized" not in (project.cloud / "daemon.log").read_text(), "logs and metrics are refused in silence"
    iam = project.client("iam")
    role = project.json("outputs")["ml_training_infrastructure.role.training"]["name"]
    document = iam.get_role_policy(RoleName=role, PolicyName="data")["PolicyDocument"]
    kept = [each for each in document["Statement"] if each["Sid"] != "ReadObjects"]
    iam.put_role_policy(RoleName=role, PolicyName="data", PolicyDocument=json.dumps({**document, "Statement": kept}))
    refused = project.run("train", "--force", code=1)
    assert "is not authorized to perform: s3:GetObject on resource" in refused.stderr
