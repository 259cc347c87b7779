from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.resources.contract import KindContract, World
from tests.resources.sagemaker.scripted import ARN, Refusal, Scripted, absent

from mlplat.resources import Model

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
PACKAGE = f"{ARN}:model-package/churn/3"
OF_A_PACKAGE = Model(name="churn-1", role="arn:aws:iam::123456789012:role/serving", model_package=PACKAGE)


class TestModel(KindContract):
    def desired(self, world: World) -> Model:
        return Model(
            name=f"model-{world.suffix}",
            role=world.role,
            image=IMAGE,
            model_data=world.model_data,
            environment={"SAGEMAKER_PROGRAM": "inference.py"},
            vpc_config={"subnets": world.subnets, "security_groups": [world.security_group]},
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "name": f"other-{world.suffix}",
            "role": "arn:aws:iam::123456789012:role/other",
            "image": f"{IMAGE}-other",
            "model_data": "s3://other/model.tar.gz",
            "environment": {"SAGEMAKER_PROGRAM": "other.py"},
            "vpc_config": {"subnets": world.subnets[:1], "security_groups": [world.security_group]},
        }


class TestModelOfAPackage(KindContract):
    def desired(self, world: World) -> Model:
        return Model(name=f"model-{world.suffix}", role=world.role, model_package=package(world))

    def changes(self, world: World) -> dict[str, Any]:
        return {"model_package": PACKAGE}

    def test_the_package_can_be_read_back(self, world: World) -> None:
        model = self.desired(world)
        model.create(world.aws)
        seen = model.describe(world.aws)
        assert seen is not None
        assert seen.outputs["model_package"] == model.model_package
        model.delete(world.aws, seen.id)


def package(world: World) -> str:
    """The ARN of an approved version, made when it isn't there."""
    sagemaker, group = world.client("sagemaker"), f"group-{world.suffix}"
    if not sagemaker.list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]:
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    known = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    if known:
        return str(known[0]["ModelPackageArn"])
    return str(
        sagemaker.create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": world.model_data}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
                "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
                "SupportedTransformInstanceTypes": ["ml.m5.large"],
            },
        )["ModelPackageArn"]
    )


def described(**changes: Any) -> dict[str, Any]:
    answer = {
        "ModelName": "churn-1",
        "ModelArn": f"{ARN}:model/churn-1",
        "ExecutionRoleArn": OF_A_PACKAGE.role,
        "CreationTime": 1,
        "PrimaryContainer": {"ModelPackageName": PACKAGE, "Environment": {"FROM_THE_PACKAGE": "1"}},
    }
    return answer | changes


def test_a_role_made_just_now_is_waited_for() -> None:
    fresh = Refusal("ValidationException", "Could not assume role arn:aws:iam::123456789012:role/serving.")
    scripted = Scripted({"CreateModel": [fresh, {"ModelArn": f"{ARN}:model/churn-1"}]})
    assert OF_A_PACKAGE.create(scripted.session()) == "churn-1"
    first, again = scripted.made("CreateModel")
    assert first == again
    assert first["PrimaryContainer"] == {"ModelPackageName": PACKAGE}


def test_a_single_container_in_a_list_is_the_model_too() -> None:
    listed = described(Containers=[{"ModelPackageName": PACKAGE}])
    del listed["PrimaryContainer"]
    seen = OF_A_PACKAGE.describe(Scripted({"DescribeModel": listed}).session())
    assert seen is not None
    assert seen.fields["model_package"] == PACKAGE


def test_what_the_package_sets_is_no_change() -> None:
    seen = OF_A_PACKAGE.describe(Scripted({"DescribeModel": described()}).session())
    assert seen is not None
    assert OF_A_PACKAGE.compare(seen) == []
    assert replace(OF_A_PACKAGE, environment={"OURS": "1"}).compare(seen) != []


def test_subnets_in_another_order_are_no_change() -> None:
    model = replace(OF_A_PACKAGE, vpc_config={"subnets": ["subnet-a", "subnet-b"], "security_groups": ["sg-a"]})
    vpc = {"Subnets": ["subnet-b", "subnet-a"], "SecurityGroupIds": ["sg-a"]}
    seen = model.describe(Scripted({"DescribeModel": described(VpcConfig=vpc)}).session())
    assert seen is not None
    assert model.compare(seen) == []


def test_the_model_that_the_state_remembers_comes_first() -> None:
    newer = replace(OF_A_PACKAGE, name="churn-2")
    scripted = Scripted({"DescribeModel": described()})
    seen = newer.describe(scripted.session(), "churn-1")
    assert seen is not None
    assert {change.field for change in newer.compare(seen)} == {"name"}
    assert scripted.made("DescribeModel") == [{"ModelName": "churn-1"}]
    gone = Scripted({"DescribeModel": [absent("model"), described(ModelName="churn-2")]})
    found = newer.describe(gone.session(), "churn-1")
    assert found is not None
    assert found.id == "churn-2"
