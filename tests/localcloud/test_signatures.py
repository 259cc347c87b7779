"""Only who has the secret is answered: signatures are checked as AWS checks them, on every request."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import psutil
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError


def client(cloud: Any, service: str, key: str, secret: str, token: str | None = None, **config: Any) -> Any:
    session = boto3.Session(key, secret, token, region_name="us-east-1")
    return session.client(service, endpoint_url=cloud.url, config=Config(**config))


def code(call: Any, **parameters: Any) -> tuple[str, int]:
    """The refusal's code and status."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response: Any = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named, method=method)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("s3", "list_buckets", ("SignatureDoesNotMatch", 403)),
        ("ec2", "describe_vpcs", ("AuthFailure", 401)),
        ("iam", "list_roles", ("SignatureDoesNotMatch", 403)),
        ("sts", "get_caller_identity", ("SignatureDoesNotMatch", 403)),
        ("sagemaker", "list_models", ("InvalidSignatureException", 403)),
        ("kms", "list_keys", ("InvalidSignatureException", 403)),
        ("logs", "describe_log_groups", ("InvalidSignatureException", 403)),
    ],
)
def test_the_access_key_alone_is_not_enough(
    cloud: Any, service: str, operation: str, expected: tuple[str, int]
) -> None:
    guessed = client(cloud, service, cloud.address.access_key, "guessed")
    assert code(getattr(guessed, operation)) == expected


def test_data_planes_are_closed_too(cloud: Any) -> None:
    key = cloud.address.access_key
    runtime, records = (
        client(cloud, s, key, "guessed") for s in ("sagemaker-runtime", "sagemaker-featurestore-runtime")
    )
    assert code(runtime.invoke_endpoint, EndpointName="e", Body=b"x") == ("InvalidSignatureException", 403)
    asked = {"FeatureGroupName": "g", "RecordIdentifierValueAsString": "1"}
    assert code(records.get_record, **asked) == ("InvalidSignatureException", 403)


def signed(cloud: Any, service: str = "sagemaker", **change: Any) -> AWSRequest:
    body = b'{"NameContains": "x"}'
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", f"{cloud.url}/", headers, body)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(Credentials(cloud.address.access_key, cloud.address.secret_key), service, "us-east-1").add_auth(request)
    return request


def test_what_was_signed_is_what_must_come(cloud: Any) -> None:
    request = signed(cloud)
    headers = {name: str(value) for name, value in request.headers.items()}
    assert ask(request.url, "POST", request.data, **headers)[0] == 200
    assert ask(request.url, "POST", b'{"NameContains": "y"}', **headers)[0] == 403
    assert ask(f"{request.url}?a=b", "POST", request.data, **headers)[0] == 403
    assert ask(request.url, "POST", request.data, **{**headers, "X-Amz-Target": "SageMaker.ListEndpoints"})[0] == 403
    other = headers["Authorization"].replace("us-east-1", "eu-west-1")
    assert ask(request.url, "POST", request.data, **{**headers, "Authorization": other})[0] == 403
    bare = headers["Authorization"].partition(", SignedHeaders")[0]
    assert ask(request.url, "POST", request.data, **{**headers, "Authorization": bare})[0] == 403


def test_an_old_request_is_not_answered_again(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore import auth

    monkeypatch.setattr(
        auth, "get_current_datetime", lambda: datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    )
    assert code(cloud.client("s3").list_buckets) == ("RequestTimeTooSkewed", 403)
    assert code(cloud.client("sagemaker").list_models) == ("InvalidSignatureException", 403)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls(cloud: Any, version: str) -> None:
    s3 = client(cloud, "s3", cloud.address.access_key, cloud.address.secret_key, signature_version=version)
    bucket, name = f"presigned-{version}", "ä b/+?x=1"
    s3.create_bucket(Bucket=bucket)
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": name, "ContentType": "text/x"})
    assert ask(put, "PUT", b"content", Content_Type="text/x")[0] == 200
    assert ask(put, "PUT", b"content", Content_Type="text/y")[0] == 403
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": name})
    assert ask(get) == (200, "content")
    assert ask(get.replace(bucket, f"{bucket}-other"))[0] == 403
    assert ask(get, "DELETE")[0] == 403
    late = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": name}, ExpiresIn=-1)
    status, text = ask(late)
    assert (status, "Request has expired" in text) == (403, True)


def test_keys_that_are_odd_are_signed_as_they_are_sent(cloud: Any) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="odd-keys")
    for name in ("a//b", "a/../b", "a b+c%20d", "ä/日本", "~!*'()", "a?b&c=d", "trailing/"):
        s3.put_object(Bucket="odd-keys", Key=name, Body=name.encode(), Metadata={"x_y": "two  spaces"})
        assert s3.get_object(Bucket="odd-keys", Key=name)["Body"].read() == name.encode()
        assert s3.list_objects_v2(Bucket="odd-keys", Prefix=name)["Contents"][0]["Key"] == name


def test_keys_that_iam_has_issued(cloud: Any) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="signer")
    made = iam.create_access_key(UserName="signer")["AccessKey"]
    theirs = (made["AccessKeyId"], made["SecretAccessKey"])
    assert client(cloud, "s3", *theirs).list_buckets()["Buckets"] is not None
    assert code(client(cloud, "s3", theirs[0], "wrong").list_buckets) == ("SignatureDoesNotMatch", 403)
    iam.update_access_key(UserName="signer", AccessKeyId=theirs[0], Status="Inactive")
    assert code(client(cloud, "s3", *theirs).list_buckets) == ("InvalidClientTokenId", 403)


def test_sessions_of_roles(cloud: Any) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = cloud.client("iam").create_role(
        RoleName="assumed", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", **trust})
    )
    given = cloud.client("sts").assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="me")["Credentials"]
    key, secret, token = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    assert ":assumed-role/assumed/me" in client(cloud, "sts", key, secret, token).get_caller_identity()["Arn"]
    assert code(client(cloud, "s3", key, secret, "another").list_buckets) == ("InvalidClientTokenId", 403)
    assert code(client(cloud, "s3", key, "wrong", token).list_buckets) == ("SignatureDoesNotMatch", 403)


def test_another_name_of_this_machine_is_not_answered(cloud: Any) -> None:
    """A page of evil.example whose name points to 127.0.0.1 may read our answers, unless there are none."""
    port = cloud.url.rpartition(":")[2]
    for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", ""):
        assert ask(f"{cloud.url}/_localcloud/ping", Host=host)[0] == 421, host
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"bucket.localhost:{port}"):
        assert ask(f"{cloud.url}/_localcloud/ping", Host=host)[0] == 200, host


def test_what_runs_inside_is_told_to_who_knows_the_secret(cloud: Any) -> None:
    address = cloud.address
    ping = f"{cloud.url}/_localcloud/ping"
    assert list(json.loads(ask(ping)[1])) == ["instance"]
    assert list(json.loads(ask(ping, X_Secret_Key=address.access_key)[1])) == ["instance"]
    assert "children" in json.loads(ask(ping, X_Secret_Key=address.secret_key)[1])


def test_only_this_machine_can_reach_it(cloud: Any) -> None:
    listening = [
        each.laddr.ip
        for each in psutil.Process(cloud.address.pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]
