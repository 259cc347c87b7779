"""Who may ask, which operation it is, how the answer looks, and what is written down of it."""

from __future__ import annotations

import concurrent.futures
import io
import json
import threading
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from mlplat.localcloud import request_log

ROLE = "arn:aws:iam::123456789012:role/some-role"


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("service", ["s3", "sts", "ec2", "sagemaker", "kms", "lambda", "sagemaker-runtime", "iam"])
def test_a_wrong_access_key_is_refused_in_the_services_own_words(cloud: Any, service: str) -> None:
    calls = {
        "s3": ("list_buckets", {}),
        "sts": ("get_caller_identity", {}),
        "ec2": ("describe_vpcs", {}),
        "sagemaker": ("list_models", {}),
        "kms": ("list_keys", {}),
        "lambda": ("list_functions", {}),
        "sagemaker-runtime": ("invoke_endpoint", {"EndpointName": "e", "Body": b""}),
        "iam": ("list_roles", {}),
    }
    stranger = boto3.client(
        service,
        endpoint_url=cloud.url,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="x",
        region_name="us-east-1",
    )
    operation, params = calls[service]
    with pytest.raises(ClientError) as caught:
        getattr(stranger, operation)(**params)
    assert caught.value.response["Error"]["Code"] == "InvalidClientTokenId"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_nobody_without_a_signature_gets_anything(cloud: Any) -> None:
    for path in ("/", "/some-bucket/key", "/moto-api/reset", "/moto-api/data.json", "/latest/meta-data/"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(cloud.url + path, method="POST"))
        assert caught.value.code == 403, path


def test_a_presigned_url_works_as_long_as_its_key_does(cloud: Any) -> None:
    s3, bucket = cloud.client("s3"), unique("presigned")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a b/ä.txt", Body=b"hello")
    for version in ("s3v4", "s3"):
        url = cloud.client("s3", signature_version=version).generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": "a b/ä.txt"}
        )
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"hello"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url.replace(cloud.address.access_key, "AKIAIOSFODNN7EXAMPLE"))
        assert caught.value.code == 403
        assert b"<Code>InvalidClientTokenId</Code>" in caught.value.read()


def test_a_key_that_sts_gave_out_is_accepted(cloud: Any) -> None:
    iam, name = cloud.client("iam"), unique("role")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    given = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    assumed = boto3.client(
        "sts",
        endpoint_url=cloud.url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name="us-east-1",
    )
    assert assumed.get_caller_identity()["Arn"].endswith(f"assumed-role/{name}/session")


TRACKING = {"TrackingServerName": "a", "ArtifactStoreUri": "s3://a", "RoleArn": ROLE}
JOB = "arn:aws:sagemaker:us-east-1:123456789012:training-job/job"
METRIC = {"MetricName": "m", "ResourceArn": JOB, "MetricStat": "Min", "Period": "OneMinute", "XAxisType": "Timestamp"}
DELETE = {"FeatureGroupName": "absent", "RecordIdentifierValueAsString": "1", "EventTime": "1"}
UNKNOWN = [
    ("sagemaker", "create_mlflow_tracking_server", TRACKING, "CreateMlflowTrackingServer"),
    ("ec2", "describe_spot_datafeed_subscription", {}, "DescribeSpotDatafeedSubscription"),
    ("iam", "get_service_last_accessed_details", {"JobId": "0" * 36}, "GetServiceLastAccessedDetails"),
    ("glue", "list_blueprints", {}, "ListBlueprints"),
    ("lambda", "get_runtime_management_config", {"FunctionName": "f"}, "GetRuntimeManagementConfig"),
    ("bedrock-runtime", "converse", {"modelId": "m", "messages": []}, "/model/m/converse"),
    ("sagemaker-metrics", "batch_get_metrics", {"MetricQueries": [METRIC]}, "BatchGetMetrics"),
    ("s3", "list_bucket_metrics_configurations", {"Bucket": "any-bucket"}, "ListBucketMetricsConfigurations"),
    ("cloudformation", "list_stacks", {}, "ListStacks"),
]


@pytest.mark.parametrize(("service", "operation", "params", "name"), UNKNOWN, ids=[each[3] for each in UNKNOWN])
def test_what_nobody_implements_is_named_and_not_repeated(
    cloud: Any, service: str, operation: str, params: dict[str, Any], name: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(cloud.client(service), operation)(**params)
    answer = caught.value.response
    assert answer["Error"]["Code"] == "UnknownOperationException"
    assert name in answer["Error"]["Message"]
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["ResponseMetadata"]["RetryAttempts"]) == (400, 0)


def test_data_planes_that_sign_as_sagemaker_are_told_apart(cloud: Any) -> None:
    before = len(cloud.requests())
    asked = {"FeatureGroupName": "absent", "RecordIdentifiersValueAsString": ["1"]}
    for service, operation, params in (
        ("sagemaker", "list_models", {}),
        ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "absent", "Body": b"1"}),
        ("sagemaker-featurestore-runtime", "delete_record", DELETE),
        ("sagemaker-featurestore-runtime", "batch_get_record", {"Identifiers": [asked]}),
    ):  # fmt: skip
        try:
            getattr(cloud.client(service), operation)(**params)
        except ClientError as error:
            assert error.response["Error"]["Code"] not in ("UnknownOperationException", "InternalFailure")
    seen = [(each["service"], each["operation"]) for each in cloud.requests()[before:]]
    assert seen == [
        ("sagemaker", "ListModels"),
        ("sagemaker-runtime", "InvokeEndpoint"),
        ("sagemaker-featurestore-runtime", "DeleteRecord"),
        ("sagemaker-featurestore-runtime", "BatchGetRecord"),
    ]


def test_regions_are_separate(cloud: Any) -> None:
    name = unique("key")
    cloud.client("logs", region="eu-west-1").create_log_group(logGroupName=name)
    assert cloud.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
    found = cloud.client("logs", region="eu-west-1").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert found[0]["arn"].startswith("arn:aws:logs:eu-west-1:123456789012:")


def test_the_log_tells_what_was_asked_and_keeps_no_secret(cloud: Any) -> None:
    s3, bucket = cloud.client("s3"), unique("logged")
    before = len(cloud.requests())
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"a body to keep out")
    s3.head_object(Bucket=bucket, Key="k")
    s3.list_objects_v2(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="absent")
    seen = cloud.requests()[before:]
    assert [(each["operation"], each["status"], each["access"]) for each in seen] == [
        ("CreateBucket", 200, "write"),
        ("PutObject", 200, "write"),
        ("HeadObject", 200, "read"),
        ("ListObjectsV2", 200, "read"),
        ("GetObject", 404, "read"),
    ]
    assert set(seen[0]) == {"time", "service", "operation", "status", "access", "ms", "request_id", "internal"}
    text = (cloud.folder / "requests.jsonl").read_text()
    assert "a body to keep out" not in text
    assert cloud.address.secret_key not in text
    assert cloud.address.access_key not in text


def test_the_log_turns_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "LIMIT", 1000)
    kept = request_log.RequestLog(tmp_path)
    for number in range(100):
        kept.write({"number": number})
    kept.close()
    numbers = [each["number"] for each in request_log.records(tmp_path)]
    assert numbers == list(range(numbers[0], 100))
    assert 10 < len(numbers) < 60
    assert len(list(tmp_path.iterdir())) == 2


def test_sixteen_clients_on_one_bucket_lose_nothing(cloud: Any) -> None:
    bucket, start = unique("busy"), threading.Barrier(16)
    s3 = cloud.client("s3", retries={"total_max_attempts": 1}, max_pool_connections=16)
    s3.create_bucket(Bucket=bucket)

    def work(who: int) -> None:
        start.wait()
        for turn in range(12):
            s3.put_object(Bucket=bucket, Key="shared", Body=f"{who} {turn}".encode() * 50)
            s3.put_object(Bucket=bucket, Key=f"{who}/{turn}", Body=str(turn).encode())
            body = s3.get_object(Bucket=bucket, Key="shared")["Body"].read()
            assert len(set(body.replace(b" ", b""))) <= 4  # one writer's, whole
            s3.list_objects_v2(Bucket=bucket)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for each in [pool.submit(work, who) for who in range(16)]:
            each.result()
    keys = [
        each["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for each in page["Contents"]
    ]
    assert len(keys) == 16 * 12 + 1


def test_sixteen_clients_make_as_many_networks(cloud: Any) -> None:
    ec2 = cloud.client("ec2", retries={"total_max_attempts": 1}, max_pool_connections=16)

    def work(_: int) -> str:
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
        ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_vpc(VpcId=vpc)
        return str(vpc)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(work, range(32)))) == 32


def test_a_failure_inside_is_an_aws_error_and_in_the_daemons_log(cloud: Any) -> None:
    once = cloud.client("sagemaker", retries={"total_max_attempts": 1}, parameter_validation=False)
    with pytest.raises(ClientError) as caught:
        once.create_model_package_group()  # no name: the handler has no such member
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 500)
    if caught.value.response["Error"]["Code"] == "InternalFailure":
        assert "Traceback" in (cloud.folder / "daemon.log").read_text()


def test_uploads_in_parts_and_odd_keys_arrive(cloud: Any) -> None:
    s3, bucket = cloud.client("s3"), unique("odd")
    s3.create_bucket(Bucket=bucket)
    for key in ("plain", "a b", "ü/日本", "per%2Fcent", "q?x=1&y", "plus+", "trailing/", "a//b"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"with_underscore": "1"})
        answer = s3.get_object(Bucket=bucket, Key=key)
        assert (answer["Body"].read(), answer["Metadata"]) == (key.encode(), {"with_underscore": "1"})
    big = bytes(range(256)) * 40_000
    transfer = TransferConfig(multipart_threshold=5_000_000, multipart_chunksize=5_300_000)
    s3.upload_fileobj(io.BytesIO(big), bucket, "big", Config=transfer)
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == big


def test_a_client_that_compresses_is_understood(cloud: Any) -> None:
    cloudwatch = cloud.client("cloudwatch", request_min_compression_size_bytes=1)
    space = unique("metrics")
    cloudwatch.put_metric_data(Namespace=space, MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert [each["MetricName"] for each in cloud.client("cloudwatch").list_metrics(Namespace=space)["Metrics"]] == ["m"]
