"""Conditions in trust policies: a service assumes a role only for what the policy says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.localcloud.jobs import IMAGE, TRUST, Jobs, channel

ACCOUNT = "123456789012"
ANYTHING = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:*"


@pytest.fixture(scope="module")
def jobs(cloud: Any) -> Jobs:
    return Jobs(cloud)


def policy(**condition: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{**TRUST["Statement"][0], "Condition": condition}]}


def trusting(jobs: Jobs, **condition: Any) -> str:
    return jobs.make_role(policy(**condition))


def arns(kind: str) -> dict[str, str]:
    return {"aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:{kind}/*"}


def job(jobs: Jobs, role: str) -> str:
    """What a training job is refused for: its role, or else its data, which isn't there."""
    nowhere = channel("train", f"s3://{jobs.bucket}/nowhere/")
    return jobs.refused("create_training_job", **jobs.request("", RoleArn=role, InputDataConfig=[nowhere]))[1]


def model(jobs: Jobs, role: str) -> None:
    jobs.sagemaker.create_model(ModelName=jobs.name(), ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})


def test_the_account_counts(jobs: Jobs) -> None:
    assert "Could not assume role" in job(jobs, trusting(jobs, StringEquals={"aws:SourceAccount": "210987654321"}))
    own = trusting(jobs, StringEquals={"aws:SourceAccount": ACCOUNT})
    assert "Could not assume role" not in job(jobs, own)
    model(jobs, own)


def test_a_role_of_training_jobs_is_not_one_of_processing_jobs(jobs: Jobs) -> None:
    assert "Could not assume role" not in job(jobs, trusting(jobs, ArnLike=arns("training-job")))
    other = trusting(jobs, ArnLike=arns("processing-job"))
    code, text = jobs.refused("create_training_job", **jobs.request("", RoleArn=other))
    assert code == "ValidationException" and text.startswith(f"Could not assume role {other}.")


def test_inference_tells_the_accounts_arn(jobs: Jobs) -> None:
    role = trusting(jobs, ArnLike=arns("model"))
    asked = {"ModelName": jobs.name(), "ExecutionRoleArn": role, "PrimaryContainer": {"Image": IMAGE}}
    assert "Could not assume role" in jobs.refused("create_model", **asked)[1]
    model(jobs, trusting(jobs, ArnLike={"aws:SourceArn": ANYTHING}, StringEquals={"aws:SourceAccount": ACCOUNT}))


def test_a_transform_job_needs_the_models_role_for_itself(jobs: Jobs) -> None:
    role, name, uri = trusting(jobs), jobs.name(), f"s3://{jobs.bucket}/none/"
    jobs.sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})
    jobs.client("iam").update_assume_role_policy(
        RoleName=role.rpartition("/")[2], PolicyDocument=json.dumps(policy(ArnLike=arns("training-job")))
    )
    code, text = jobs.refused(
        "create_transform_job",
        TransformJobName=jobs.name(),
        ModelName=name,
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}},
        TransformOutput={"S3OutputPath": uri},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    assert code == "ValidationException" and "Could not assume role" in text
