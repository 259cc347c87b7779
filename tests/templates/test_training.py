from __future__ import annotations

from typing import Any

import pytest
from tests.templates.platform import WORKLOAD, allowed, everything, platform, statements

from mlplat.resources import Role

UNSCOPED = {
    "ecr:GetAuthorizationToken": "a token is for the whole registry",
    "cloudwatch:PutMetricData": "metrics are no resources; the namespace is a condition",
    "ec2:DescribeDhcpOptions": "EC2's Describe actions have no resources",
    "ec2:DescribeNetworkInterfaces": "EC2's Describe actions have no resources",
    "ec2:DescribeSecurityGroups": "EC2's Describe actions have no resources",
    "ec2:DescribeSubnets": "EC2's Describe actions have no resources",
    "ec2:DescribeVpcs": "EC2's Describe actions have no resources",
}
"""Actions without resource-level permission (service authorization reference), and why."""

ROLES = (
    "ml_feature_store.role.feature_store",
    "ml_training_infrastructure.role.training",
    "ml_model_serving.role.serving",
)


def role(address: str = ROLES[1], **tables: Any) -> Role:
    found = platform(**tables)[address].resource
    assert isinstance(found, Role)
    return found


@pytest.mark.parametrize("address", ROLES)
def test_nothing_is_allowed_everywhere_that_could_be_named(address: str) -> None:
    found = everything()[address].resource
    assert isinstance(found, Role)
    everywhere = {
        action for statement in statements(found) if "*" in statement["Resource"] for action in statement["Action"]
    }
    assert everywhere <= UNSCOPED.keys()
    for statement in statements(found):
        assert all("*" not in action for action in statement["Action"])
        assert not ("NotAction" in statement or "NotResource" in statement)
        assert statement["Resource"]
        if "*" in statement["Resource"]:
            assert statement["Resource"] == ["*"]


@pytest.mark.parametrize("address", ROLES)
def test_only_sagemaker_assumes_the_roles(address: str) -> None:
    trusted = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    assert role(address).trust["Statement"] == [trusted]
    condition = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    found = role(address, access={"source_account_condition": True})
    assert found.trust["Statement"] == [{**trusted, "Condition": condition}]


@pytest.mark.parametrize("address", ROLES)
def test_a_role_fits_into_iams_limits(address: str) -> None:
    found = everything(network={"zones": 6})[address].resource
    assert isinstance(found, Role)
    written = "".join(str(policy).replace(" ", "") for policy in found.policies.values())
    assert len(written) < 10_240
    assert len(found.name) <= 64
    assert found.name.endswith("us-east-1"), "roles are the account's, namespaces are the region's"


def test_jobs_read_raw_data_and_write_everything_else() -> None:
    buckets = {purpose: f"(ml_data_infrastructure.bucket.{purpose}.arn)/*" for purpose in
               ("raw", "processed", "models", "experiments")}  # fmt: skip
    assert set(allowed(role(), "s3:GetObject")) == set(buckets.values())
    assert set(allowed(role(), "s3:PutObject")) == set(buckets.values()) - {buckets["raw"]}
    assert allowed(role(), "s3:DeleteObject") == []


def test_the_key_is_granted_only_to_services() -> None:
    grants = [each for each in statements(role()) if "kms:CreateGrant" in each["Action"]]
    assert [each["Condition"] for each in grants] == [{"Bool": {"kms:GrantIsForAWSResource": "true"}}]
    assert grants[0]["Action"] == ["kms:CreateGrant"]


def test_logs_go_to_sagemakers_job_groups_only() -> None:
    groups = allowed(role(), "logs:PutLogEvents")
    assert "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/TrainingJobs:*" in groups
    assert not any("Endpoints" in group for group in groups)


def test_metrics_go_to_sagemakers_namespaces_only() -> None:
    published = [each for each in statements(role()) if "cloudwatch:PutMetricData" in each["Action"]]
    assert [each["Condition"]["StringLike"]["cloudwatch:namespace"] for each in published] == [
        ["/aws/sagemaker/*", "aws/sagemaker/*", "AWS/SageMaker*"]
    ]


def test_the_network_is_touched_only_when_jobs_run_in_it() -> None:
    assert "network" not in role().policies
    found = role(training={"in_vpc": True})
    assert allowed(found, "ec2:CreateNetworkInterface") == [
        "arn:aws:ec2:us-east-1:123456789012:network-interface/*",
        "arn:aws:ec2:us-east-1:123456789012:security-group/(ml_data_infrastructure.security_group.workloads.id)",
        "(ml_data_infrastructure.subnet.private_1.arn)",
        "(ml_data_infrastructure.subnet.private_2.arn)",
    ]


def test_an_image_of_ones_own_may_be_pulled_from_its_repository_only() -> None:
    own = {**WORKLOAD, "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/mine:1"}
    pulled = allowed(role(workloads={"churn": own}), "ecr:BatchGetImage")
    assert "arn:aws:ecr:us-east-1:123456789012:repository/team/mine" in pulled
    assert "arn:aws:ecr:us-east-1:683313688378:repository/*" in pulled
    assert "arn:aws:ecr:us-east-1:123456789012:repository/*" not in pulled
