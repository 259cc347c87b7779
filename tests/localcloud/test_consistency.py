"""Eventual consistency, switched on: what was made a moment ago is not found, as often as was said, in AWS's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud

from mlplat.localcloud import daemon

READS = 2
ROLE = "arn:aws:iam::123456789012:role/fresh"


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("late") / ".mlplat" / "local"
    yield RunningCloud(daemon.start(folder, transition_delay=0.0, eventual_consistency_reads=READS))
    daemon.stop(folder)


def refusals(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    """What is said READS times, before the call succeeds."""
    said = set()
    for _ in range(READS):
        with pytest.raises(ClientError) as caught:
            call(**params)
        said.add((caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]))
    call(**params)
    (only,) = said
    return only


def test_ids_of_ec2_are_not_found_in_any_operation(late: Any) -> None:
    ec2 = late.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    told = refusals(ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.0.0/24")
    assert told == ("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    told = refusals(ec2.describe_route_tables, RouteTableIds=[table])
    assert told == ("InvalidRouteTableID.NotFound", f"The routeTable ID '{table}' does not exist")
    group = ec2.create_security_group(VpcId=vpc, GroupName="g", Description="d")["GroupId"]
    assert refusals(ec2.create_tags, Resources=[vpc, group], Tags=[{"Key": "a", "Value": "b"}])[0] == (
        "InvalidGroup.NotFound"
    )


def test_lists_leave_new_objects_out_and_filters_are_no_mistake(late: Any) -> None:
    ec2 = late.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]

    def found() -> list[str]:
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        return [each["VpcId"] for each in ec2.describe_vpcs(Filters=filters)["Vpcs"]]

    assert [found() for _ in range(READS + 1)] == [*([[]] * READS), [vpc]]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    seen = [subnet in [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]] for _ in range(READS + 1)]
    assert seen == [*([False] * READS), True]


def test_flow_logs_say_so_in_their_answer(late: Any) -> None:
    ec2 = late.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    asked = {"ResourceIds": [vpc], "ResourceType": "VPC", "TrafficType": "ALL"}
    answer = ec2.create_flow_logs(**asked, LogDestinationType="s3", LogDestination="arn:aws:s3:::nobodys")
    (failed,) = answer["Unsuccessful"]
    assert (failed["ResourceId"], failed["Error"]["Code"]) == (vpc, "InvalidVpcID.NotFound")
    assert not answer.get("FlowLogIds")


def test_a_new_role_is_not_known_nor_named_nor_assumed(late: Any) -> None:
    iam, kms, s3, sagemaker = (late.client(each) for each in ("iam", "kms", "s3", "sagemaker"))
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="fresh", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    told = refusals(iam.get_role, RoleName="fresh")
    assert told == ("NoSuchEntity", "The role with name fresh cannot be found.")
    s3.create_bucket(Bucket="named")
    statement = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "s3:*", "Resource": "arn:aws:s3:::named/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    assert refusals(s3.put_bucket_policy, Bucket="named", Policy=policy) == (
        "MalformedPolicy", "Invalid principal in policy",
    )  # fmt: skip
    told = refusals(
        sagemaker.create_model,
        ModelName="m",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": "i", "Mode": "SingleModel"},
    )
    assert told[0] == "ValidationException"
    assert told[1].startswith(f"Could not assume role {ROLE}.")
    own = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    iam.create_role(RoleName="second", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    theirs = {**own, "Principal": {"AWS": ROLE.replace("fresh", "second")}}
    told = refusals(kms.create_key, Policy=json.dumps({"Version": "2012-10-17", "Statement": [own, theirs]}))
    assert told[0] == "MalformedPolicyDocumentException"


def test_keys_models_and_configurations_arrive_late(late: Any) -> None:
    kms, iam, sagemaker = late.client("kms"), late.client("iam"), late.client("sagemaker")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    told = refusals(kms.enable_key_rotation, KeyId=key)
    assert told == ("NotFoundException", f"Key 'arn:aws:kms:us-east-1:123456789012:key/{key}' does not exist")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="third", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    role = ROLE.replace("fresh", "third")
    refusals(sagemaker.create_model, ModelName="late", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
    variant = {"VariantName": "v", "ModelName": "late", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    told = refusals(sagemaker.create_endpoint_config, EndpointConfigName="late", ProductionVariants=[variant])
    assert told == (
        "ValidationException",
        'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/late".',
    )


def test_it_is_off_unless_it_is_asked_for(cloud: Any) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    ec2.delete_vpc(VpcId=vpc)
