"""A version is registered when SageMaker says that it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.resources.sagemaker.scripted import ARN, Scripted

from mlplat.errors import NotSettled
from mlplat.workflows import registry

VERSION = f"{ARN}:model-package/churn/3"


def package(status: str, **more: Any) -> dict[str, Any]:
    return {
        "ModelPackageName": "churn",
        "ModelPackageGroupName": "churn",
        "ModelPackageVersion": 3,
        "ModelPackageArn": VERSION,
        "ModelPackageStatus": status,
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "CreationTime": 1,
        **more,
    }


def register(*statuses: dict[str, Any], made_at: int = 1) -> tuple[registry.Version, Scripted]:
    group = {
        "ModelPackageGroupName": "churn",
        "ModelPackageGroupArn": f"{ARN}:model-package-group/churn",
        "CreationTime": made_at,
        "CreatedBy": {},
        "ModelPackageGroupStatus": "Completed",
    }
    scripted = Scripted(
        {
            "ListModelPackages": {"ModelPackageSummaryList": []},
            "DescribeModelPackageGroup": group,
            "CreateModelPackage": {"ModelPackageArn": VERSION},
            "DescribeModelPackage": list(statuses),
        }
    )
    platform: Any = SimpleNamespace(session=scripted.session())
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1", "ModelDataUrl": "s3://b/model.tar.gz"}
    metrics = {"validation:auc": 0.9}
    return registry.register(platform, "churn", container, "job-1", "churn", metrics), scripted


def test_a_version_that_is_still_being_made_is_waited_for() -> None:
    version, scripted = register(package("Pending"), package("InProgress"), package("Completed"))
    assert version.version == 3
    assert len(scripted.made("DescribeModelPackage")) == 3


def test_a_version_that_failed_says_why() -> None:
    details = {"ValidationStatuses": [{"Name": "x", "Status": "Failed", "FailureReason": "no such image"}]}
    with pytest.raises(NotSettled, match="Failed: no such image"):
        register(package("Failed", ModelPackageStatusDetails=details))


def test_a_version_may_be_served_on_any_instance_type() -> None:
    _, scripted = register(package("Completed"))
    (request,) = scripted.made("CreateModelPackage")
    assert not [member for member in request["InferenceSpecification"] if "InstanceTypes" in member]


def test_a_group_made_again_does_not_get_a_version_of_the_former_one_back() -> None:
    tokens = {
        register(package("Completed"), made_at=at)[1].made("CreateModelPackage")[0]["ClientToken"] for at in (1, 1, 2)
    }
    assert len(tokens) == 2
