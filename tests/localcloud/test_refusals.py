"""What AWS refuses is refused, in AWS's words, in the services around SageMaker: each rule and what it lets through."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlplat.localcloud import schedules


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def refusal(call: Callable[..., Any], **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def trust(principal: Any, **more: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class TestBucketsWithoutAcls:
    @pytest.fixture
    def s3(self, cloud: Any) -> Any:
        return cloud.client("s3")

    @pytest.fixture
    def bucket(self, s3: Any) -> str:
        name = unique("acls")
        s3.create_bucket(Bucket=name)
        return name

    def test_acls_are_off_until_the_ownership_says_otherwise(self, s3: Any, bucket: str) -> None:
        refused = (400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
        assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="private") == refused
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="public-read") == refused
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", GrantRead="id=1") == refused
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="bucket-owner-full-control")
        assert refusal(s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read") == refused
        rules = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
        s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")

    def test_a_bucket_is_not_made_with_an_acl(self, s3: Any) -> None:
        text = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        said = refusal(s3.create_bucket, Bucket=unique("acl"), ACL="public-read")
        assert said == (400, "InvalidBucketAclWithObjectOwnership", text)
        s3.create_bucket(Bucket=unique("acl"), ACL="public-read", ObjectOwnership="ObjectWriter")

    def test_a_policy_is_about_its_bucket_and_opens_it_to_nobody(self, s3: Any, bucket: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }

        def policy(**more: Any) -> str:
            changed = {name: value for name, value in {**statement, **more}.items() if value is not None}
            return json.dumps({"Version": "2012-10-17", "Statement": changed})

        put = s3.put_bucket_policy
        for missing in statement:
            said = refusal(put, Bucket=bucket, Policy=policy(**{missing: None}))
            assert said == (400, "MalformedPolicy", f"Missing required field {missing}")
        said = refusal(put, Bucket=bucket, Policy=policy(Resource="arn:aws:s3:::another/*"))
        assert said == (400, "MalformedPolicy", "Policy has invalid resource")
        said = refusal(put, Bucket=bucket, Policy=policy())
        assert said[:2] == (403, "AccessDenied")
        assert "because public policies are prevented by the BlockPublicPolicy setting" in said[2]
        put(Bucket=bucket, Policy=policy(Condition={"StringEquals": {"aws:SourceVpce": "vpce-1"}}))
        put(Bucket=bucket, Policy=policy(Effect="Deny"))
        s3.delete_public_access_block(Bucket=bucket)
        put(Bucket=bucket, Policy=policy())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{x", "This policy contains invalid Json"),
        ("{}", "Syntax errors in policy."),
        ("[]", "Syntax errors in policy."),
        (trust({"Service": "glue.amazonaws.com"}, Resource="*"), "Has prohibited field Resource"),
        (
            trust({"AWS": "arn:aws:iam::123456789012:role/nobody"}),
            'Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:role/nobody"',
        ),
    ],
)
def test_trust_policies_are_read(cloud: Any, document: str, message: str) -> None:
    iam, name = cloud.client("iam"), unique("trust")
    refused = (400, "MalformedPolicyDocument", message)
    assert refusal(iam.create_role, RoleName=name, AssumeRolePolicyDocument=document) == refused
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": "123456789012"}))["Role"]
    assert refusal(iam.update_assume_role_policy, RoleName=name, PolicyDocument=document) == refused
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust({"AWS": role["Arn"]}))


class TestCrawlers:
    @pytest.fixture
    def glue(self, cloud: Any) -> Any:
        return cloud.client("glue")

    @pytest.fixture
    def role(self, cloud: Any) -> str:
        name = unique("crawls")
        principal = {"Service": "glue.amazonaws.com"}
        return str(
            cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal))["Role"]["Arn"]
        )

    def test_the_role_must_let_glue_in(self, cloud: Any, glue: Any, role: str) -> None:
        name, other = unique("crawler"), unique("other")
        cloud.client("iam").create_role(
            RoleName=other, AssumeRolePolicyDocument=trust({"Service": "sagemaker.amazonaws.com"})
        )
        wanted = {"Name": name, "DatabaseName": "d", "Targets": {"S3Targets": [{"Path": "s3://b/x"}]}}
        text = "Service is unable to assume provided role. Please verify role's TrustPolicy"
        for wrong in ("nobody", other):
            assert refusal(glue.create_crawler, **wanted, Role=wrong) == (400, "InvalidInputException", text)
        glue.create_crawler(**wanted, Role=role)
        assert refusal(glue.create_crawler, **wanted, Role=role)[1] == "AlreadyExistsException"

    def test_a_crawler_gets_ready_again(self, glue: Any, role: str) -> None:
        name = unique("crawler")
        text = f"Crawler entry with name {name} does not exist"
        for call in (glue.get_crawler, glue.start_crawler, glue.delete_crawler):
            assert refusal(call, Name=name) == (400, "EntityNotFoundException", text)
        glue.create_crawler(Name=name, Role=role, Targets={"S3Targets": [{"Path": "s3://b/x"}]})
        glue.start_crawler(Name=name)
        deadline = time.monotonic() + 20
        while glue.get_crawler(Name=name)["Crawler"]["State"] != "READY":
            assert time.monotonic() < deadline
        glue.delete_crawler(Name=name)


VALID = (
    "rate(1 minute)", "rate(5 minutes)", "rate(1 day)", "cron(5,35 14 * * ? *)", "cron(15 10 ? * 6L 2002-2005)",
    "cron(0/5 8-17 ? * MON-FRI *)", "cron(0/5 5 ? JAN 1-5 2022)", "cron(0 8 1 * ? *)", "cron(0 2 ? * SAT#3 *)",
    "cron(* * ? * SAT#3 *)", "cron(0/15 * * * ? *)", "cron(0 10 L * ? *)", "cron(0 10 15W * ? *)",
)  # fmt: skip
INVALID = (
    "rate(1 hours)", "rate(10 minute)", "rate(0 minutes)", "rate(-10 minutes)", "rate(10)", "rate(10 seconds)",
    "rate(10 MINUTES)", "rate( 10 minutes )", " rate(10 minutes)", "rate()", "cron(INVALID)", "cron(71 8 1 * ? *)",
    "cron(0 1 * * * *)", "cron(0 1 ? * ? *)", "cron(7 20 * * NOT *)", "cron(0 dummy ? * MON-FRI *)",
    "cron(0 12 * * *)", "cron(0/0 8 1 * ? *)", "cron(0 8 32 * ? *)", "cron(0 8 1 13 ? *)", "at(noon)",
)  # fmt: skip


def test_schedules_are_read_as_eventbridge_reads_them(cloud: Any) -> None:
    assert [each for each in VALID if not schedules.is_valid(each)] == []
    assert [each for each in INVALID if schedules.is_valid(each)] == []
    events, name = cloud.client("events"), unique("rule")
    said = refusal(events.put_rule, Name=name, ScheduleExpression="rate(1 hours)")
    assert said == (400, "ValidationException", "Parameter ScheduleExpression is not valid.")
    bus = unique("bus")
    events.create_event_bus(Name=bus)
    said = refusal(events.put_rule, Name=name, EventBusName=bus, ScheduleExpression="rate(1 hour)")
    assert said == (400, "ValidationException", "ScheduleExpression is supported only on the default event bus.")
    events.put_rule(Name=name, ScheduleExpression="rate(1 hour)")


def test_alarms_know_nothing_at_first_and_keep_what_they_know(cloud: Any) -> None:
    watch, name = cloud.client("cloudwatch"), unique("alarm")
    alarm = {
        "AlarmName": name,
        "Namespace": "n",
        "MetricName": "m",
        "Statistic": "Sum",
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",  # there is no data, and the alarm is evaluated all the while
    }
    for period in (5, 7, 45, 90):
        assert refusal(watch.put_metric_alarm, **alarm, Period=period)[:2] == (400, "ValidationError")
    watch.put_metric_alarm(**alarm, Period=30)

    def state() -> tuple[str, str]:
        (found,) = watch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return found["StateValue"], found["StateReason"]

    assert state() == ("INSUFFICIENT_DATA", "Unchecked: Initial alarm creation")
    watch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="too much")
    watch.put_metric_alarm(**alarm | {"Threshold": 2.0}, Period=120)
    assert state() == ("ALARM", "too much")


def test_scaling_is_for_what_is_registered_and_goes_with_it(cloud: Any) -> None:
    scaling = cloud.client("application-autoscaling")
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{unique('c')}/s",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    named = f"service namespace: ecs, resource ID: {target['ResourceId']}, scalable dimension: ecs:service:DesiredCount"
    policy = {
        "PolicyName": "p",
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": []},
    }
    said = refusal(scaling.put_scaling_policy, **target, **policy)
    assert said == (400, "ObjectNotFoundException", f"No scalable target registered for {named}")
    said = refusal(scaling.deregister_scalable_target, **target)
    assert said == (400, "ObjectNotFoundException", f"No scalable target found for {named}")
    variant = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/nobody/variant/v",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    said = refusal(scaling.register_scalable_target, **variant, MinCapacity=1, MaxCapacity=2)
    assert said[:2] == (400, "ValidationException")


def test_apis_have_no_two_of_anything_in_one_place(cloud: Any) -> None:
    gateway = cloud.client("apigateway")
    api = {"restApiId": gateway.create_rest_api(name=unique("api"))["id"]}
    root = gateway.get_resources(**api)["items"][0]["id"]
    gateway.create_resource(**api, parentId=root, pathPart="a")
    said = refusal(gateway.create_resource, **api, parentId=root, pathPart="a")
    assert said == (409, "ConflictException", "Another resource with the same parent already has this name: a")
    gateway.create_resource(**api, parentId=root, pathPart="{proxy+}")
    text = "A sibling ({proxy+}) of this resource already has a variable path part -- only one is allowed"
    assert refusal(gateway.create_resource, **api, parentId=root, pathPart="{x}") == (400, "BadRequestException", text)
    method = {**api, "resourceId": root, "httpMethod": "GET", "authorizationType": "NONE"}
    gateway.put_method(**method)
    assert refusal(gateway.put_method, **method) == (
        409,
        "ConflictException",
        "Method already exists for this resource",
    )
    model = {**api, "name": "m", "contentType": "application/json", "schema": "{}"}
    gateway.create_model(**model)
    said = refusal(gateway.create_model, **model)
    assert said == (409, "ConflictException", "Model name already exists for this REST API")


def test_a_copy_onto_itself_must_change_something(cloud: Any) -> None:
    s3, bucket = cloud.client("s3"), unique("copies")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    place = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/k"}
    said = refusal(s3.copy_object, **place)
    assert said[:2] == (400, "InvalidRequest")
    assert "copy an object to itself without changing" in said[2]
    s3.copy_object(**place, Metadata={"a": "b"}, MetadataDirective="REPLACE")
    s3.copy_object(**place, StorageClass="STANDARD_IA")


def test_bodies_that_nobody_asked_for_are_not_read(cloud: Any) -> None:
    import urllib.request

    s3, bucket = cloud.client("s3", signature_version="s3v4"), unique("bodies")  # version 2 signs urllib's Content-Type
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"content")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    request = urllib.request.Request(url, data=b"<not><xml>", method="GET")
    with urllib.request.urlopen(request) as answer:
        assert answer.read() == b"content"


def test_resources_are_found_by_their_types_and_names(cloud: Any) -> None:
    tagging, s3, sns = cloud.client("resourcegroupstaggingapi"), cloud.client("s3"), cloud.client("sns")
    bucket, tags = unique("typed"), [{"Key": "suite", "Value": unique("types")}]
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"Tags": tags})
    topic = sns.create_topic(Name=bucket, Tags=tags)["TopicArn"]
    of_suite = {"TagFilters": [{"Key": "suite", "Values": [tags[0]["Value"]]}]}

    def found(**by: Any) -> list[str]:
        return [each["ResourceARN"] for each in tagging.get_resources(**by)["ResourceTagMappingList"]]

    assert set(found(**of_suite)) == {f"arn:aws:s3:::{bucket}", topic}
    assert found(**of_suite, ResourceTypeFilters=["s3"]) == [f"arn:aws:s3:::{bucket}"]
    assert found(**of_suite, ResourceTypeFilters=["s3:bucket", "ec2"]) == [f"arn:aws:s3:::{bucket}"]
    assert found(ResourceARNList=[topic]) == [topic]
    said = refusal(tagging.get_resources, **of_suite, ResourceARNList=[topic])
    assert said[:2] == (400, "InvalidParameterException")
