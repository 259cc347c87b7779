"""What AWS's answers mean: whose fault it is, and where a region belongs."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProxyConnectionError,
    UnauthorizedSSOTokenError,
)

from mlplat.aws import Session, translated
from mlplat.errors import ApiError, CredentialsError, MlplatError, PermissionDenied


def raised(code: str, message: str = "m", status: int = 400) -> MlplatError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(MlplatError) as caught, translated("ec2", "describe_vpcs", repeatable=True):
        raise ClientError(answer, "DescribeVpcs")  # type: ignore[arg-type]
    return caught.value


def test_an_auth_failure_is_about_credentials_only_when_it_says_so() -> None:
    words = "AWS was not able to validate the provided access credentials"
    assert isinstance(raised("AuthFailure", words, 401), CredentialsError)
    other = raised("AuthFailure", "You do not have permission to access the specified resource.")
    assert isinstance(other, ApiError) and not isinstance(other, CredentialsError)


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "AccessForbidden", "UnauthorizedOperation"])
def test_a_missing_permission_is_final(code: str) -> None:
    assert isinstance(raised(code, status=403), PermissionDenied)


URL = "https://sts.us-east-1.amazonaws.com/"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (EndpointConnectionError(endpoint_url=URL), f"curl -sSI {URL}"),
        (ConnectTimeoutError(endpoint_url=URL), f"curl -sSI {URL}"),
        (ProxyConnectionError(proxy_url="http://127.0.0.1:9"), "env | grep -i proxy"),
        (NoCredentialsError(), "aws configure"),
        (UnauthorizedSSOTokenError(), "aws sso login"),
    ],
)
def test_what_keeps_a_call_from_being_sent_is_told_with_what_shows_or_mends_it(error: BotoCoreError, hint: str) -> None:
    with pytest.raises(MlplatError) as caught, translated("sts", "get_caller_identity", repeatable=True):
        raise error
    assert caught.value.hint == hint


PLACES = [(region, partition) for partition in boto3.Session().get_available_partitions()
          for region in boto3.Session().get_available_regions("ec2", partition)]  # fmt: skip


@pytest.mark.parametrize(("region", "partition"), PLACES)
def test_every_region_is_in_its_partition(region: str, partition: str) -> None:
    assert Session("development", region).partition == partition
