from __future__ import annotations

from typing import Any

import pytest
from tests.resources.contract import KindContract, World
from tests.resources.sagemaker.scripted import ARN, Refusal, Scripted
from tests.resources.sagemaker.test_model import package

from mlplat.errors import ApiError, NotSettled
from mlplat.resources import ModelPackageGroup

GROUP = ModelPackageGroup(name="churn")


def there(status: str) -> dict[str, Any]:
    return {
        "ModelPackageGroupName": "churn",
        "ModelPackageGroupArn": f"{ARN}:model-package-group/churn",
        "ModelPackageGroupStatus": status,
        "CreationTime": 1,
        "CreatedBy": {},
    }


class TestModelPackageGroup(KindContract):
    def desired(self, world: World) -> ModelPackageGroup:
        return ModelPackageGroup(name=f"contract-{world.suffix}", description="For a test")

    def changes(self, world: World) -> dict[str, Any]:
        return {"name": f"other-{world.suffix}", "description": "For another test"}


def test_versions_are_data_and_emptying_deletes_them(world: World) -> None:
    package(world)
    group = ModelPackageGroup(name=f"group-{world.suffix}")
    assert group.data(world.aws, group.name) == "1 model version"
    with pytest.raises(ApiError):
        group.delete(world.aws, group.name)
    group.empty(world.aws, group.name)
    assert group.data(world.aws, group.name) is None
    group.delete(world.aws, group.name)
    assert group.describe(world.aws) is None


def test_a_group_that_is_being_made_or_deleted_is_waited_for() -> None:
    seen = GROUP.describe(
        Scripted({"DescribeModelPackageGroup": [there("Pending"), there("InProgress"), there("Completed")]}).session()
    )
    assert seen is not None
    assert seen.failed is None
    absent = Refusal("ValidationException", f"ModelPackageGroup {ARN}:model-package-group/churn does not exist.")
    deleting = Scripted({"DeleteModelPackageGroup": {}, "DescribeModelPackageGroup": [there("Deleting"), absent]})
    GROUP.delete(deleting.session(), "churn")
    assert len(deleting.made("DescribeModelPackageGroup")) == 2


def test_a_group_that_failed_says_so() -> None:
    created = {"ModelPackageGroupArn": f"{ARN}:model-package-group/churn"}
    scripted = Scripted({"CreateModelPackageGroup": created, "DescribeModelPackageGroup": there("Failed")})
    with pytest.raises(NotSettled, match="creating model_package_group churn: it is Failed"):
        GROUP.create(scripted.session())
    seen = GROUP.describe(scripted.session())
    assert seen is not None
    assert seen.failed == "the group is Failed"
    stuck = Scripted({"DeleteModelPackageGroup": {}, "DescribeModelPackageGroup": there("DeleteFailed")})
    with pytest.raises(NotSettled, match="DeleteFailed"):
        GROUP.delete(stuck.session(), "churn")
