"""Requests that the service's model doesn't allow: refused before anything happens, in the service's own words."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from mlplat.localcloud.validation import patterns

ROLE = "arn:aws:iam::123456789012:role/some-role"


@pytest.fixture(scope="module")
def loose(cloud: Any) -> Callable[[str], Any]:
    """Clients that send what they are given, as other languages' do."""
    return lambda service: cloud.client(service, parameter_validation=False)


def refusal(call: Callable[..., Any], **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


REFUSED: list[tuple[str, str, dict[str, Any], str, str]] = [
    (
        "logs", "describe_log_streams", {"logGroupIdentifier": "a*"}, "InvalidParameterException",
        "1 validation error detected: Value at 'logGroupIdentifier' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [\\w#+=/:,.@-]*",
    ),
    (
        "sagemaker", "describe_endpoint", {"EndpointName": "under_score"}, "ValidationException",
        "1 validation error detected: Value 'under_score' at 'endpointName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    ),
    (
        "sagemaker", "create_model", {"ModelName": "a" * 64, "ExecutionRoleArn": ROLE}, "ValidationException",
        "Member must have length less than or equal to 63",
    ),
    (
        "sagemaker", "create_model", {"ModelName": "m", "Tags": [{"Key": "k"}]}, "ValidationException",
        "1 validation error detected: Value null at 'tags.1.member.value' failed to satisfy constraint: "
        "Member must not be null",
    ),
    (
        "sagemaker-featurestore-runtime", "get_record",
        {"FeatureGroupName": "_", "RecordIdentifierValueAsString": "1"}, "ValidationError",
        "Value '_' at 'featureGroupName' failed to satisfy constraint",
    ),
    ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "_", "Body": b""}, "ValidationError",
     "Value '_' at 'endpointName' failed to satisfy constraint"),
    ("kms", "generate_random", {"NumberOfBytes": 1025}, "ValidationException",
     "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: "
     "Member must have value less than or equal to 1024"),
    ("kms", "encrypt", {"KeyId": "k", "Plaintext": b"x" * 4097}, "ValidationException",
     "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: "
     "Member must have length less than or equal to 4096"),
    ("logs", "filter_log_events", {"logGroupName": "g", "limit": 10001}, "InvalidParameterException",
     "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: "
     "Member must have value less than or equal to 10000"),
    ("logs", "put_delivery_destination", {"name": "n", "outputFormat": "foobar"}, "ValidationException",
     "1 validation error detected: Value 'foobar' at 'outputFormat' failed to satisfy constraint: "
     "Member must satisfy enum value set: ["),
    ("glue", "get_database", {"Name": ""}, "ValidationException",
     "1 validation error detected: Value '' at 'name' failed to satisfy constraint: "
     "Member must have length greater than or equal to 1"),
    ("iam", "create_role", {"RoleName": "a" * 65, "AssumeRolePolicyDocument": "{}"}, "ValidationError",
     "1 validation error detected: Value at 'roleName' failed to satisfy constraint: "
     "Member must have length less than or equal to 64"),
    ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "Session1:2"}, "ValidationError",
     "1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: "
     r"Member must satisfy regular expression pattern: [\w+=,.@-]*"),
    ("events", "put_targets", {"Rule": "r", "Targets": [{"Id": "!@#$@!#$", "Arn": "a"}]}, "ValidationException",
     "1 validation error detected: Value '!@#$@!#$' at 'targets.1.member.id' failed to satisfy constraint: "
     r"Member must satisfy regular expression pattern: [\.\-_A-Za-z0-9]+"),
    ("events", "put_rule", {"Name": "no good name " + "x" * 60}, "ValidationException",
     "2 validation errors detected: "),
    ("apigateway", "create_rest_api", {"name": "n", "endpointConfiguration": {"types": ["wrong"]}},
     "ValidationException",
     "1 validation error detected: Value '[wrong]' at 'createRestApiInput.endpointConfiguration.types' failed to "
     "satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: ["),
    ("cloudwatch", "set_alarm_state", {"AlarmName": "a", "StateValue": "INVALID", "StateReason": "r"},
     "ValidationError", "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy constraint: "
     "Member must satisfy enum value set: ["),
    ("application-autoscaling", "register_scalable_target",
     {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v", "ScalableDimension": "nothing"},
     "ValidationException", "Value 'nothing' at 'scalableDimension' failed to satisfy constraint: "),
    ("ec2", "create_subnet", {"CidrBlock": "10.0.0.0/24"}, "MissingParameter",
     "The request must contain the parameter VpcId"),
    ("ec2", "create_nat_gateway", {"SubnetId": "subnet-1", "ConnectivityType": "secret"}, "InvalidParameterValue",
     "Value (secret) for parameter ConnectivityType is invalid."),
    ("s3", "put_object", {"Bucket": "b-b-b", "Key": "k", "StorageClass": "COLD"}, "InvalidStorageClass",
     "The storage class you specified is not valid"),
    ("s3", "put_bucket_versioning", {"Bucket": "b-b-b", "VersioningConfiguration": {"Status": "On"}}, "MalformedXML",
     "The XML you provided was not well-formed or did not validate against our published schema"),
    ("s3", "create_bucket", {"Bucket": "b-b-b", "ObjectOwnership": "Nobody"}, "InvalidArgument",
     "Invalid x-amz-object-ownership header: Nobody"),
    ("s3", "list_objects_v2", {"Bucket": "b-b-b", "EncodingType": "morse"}, "InvalidArgument",
     "Invalid Encoding Method specified in Request"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("service", "operation", "params", "code", "message"),
    REFUSED,
    ids=[f"{each[0]}-{each[1]}-{number}" for number, each in enumerate(REFUSED)],
)
def test_each_service_refuses_in_its_own_words(
    loose: Any, service: str, operation: str, params: dict[str, Any], code: str, message: str
) -> None:
    said = refusal(getattr(loose(service), operation), **params)
    assert said[:2] == (400, code)
    assert message in said[2]


def test_what_is_refused_leaves_nothing_behind(loose: Any, cloud: Any) -> None:
    name = "refused-" + "x" * 60
    refusal(loose("iam").create_role, RoleName=name, AssumeRolePolicyDocument="{}")
    assert refusal(cloud.client("iam").get_role, RoleName=name[:64])[1] == "NoSuchEntity"


def test_many_faults_are_told_in_one_message_with_values_as_java_prints_them(loose: Any) -> None:
    said = refusal(
        loose("sagemaker").create_training_job,
        TrainingJobName="a_b",
        RoleArn=ROLE,
        HyperParameters={"x": "y" * 2501, "z": "1"},
        ResourceConfig={"InstanceType": "ml.m5.tiny", "InstanceCount": 0},
        VpcConfig={"SecurityGroupIds": [], "Subnets": ["no subnet", "subnet-1"]},
    )[2]
    assert said.startswith("6 validation errors detected: ")
    assert "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null; " in said
    assert f"Value '{{x={'y' * 2501}, z=1}}' at 'hyperParameters' failed to satisfy constraint: Map value must" in said
    assert "Value 'ml.m5.tiny' at 'resourceConfig.instanceType' failed" in said
    assert "Value '[]' at 'vpcConfig.securityGroupIds' failed" in said
    assert (
        "Value '[no subnet, subnet-1]' at 'vpcConfig.subnets' failed to satisfy constraint: Member must satisfy "
        "constraint: [Member must have length less than or equal to 32, Member must have length greater than or equal "
        "to 0, Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
    ) in said


def send(
    cloud: Any, service: str, body: bytes, path: str = "/", method: str = "POST", **headers: str
) -> tuple[int, str]:
    """A request that no SDK makes, signed as one."""
    request = urllib.request.Request(cloud.url + path, body, headers, method=method)
    made = AWSRequest(method, request.full_url, headers, body)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(Credentials(cloud.address.access_key, cloud.address.secret_key), service, "us-east-1").add_auth(made)
    for name, value in made.headers.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_ec2_names_what_it_does_not_know(cloud: Any) -> None:
    body = b"Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1&Vpc=vpc-2"
    status, text = send(cloud, "ec2", body, **{"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 400
    assert "<Code>UnknownParameter</Code>" in text
    assert "<Message>The parameter Vpc is not recognized</Message>" in text


def test_json_services_ignore_what_they_do_not_know(cloud: Any) -> None:
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
    status, text = send(cloud, "sagemaker", b'{"Surprise": 1, "NameContains": "nothing-of-this-name"}', **headers)
    assert (status, json.loads(text)) == (200, {"Models": []})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"MaxResults": "many"}', "STRING_VALUE can not be converted to an Integer"),
        (b'{"NameContains": 5}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"NameContains": {}}', "Start of structure or map found where not expected."),
        (b"[]", "Unexpected value type in payload"),
        (b"{", "Unexpected character in the request's JSON"),
    ],
)
def test_json_of_other_types_can_not_be_read(cloud: Any, body: bytes, message: str) -> None:
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
    status, text = send(cloud, "sagemaker", body, **headers)
    assert (status, json.loads(text)["__type"]) == (400, "SerializationException")
    assert message in text


def test_s3_reads_xml_by_its_schema(cloud: Any) -> None:
    cloud.client("s3").create_bucket(Bucket="schema-bucket")
    for body in (b"<VersioningConfiguration><State>Enabled</State></VersioningConfiguration>", b"<Vers", b"{}"):
        digest = hashlib.sha256(body).hexdigest()
        status, text = send(cloud, "s3", body, "/schema-bucket?versioning", "PUT", **{"x-amz-content-sha256": digest})
        assert status == 400, body
        assert "<Code>MalformedXML</Code>" in text
    assert "Status" not in cloud.client("s3").get_bucket_versioning(Bucket="schema-bucket")


def test_texts_may_have_lines() -> None:
    assert patterns.compiled(r".*\S.*").fullmatch('{\n  "type": "record"\n}')


def test_a_usual_request_is_checked_in_less_than_a_fifth_of_a_millisecond() -> None:
    from moto.core.utils import get_service_model

    from mlplat.localcloud.validation import checking

    operation = get_service_model("sagemaker").operation_model("CreateModel")
    request = {
        "ModelName": "m",
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {
            "Image": "i",
            "ModelDataUrl": "s3://b/k",
            "Environment": {f"E{n}": "x" for n in range(10)},
        },
        "Tags": [{"Key": str(n), "Value": "x"} for n in range(10)],
    }
    assert checking.constraints("sagemaker").faults(request, operation.input_shape) == []
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        checking.constraints("sagemaker").faults(request, operation.input_shape)
        times.append(time.perf_counter() - begun)
    assert statistics.median(times) < 0.0002
