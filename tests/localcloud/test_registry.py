"""Model package groups and packages: versions, approval, and how they come and go."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

SPEC = {
    "Containers": [{"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
ARN = "arn:aws:sagemaker:us-east-1:123456789012"


@pytest.fixture
def sagemaker(cloud: Any) -> Any:
    return cloud.client("sagemaker")


@pytest.fixture
def group(sagemaker: Any) -> str:
    name = f"group-{uuid.uuid4().hex[:8]}"
    sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=[{"Key": "a", "Value": "1"}])
    assert settled(sagemaker, name) == "Completed"
    return name


def settled(sagemaker: Any, name: str) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        answer = sagemaker.describe_model_package_group(ModelPackageGroupName=name)
        if answer["ModelPackageGroupStatus"] not in ("Pending", "InProgress"):
            break
        time.sleep(0.01)
    return str(answer["ModelPackageGroupStatus"])


def register(sagemaker: Any, group: str, **more: Any) -> str:
    made = sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=SPEC, **more)
    return str(made["ModelPackageArn"])


def refusal(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def test_a_group_is_made_once(sagemaker: Any, group: str) -> None:
    said = refusal(sagemaker.create_model_package_group, ModelPackageGroupName=group)
    assert said == f"ValidationException: Model Package Group already exists: {ARN}:model-package-group/{group}"
    answer = sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    assert answer["ModelPackageGroupArn"] == f"{ARN}:model-package-group/{group}"
    assert sagemaker.list_tags(ResourceArn=answer["ModelPackageGroupArn"])["Tags"] == [{"Key": "a", "Value": "1"}]
    by_arn = sagemaker.describe_model_package_group(ModelPackageGroupName=answer["ModelPackageGroupArn"])
    assert by_arn["ModelPackageGroupName"] == group


def test_versions_count_up_and_are_never_used_again(sagemaker: Any, group: str) -> None:
    arns = [register(sagemaker, group) for _ in range(3)]
    assert arns == [f"{ARN}:model-package/{group}/{number}" for number in (1, 2, 3)]
    sagemaker.delete_model_package(ModelPackageName=arns[2])
    assert register(sagemaker, group) == f"{ARN}:model-package/{group}/4"
    assert "does not exist" in refusal(sagemaker.describe_model_package, ModelPackageName=arns[2])
    assert "does not exist" in refusal(sagemaker.create_model_package, ModelPackageGroupName="absent")


def test_a_call_that_is_sent_again_registers_nothing_twice(sagemaker: Any, group: str) -> None:
    token = uuid.uuid4().hex
    assert register(sagemaker, group, ClientToken=token) == register(sagemaker, group, ClientToken=token)
    assert register(sagemaker, group, ClientToken=uuid.uuid4().hex).endswith("/2")


def test_the_newest_is_the_first_of_a_descending_list(sagemaker: Any, group: str) -> None:
    for _ in range(5):
        register(sagemaker, group)
    asked = {"ModelPackageGroupName": group, "SortBy": "CreationTime", "SortOrder": "Descending"}
    listed = sagemaker.list_model_packages(**asked)["ModelPackageSummaryList"]
    assert [each["ModelPackageVersion"] for each in listed] == [5, 4, 3, 2, 1]
    pages = list(sagemaker.get_paginator("list_model_packages").paginate(**asked, PaginationConfig={"PageSize": 2}))
    assert [len(page["ModelPackageSummaryList"]) for page in pages] == [2, 2, 1]


def test_approval_is_set_told_and_searched_by(sagemaker: Any, group: str) -> None:
    first, second = register(sagemaker, group), register(sagemaker, group, ModelApprovalStatus="Rejected")
    assert sagemaker.describe_model_package(ModelPackageName=first)["ModelApprovalStatus"] == "PendingManualApproval"
    sagemaker.update_model_package(
        ModelPackageArn=first,
        ModelApprovalStatus="Approved",
        ApprovalDescription="good",
        CustomerMetadataProperties={"a": "1", "b": "2"},
    )
    sagemaker.update_model_package(ModelPackageArn=first, CustomerMetadataPropertiesToRemove=["a"])
    seen = sagemaker.describe_model_package(ModelPackageName=first)
    assert (seen["ModelApprovalStatus"], seen["ApprovalDescription"]) == ("Approved", "good")
    assert seen["CustomerMetadataProperties"] == {"b": "2"}
    assert seen["InferenceSpecification"] == SPEC
    for status, arn in (("Approved", first), ("Rejected", second)):
        listed = sagemaker.list_model_packages(ModelPackageGroupName=group, ModelApprovalStatus=status)
        assert [each["ModelPackageArn"] for each in listed["ModelPackageSummaryList"]] == [arn]


def test_a_group_with_versions_stays(sagemaker: Any, group: str) -> None:
    package = register(sagemaker, group)
    said = refusal(sagemaker.delete_model_package_group, ModelPackageGroupName=group)
    assert said.startswith("ConflictException")
    sagemaker.delete_model_package(ModelPackageName=package)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    deadline = time.monotonic() + 10
    with pytest.raises(ClientError, match=f"ModelPackageGroup {ARN}:model-package-group/{group} does not exist"):
        while time.monotonic() < deadline:
            sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    sagemaker.create_model_package_group(ModelPackageGroupName=group)  # the name is free again
    settled(sagemaker, group)
    assert register(sagemaker, group).endswith("/1")


def test_packages_are_described_together(sagemaker: Any, group: str) -> None:
    here, absent = register(sagemaker, group), f"{ARN}:model-package/{group}/99"
    answer = sagemaker.batch_describe_model_package(ModelPackageArnList=[here, absent])
    assert answer["ModelPackageSummaries"][here]["ModelPackageVersion"] == 1
    assert list(answer["BatchDescribeModelPackageErrorMap"]) == [absent]
