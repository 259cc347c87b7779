"""Limits, names and grammar that AWS keeps to and moto doesn't: S3, IAM, KMS, Logs, CloudWatch, SNS."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "arn:aws:iam::123456789012"


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def refusal(call: Callable[..., Any], **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def document(**more: Any) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*", **more}]}
    )


def trust(count: int = 1) -> str:
    who = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [who] * count}, indent=4)


class TestS3:
    @pytest.fixture
    def s3(self, cloud: Any) -> Any:
        return cloud.client("s3", parameter_validation=False)

    @pytest.fixture
    def bucket(self, s3: Any) -> str:
        name = unique("bounds")
        s3.create_bucket(Bucket=name)
        return name

    @pytest.mark.parametrize(
        "name", ["Upper", "a_b", "a..b", ".abc", "abc-", "192.168.1.1", "xn--abc", "abc-s3alias", "abc--table-s3"]
    )
    def test_a_bucket_is_named_by_the_rules(self, s3: Any, name: str) -> None:
        said = refusal(s3.create_bucket, Bucket=name)
        assert said == (400, "InvalidBucketName", "The specified bucket is not valid.")

    def test_keys_and_metadata_are_short(self, s3: Any, bucket: str) -> None:
        assert refusal(s3.put_object, Bucket=bucket, Key="é" * 513)[:2] == (400, "KeyTooLongError")
        s3.put_object(Bucket=bucket, Key="é" * 512)
        told = refusal(s3.put_object, Bucket=bucket, Key="k", Metadata={"name": "v" * 2045})
        assert told[:2] == (400, "MetadataTooLarge")
        s3.put_object(Bucket=bucket, Key="k", Metadata={"name": "v" * 2044})

    def test_a_thousand_go_at_once(self, s3: Any, bucket: str) -> None:
        many = {"Objects": [{"Key": str(number)} for number in range(1001)]}
        assert refusal(s3.delete_objects, Bucket=bucket, Delete=many)[:2] == (400, "MalformedXML")

    def test_a_bucket_has_50_tags(self, s3: Any, bucket: str) -> None:
        tags = {"TagSet": [{"Key": f"k{number}", "Value": ""} for number in range(51)]}
        assert refusal(s3.put_bucket_tagging, Bucket=bucket, Tagging=tags)[:2] == (400, "BadRequest")

    def test_a_key_is_for_kms(self, s3: Any, bucket: str) -> None:
        default = {"SSEAlgorithm": "AES256", "KMSMasterKeyID": "alias/mine"}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
        said = refusal(s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=rules)
        assert said[1:] == (
            "InvalidArgument",
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
        )

    @pytest.mark.parametrize(
        ("rules", "code", "text"),
        [
            ([{}], "InvalidRequest", "At least one action needs to be specified in a rule"),
            (
                [{"Expiration": {"Days": 0}}],
                "InvalidArgument",
                "'Days' for Expiration action must be a positive integer",
            ),
            (
                [{"ID": "a", "Expiration": {"Days": 1}}, {"ID": "a", "Expiration": {"Days": 2}}],
                "InvalidArgument",
                "Rule ID must be unique. Found same ID for more than one rule",
            ),
            (
                [{"Transitions": [{"Days": 29, "StorageClass": "STANDARD_IA"}]}],
                "InvalidArgument",
                "'Days' in Transition action must be greater than or equal to 30 for storageClass 'STANDARD_IA'",
            ),
            (
                [{"Expiration": {"Days": 60}, "Transitions": [{"Days": 60, "StorageClass": "GLACIER"}]}],
                "InvalidArgument",
                "'Days' in the Expiration action for filter '(prefix=old/)' must be greater than 'Days' in the "
                "Transition action",
            ),
        ],
    )
    def test_lifecycle_rules_that_cannot_be_followed(
        self, s3: Any, bucket: str, rules: list[dict[str, Any]], code: str, text: str
    ) -> None:
        given = {"Rules": [{"Status": "Enabled", "Filter": {"Prefix": "old/"}, **each} for each in rules]}
        said = refusal(s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=given)
        assert said == (400, code, text)

    def test_lifecycle_rules_that_can(self, s3: Any, bucket: str) -> None:
        moved = [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 60, "StorageClass": "GLACIER"}]
        rule = {"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 61}, "Transitions": moved}
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})


class TestIam:
    @pytest.fixture
    def iam(self, cloud: Any) -> Any:
        return cloud.client("iam")

    @pytest.fixture
    def role(self, iam: Any) -> str:
        name = unique("bounds")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust())
        return name

    def test_inline_policies_are_short_together(self, iam: Any, role: str) -> None:
        half = document(Resource=[f"arn:aws:s3:::{'b' * 60}{number}" for number in range(70)])
        spaced = json.dumps(json.loads(half), indent=40)  # white space doesn't count
        iam.put_role_policy(RoleName=role, PolicyName="one", PolicyDocument=spaced)
        iam.put_role_policy(RoleName=role, PolicyName="one", PolicyDocument=half)
        said = refusal(iam.put_role_policy, RoleName=role, PolicyName="two", PolicyDocument=half)
        assert said == (409, "LimitExceeded", f"Maximum policy size of 10240 bytes exceeded for role {role}")

    def test_a_trust_policy_is_short(self, iam: Any, role: str) -> None:
        quota = (409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")
        assert refusal(iam.update_assume_role_policy, RoleName=role, PolicyDocument=trust(22)) == quota
        assert refusal(iam.create_role, RoleName=unique("r"), AssumeRolePolicyDocument=trust(22)) == quota
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust(21))

    def test_a_role_has_ten_managed_policies(self, iam: Any, role: str) -> None:
        arns = [
            iam.create_policy(PolicyName=unique("p"), PolicyDocument=document())["Policy"]["Arn"] for _ in range(11)
        ]
        for arn in arns[:10]:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        iam.attach_role_policy(RoleName=role, PolicyArn=arns[0])
        said = refusal(iam.attach_role_policy, RoleName=role, PolicyArn=arns[10])
        assert said == (409, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")

    def test_names_differ_by_more_than_case(self, iam: Any, role: str) -> None:
        said = refusal(iam.create_role, RoleName=role.upper(), AssumeRolePolicyDocument=trust())
        assert said == (409, "EntityAlreadyExists", f"Role with name {role.upper()} already exists.")

    def test_a_policy_of_an_identity_names_nobody(self, iam: Any, role: str) -> None:
        named = {"RoleName": role, "PolicyName": "p"}
        said = refusal(iam.put_role_policy, **named, PolicyDocument=document(Principal="*"))
        assert said == (400, "MalformedPolicyDocument", "Policy document should not specify a principal.")
        said = refusal(iam.put_role_policy, **named, PolicyDocument=document(Sid="a b"))
        assert said[2].startswith("Statement IDs (SID) must be alpha-numeric.")

    def test_keys_of_aws_are_not_given(self, iam: Any, role: str) -> None:
        said = refusal(iam.tag_role, RoleName=role, Tags=[{"Key": "aws:mine", "Value": ""}])
        assert said[:2] == (400, "InvalidInput")


class TestKms:
    @pytest.fixture
    def kms(self, cloud: Any) -> Any:
        return cloud.client("kms")

    def test_a_policy_names_who_is_there(self, kms: Any, cloud: Any) -> None:
        root = {"Effect": "Allow", "Principal": {"AWS": f"{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
        name = unique("reader")
        reader = {**root, "Principal": {"AWS": f"{ACCOUNT}:role/{name}"}, "Action": "kms:Decrypt"}
        policy = json.dumps({"Statement": [root, reader]})
        text = "Policy contains a statement with one or more invalid principals."
        assert refusal(kms.create_key, Policy=policy) == (400, "MalformedPolicyDocumentException", text)
        cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust())
        kms.create_key(Policy=policy)

    def test_aliases_of_services_are_theirs(self, kms: Any) -> None:
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        said = refusal(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=key)
        assert said[:2] == (400, "NotAuthorizedException")

    def test_tags_are_in_bounds(self, kms: Any) -> None:
        key = kms.create_key(Tags=[{"TagKey": "k", "TagValue": ""}])["KeyMetadata"]["KeyId"]
        for tags in ([{"TagKey": "aws:k", "TagValue": ""}], [{"TagKey": "x", "TagValue": ""}] * 2):
            assert refusal(kms.tag_resource, KeyId=key, Tags=tags)[:2] == (400, "TagException")
        many = [{"TagKey": f"k{number}", "TagValue": ""} for number in range(50)]
        assert refusal(kms.tag_resource, KeyId=key, Tags=many)[:2] == (400, "LimitExceededException")
        kms.tag_resource(KeyId=key, Tags=many[:49])


def test_log_groups_of_aws_are_not_made(cloud: Any) -> None:
    said = refusal(cloud.client("logs").create_log_group, logGroupName="aws/mine")
    assert said == (400, "InvalidParameterException", "Log groups starting with AWS/ are reserved for AWS.")


class TestAlarms:
    @pytest.fixture
    def put(self, cloud: Any) -> Callable[..., Any]:
        asked = {"AlarmName": unique("a"), "MetricName": "m", "Namespace": "N", "Statistic": "Sum", "Threshold": 1.0}
        asked |= {"Period": 60, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
        return lambda **more: cloud.client("cloudwatch").put_metric_alarm(**asked | more)

    @pytest.mark.parametrize(
        ("asked", "text"),
        [
            (
                {"Period": 60, "EvaluationPeriods": 1441},
                "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400) for "
                "alarms using period < 3600",
            ),
            (
                {"Period": 86400, "EvaluationPeriods": 8},
                "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800) for "
                "alarms using period >= 3600",
            ),
            ({"AlarmActions": ["mine"]}, "Invalid arn syntax: mine"),
            (
                {"OKActions": ["arn:aws:sns:eu-west-1:123456789012:t"]},
                "Invalid region eu-west-1 specified. Only us-east-1 is supported.",
            ),
            (
                {"TreatMissingData": "ok"},
                "TreatMissingData must be one of breaching, notBreaching, ignore, missing",
            ),
        ],
    )
    def test_what_cannot_be_evaluated_is_refused(
        self, put: Callable[..., Any], asked: dict[str, Any], text: str
    ) -> None:
        assert refusal(put, **asked) == (400, "ValidationError", text)

    def test_a_week_in_hours_can(self, put: Callable[..., Any]) -> None:
        put(Period=3600, EvaluationPeriods=168, AlarmActions=["arn:aws:sns:us-east-1:123456789012:t"])

    def test_a_thousand_metrics_at_once(self, cloud: Any) -> None:
        said = refusal(
            cloud.client("cloudwatch").put_metric_data,
            Namespace="N",
            MetricData=[{"MetricName": "m", "Value": 1.0}] * 1001,
        )
        assert said[:2] == (400, "InvalidParameterValue")


class TestTopics:
    @pytest.fixture
    def sns(self, cloud: Any) -> Any:
        return cloud.client("sns")

    @pytest.fixture
    def topic(self, sns: Any) -> str:
        return str(sns.create_topic(Name=unique("t"))["TopicArn"])

    @pytest.mark.parametrize(
        ("protocol", "endpoint", "text"),
        [
            ("pigeon", "a@b.c", "Amazon SNS does not support this protocol string: pigeon"),
            ("email", "nobody", "Email address"),
            ("https", "http://a.b", "Endpoint must match the specified protocol"),
            ("lambda", "f", "Lambda endpoint ARN"),
        ],
    )
    def test_an_endpoint_fits_its_protocol(self, sns: Any, topic: str, protocol: str, endpoint: str, text: str) -> None:
        said = refusal(sns.subscribe, TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
        assert said == (400, "InvalidParameter", f"Invalid parameter: {text}")

    def test_policies_are_json_and_messages_are_some(self, sns: Any, topic: str) -> None:
        bad = {"TopicArn": topic, "AttributeName": "Policy", "AttributeValue": "{"}
        assert refusal(sns.set_topic_attributes, **bad)[2] == "Invalid parameter: Policy Error: null"
        assert refusal(sns.publish, TopicArn=topic, Message="")[2] == "Invalid parameter: Empty message"
