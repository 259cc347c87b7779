"""The tagging API: one place that finds by tags, tags and untags the objects of every service."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture
def mark(cloud: Any) -> str:
    """A tag value that only this test's objects carry: one of each service that the platform uses."""
    mark = f"tagging-{uuid.uuid4().hex[:8]}"
    upper = [{"Key": "mark", "Value": mark}]
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": upper}])
    ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": upper}])
    ec2.create_vpc_endpoint(
        VpcId=vpc["Vpc"]["VpcId"],
        ServiceName="com.amazonaws.us-east-1.s3",
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": upper}],
    )
    cloud.client("s3").create_bucket(Bucket=mark, CreateBucketConfiguration={"Tags": upper})
    cloud.client("kms").create_key(Tags=[{"TagKey": "mark", "TagValue": mark}])
    cloud.client("logs").create_log_group(logGroupName=f"/a/{mark}", tags={"mark": mark})
    cloud.client("glue").create_database(DatabaseInput={"Name": mark}, Tags={"mark": mark})
    cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName=mark, Tags=upper)
    cloud.client("iam").create_role(RoleName=mark, AssumeRolePolicyDocument=TRUST, Tags=upper)
    return mark


def found(cloud: Any, **tags: str) -> dict[str, str]:
    """ARN without its last part -> ARN."""
    client = cloud.client("resourcegroupstaggingapi")
    filters = [{"Key": key, "Values": [value]} for key, value in tags.items()]
    pages = client.get_paginator("get_resources").paginate(TagFilters=filters, ResourcesPerPage=3)
    arns = [each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]]
    return {arn.split(":")[2] + ":" + arn.split(":", 5)[5].partition("/")[0].partition(":")[0]: arn for arn in arns}


def test_every_service_is_found_by_tags_but_not_roles(cloud: Any, mark: str) -> None:
    arns = found(cloud, mark=mark)
    assert sorted(arns) == [
        "ec2:elastic-ip", "ec2:vpc", "ec2:vpc-endpoint", "glue:database", "kms:key", "logs:log-group",
        f"s3:{mark}", "sagemaker:model-package-group",
    ]  # fmt: skip
    assert found(cloud, mark=mark, other="x") == {}


def test_tags_are_put_on_and_taken_off_anywhere(cloud: Any, mark: str) -> None:
    client = cloud.client("resourcegroupstaggingapi")
    role = cloud.client("iam").get_role(RoleName=mark)["Role"]["Arn"]
    arns = found(cloud, mark=mark)
    everything = [*arns.values(), role]
    assert client.tag_resources(ResourceARNList=everything, Tags={"team": mark})["FailedResourcesMap"] == {}
    assert found(cloud, team=mark) == arns
    assert client.untag_resources(ResourceARNList=everything, TagKeys=["mark", "absent"])["FailedResourcesMap"] == {}
    assert found(cloud, mark=mark) == {}
    assert found(cloud, team=mark) == arns
    assert cloud.client("iam").list_role_tags(RoleName=mark)["Tags"] == [{"Key": "team", "Value": mark}]
    assert cloud.client("s3").get_bucket_tagging(Bucket=mark)["TagSet"] == [{"Key": "team", "Value": mark}]


def test_what_is_not_there_is_in_the_answer(cloud: Any) -> None:
    absent = f"arn:aws:ec2:us-east-1:{cloud.account}:vpc/vpc-0absent"
    answer = cloud.client("resourcegroupstaggingapi").untag_resources(ResourceARNList=[absent], TagKeys=["a"])
    assert answer["FailedResourcesMap"][absent]["ErrorCode"] == "InvalidParameterException"
