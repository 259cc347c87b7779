from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import KindContract, World
from tests.resources.sagemaker.scripted import ARN, Refusal, Scripted
from tests.resources.sagemaker.test_model import package

from mlplat.errors import ApiError, NotSettled
from mlplat.resources import ModelPackageGroup

GROUP = ModelPackageGroup(name="churn")
NO_POLICY = Refusal("ValidationException", f"Cannot find resource policy for: {ARN}:model-package-group/churn")


def there(status: str) -> dict[str, Any]:
    return {
        "ModelPackageGroupName": "churn",
        "ModelPackageGroupArn": f"{ARN}:model-package-group/churn",
        "ModelPackageGroupStatus": status,
        "CreationTime": 1,
        "CreatedBy": {},
    }


def readable(name: str, *accounts: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{each}:root" for each in accounts]},
        "Action": ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"],
        "Resource": [f"{ARN}:model-package-group/{name}", f"{ARN}:model-package/{name}/*"],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


class TestModelPackageGroup(KindContract):
    def desired(self, world: World) -> ModelPackageGroup:
        name = f"contract-{world.suffix}"
        return ModelPackageGroup(name=name, description="For a test", policy=readable(name, "210987654321"))

    def changes(self, world: World) -> dict[str, Any]:
        other = readable(f"contract-{world.suffix}", "210987654321", "333333333333")
        return {"name": f"other-{world.suffix}", "description": "For another test", "policy": other}


def test_access_that_is_not_declared_any_more_is_taken_back(world: World) -> None:
    group = TestModelPackageGroup().desired(world)
    group.create(world.aws)
    plain = replace(group, policy={})
    seen = plain.describe(world.aws)
    assert seen is not None
    assert [each.field for each in plain.compare(seen)] == ["policy"]
    plain.update(world.aws, seen, frozenset({"policy"}))
    plain.update(world.aws, seen, frozenset({"policy"}))
    seen = plain.describe(world.aws)
    assert seen is not None
    assert plain.compare(seen) == []
    plain.delete(world.aws, plain.name)


def test_a_policy_about_something_else_is_refused(world: World) -> None:
    group = replace(TestModelPackageGroup().desired(world), policy=readable("other", "210987654321"))
    with pytest.raises(ApiError, match="model-package-group/other"):
        group.create(world.aws)
    group.delete(world.aws, group.name)


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
        Scripted(
            {
                "DescribeModelPackageGroup": [there("Pending"), there("InProgress"), there("Completed")],
                "GetModelPackageGroupPolicy": NO_POLICY,
            }
        ).session()
    )
    assert seen is not None
    assert seen.failed is None
    absent = Refusal("ValidationException", f"ModelPackageGroup {ARN}:model-package-group/churn does not exist.")
    deleting = Scripted({"DeleteModelPackageGroup": {}, "DescribeModelPackageGroup": [there("Deleting"), absent]})
    GROUP.delete(deleting.session(), "churn")
    assert len(deleting.made("DescribeModelPackageGroup")) == 2


def test_a_group_that_failed_says_so() -> None:
    created = {"ModelPackageGroupArn": f"{ARN}:model-package-group/churn"}
    failed = {"DescribeModelPackageGroup": there("Failed"), "GetModelPackageGroupPolicy": NO_POLICY}
    scripted = Scripted({"CreateModelPackageGroup": created, **failed})
    with pytest.raises(NotSettled, match="creating model_package_group churn: it is Failed"):
        GROUP.create(scripted.session())
    seen = GROUP.describe(scripted.session())
    assert seen is not None
    assert seen.failed == "the group is Failed"
    stuck = Scripted({"DeleteModelPackageGroup": {}, "DescribeModelPackageGroup": there("DeleteFailed")})
    with pytest.raises(NotSettled, match="DeleteFailed"):
        GROUP.delete(stuck.session(), "churn")
