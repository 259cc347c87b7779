"""What is final: never repeated, named, and with a hint that can be run."""

from __future__ import annotations

import re
import shlex
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.aws.clock import Clock

from mlplat.aws import Client, Session
from mlplat.aws.final import QUOTAS, Quota
from mlplat.errors import ApiError, PermissionDenied, QuotaExceeded, telling

ROLE = "arn:aws:sts::123456789012:assumed-role/deployer/me"
NO_POLICY = "because no identity-based policy allows the sagemaker:CreateModel action"
DENIED = (
    f"User: {ROLE} is not authorized to perform: sagemaker:CreateModel on resource: arn:aws:x:::model/m {NO_POLICY}"
)
ENCODED = "You are not authorized to perform this operation. Encoded authorization failure message: 3nc0ded-_X"
LIMIT = "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances"


class Boto:
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
        self.calls = 0

    def __getattr__(self, operation: str) -> Any:
        def call(**_: Any) -> None:
            self.calls += 1
            raise ClientError(self.error, operation)  # type: ignore[arg-type]

        return call


def refused(service: str, operation: str, code: str, message: str, status: int = 400) -> ApiError:
    """The error of the call, which was made once."""
    boto, session = Boto(code, message, status), Session("development", "eu-west-1")
    with pytest.raises(ApiError) as caught:
        session.patiently(getattr(Client(session, service, boto), operation))
    assert boto.calls == 1
    return caught.value


NAMES = {
    "sagemaker": "ResourceLimitExceeded", "s3": "TooManyBuckets", "iam": "LimitExceeded",
    "kms": "LimitExceededException", "glue": "ResourceNumberLimitExceededException", "logs": "LimitExceededException",
    "cloudwatch": "LimitExceededFault", "events": "LimitExceededException",
    "lambda": "CodeStorageExceededException", "application-autoscaling": "LimitExceededException",
    "sns": "TopicLimitExceeded", "scheduler": "ServiceQuotaExceededException",
}  # fmt: skip


@pytest.mark.parametrize(("service", "code"), NAMES.items())
def test_a_quota_is_final_and_named(service: str, code: str, clock: Clock) -> None:
    error = refused(service, "create_it", code, "there are enough")
    assert isinstance(error, QuotaExceeded)
    assert code in error.message
    owner = next(quota.owner for quota in QUOTAS if quota.service == service)
    region = "us-east-1" if service == "iam" else "eu-west-1"
    assert error.hint == f"aws service-quotas list-service-quotas --service-code {owner} --region {region}"


@pytest.mark.parametrize(
    ("code", "owner"),
    [
        ("VpcLimitExceeded", "vpc"),
        ("NatGatewayLimitExceeded", "vpc"),
        ("RulesPerSecurityGroupLimitExceeded", "vpc"),
        ("AddressLimitExceeded", "ec2"),
    ],
)
def test_the_quotas_of_a_network_are_those_of_two_services(code: str, owner: str, clock: Clock) -> None:
    assert f"--service-code {owner} " in str(refused("ec2", "create_vpc", code, "The maximum number").hint)


def test_the_quota_that_is_named_is_looked_up() -> None:
    hint = str(refused("sagemaker", "create_training_job", "ResourceLimitExceeded", LIMIT).hint)
    assert shlex.split(hint)[-1] == "Quotas[?QuotaName=='ml.m5.large for training job usage']"


def test_a_quota_keeps_its_hint_whatever_was_done() -> None:
    error = refused("sagemaker", "create_training_job", "ResourceLimitExceeded", LIMIT)
    with (
        pytest.raises(QuotaExceeded, match="starting training job j: ResourceLimitExceeded") as caught,
        telling("starting training job j", "mlplat config show training"),
    ):
        raise error
    assert caught.value.hint == error.hint


def test_a_missing_permission_names_action_and_resource(clock: Clock) -> None:
    error = refused("sagemaker", "create_model", "AccessDeniedException", DENIED)
    assert isinstance(error, PermissionDenied)
    assert "sagemaker:CreateModel on resource: arn:aws:x:::model/m" in error.message
    hint = str(error.hint)
    assert hint.startswith('aws iam simulate-principal-policy --policy-source-arn "$(aws iam get-role')
    assert hint.endswith("--role-name deployer --query Role.Arn --output text)\" --action-names sagemaker:CreateModel "
                         "--resource-arns arn:aws:x:::model/m")  # fmt: skip


def test_a_user_is_looked_up_as_it_is() -> None:
    said = (
        "User: arn:aws:iam::123456789012:user/dev/me is not authorized to perform: iam:CreateRole on resource: role r"
    )
    hint = str(refused("iam", "create_role", "AccessDenied", said, 403).hint)
    assert "--policy-source-arn arn:aws:iam::123456789012:user/dev/me --action-names iam:CreateRole" in hint


def test_what_ec2_encodes_is_decoded_by_the_hint_and_left_out_of_the_message() -> None:
    error = refused("ec2", "create_vpc", "UnauthorizedOperation", ENCODED, 403)
    assert "3nc0ded" not in error.message
    assert str(error.hint).startswith("aws sts decode-authorization-message --encoded-message 3nc0ded-_X ")


def test_one_that_names_nothing_is_told_with_the_call() -> None:
    error = refused("s3", "create_bucket", "AccessDenied", "Access Denied", 403).said_while("creating bucket b")
    assert error.message == "creating bucket b: AccessDenied: Access Denied (s3 create_bucket)"
    assert error.hint == "aws sts get-caller-identity"


@pytest.mark.parametrize(
    ("required", "kind"), [("Required Create Database on Catalog", "CATALOG"), ("Required Describe on db", "DATABASE")]
)
def test_lake_formation_is_named_and_never_repeated(required: str, kind: str, clock: Clock) -> None:
    said = f"Insufficient Lake Formation permission(s): {required}"
    error = refused("glue", "create_database", "AccessDeniedException", said)
    assert isinstance(error, PermissionDenied)
    assert required in error.message
    assert error.hint == f"aws lakeformation list-permissions --resource-type {kind}"


@pytest.mark.parametrize("quota", QUOTAS, ids=lambda quota: f"{quota.service}-{quota.owner}")
def test_quotas_name_what_aws_has(quota: Quota) -> None:
    model = boto3.client(quota.service, region_name="us-east-1").meta.service_model  # type: ignore[call-overload]
    known = {str(shape.error_code or shape.name) for shape in model.error_shapes}
    assert any(re.fullmatch(quota.codes, code) for code in known) or quota.service in ("ec2", "s3")
