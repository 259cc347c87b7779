"""Models, endpoint configs and tags: duplicates, absent references, filters, and answers without empty structures."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ARN = "arn:aws:sagemaker:us-east-1:123456789012"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def refusal(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


@pytest.fixture
def sagemaker(cloud: Any) -> Any:
    return cloud.client("sagemaker")


@pytest.fixture(scope="module")
def role(cloud: Any) -> str:
    document = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    made = cloud.client("iam").create_role(RoleName=unique("models"), AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


@pytest.fixture(scope="module")
def artifact(cloud: Any) -> str:
    bucket = unique("models")
    cloud.client("s3").create_bucket(Bucket=bucket)
    cloud.client("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=b"")
    return f"s3://{bucket}/model.tar.gz"


@pytest.fixture
def model(sagemaker: Any, role: str, artifact: str) -> str:
    name = unique("model")
    container = {"Image": "image", "ModelDataUrl": artifact, "Environment": {"A": "1"}}
    sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container, Tags=[{"Key": "a", "Value": "1"}]
    )
    return name


def variant(model: str, name: str = "primary", **more: Any) -> dict[str, Any]:
    return {"VariantName": name, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **more}


def test_a_model_answers_what_it_was_made_of_and_nothing_empty(
    sagemaker: Any, model: str, role: str, artifact: str
) -> None:
    seen = sagemaker.describe_model(ModelName=model)
    del seen["ResponseMetadata"], seen["CreationTime"]
    assert seen == {
        "ModelName": model,
        "ModelArn": f"{ARN}:model/{model}",
        "ExecutionRoleArn": role,
        "EnableNetworkIsolation": False,
        "PrimaryContainer": {
            "Image": "image",
            "ModelDataUrl": artifact,
            "Environment": {"A": "1"},
            "Mode": "SingleModel",
        },
    }


def test_a_model_is_made_once_by_a_role_that_is_there(sagemaker: Any, model: str, role: str) -> None:
    request = {"ModelName": model, "PrimaryContainer": {"Image": "image"}}
    said = refusal(sagemaker.create_model, **request, ExecutionRoleArn=role)
    assert said == f'ValidationException: Cannot create already existing model "{ARN}:model/{model}".'
    said = refusal(sagemaker.create_model, **{**request, "ModelName": unique("m")}, ExecutionRoleArn=f"{role}-not")
    assert said.startswith(f"ValidationException: Could not assume role {role}-not.")
    package = {"ModelPackageName": f"{ARN}:model-package/absent/1"}
    request = {"ModelName": unique("m"), "PrimaryContainer": package, "ExecutionRoleArn": role}
    assert "does not exist" in refusal(sagemaker.create_model, **request)
    assert refusal(sagemaker.create_model, ModelName=unique("m"), ExecutionRoleArn=role).startswith("ValidationExc")


def test_lists_filter_sort_and_page(sagemaker: Any, role: str) -> None:
    mark = unique("listed")
    for letter in "bca":
        sagemaker.create_model(ModelName=f"{mark}-{letter}", PrimaryContainer={"Image": "image"}, ExecutionRoleArn=role)

    def names(**asked: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_models").paginate(NameContains=mark, **asked)
        return [each["ModelName"].removeprefix(f"{mark}-") for page in pages for each in page["Models"]]

    assert names(SortBy="Name", SortOrder="Ascending") == ["a", "b", "c"]
    assert names(SortBy="Name", SortOrder="Descending", PaginationConfig={"PageSize": 2}) == ["c", "b", "a"]
    assert names(SortBy="CreationTime", SortOrder="Ascending") == ["b", "c", "a"]
    assert names(CreationTimeAfter="2100-01-01") == []


def test_a_config_needs_its_models_when_it_is_made_and_not_later(sagemaker: Any, model: str) -> None:
    name = unique("config")
    said = refusal(sagemaker.create_endpoint_config, EndpointConfigName=name, ProductionVariants=[variant("absent")])
    assert said == f'ValidationException: Could not find model "{ARN}:model/absent".'
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant(model, InitialVariantWeight=0.2)]
    )
    again = {"EndpointConfigName": name, "ProductionVariants": [variant(model)]}
    assert refusal(sagemaker.create_endpoint_config, **again) == (
        f'ValidationException: Cannot create already existing endpoint configuration "{ARN}:endpoint-config/{name}".'
    )
    twice = {"EndpointConfigName": unique("c"), "ProductionVariants": [variant(model), variant(model)]}
    assert "primary" in refusal(sagemaker.create_endpoint_config, **twice)
    sagemaker.delete_model(ModelName=model)  # in use, and accepted
    (seen,) = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
    assert seen["InitialVariantWeight"] == 0.20000000298023224  # SageMaker keeps 32 bits
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    assert refusal(sagemaker.describe_endpoint_config, EndpointConfigName=name) == (
        f'ValidationException: Could not find endpoint configuration "{ARN}:endpoint-config/{name}".'
    )


def test_what_is_not_there_can_not_be_deleted(sagemaker: Any) -> None:
    said = refusal(sagemaker.delete_model, ModelName="absent")
    assert said == f'ValidationException: Could not find model "{ARN}:model/absent".'
    assert "Could not find" in refusal(sagemaker.delete_endpoint_config, EndpointConfigName="absent")


def test_tags_are_added_overwritten_and_removed(sagemaker: Any, model: str) -> None:
    arn = f"{ARN}:model/{model}"
    answer = sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}])
    assert answer["Tags"] == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a", "absent"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": ""}]
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    assert refusal(sagemaker.add_tags, ResourceArn=arn, Tags=many).startswith("ResourceLimitExceeded")
    sagemaker.delete_model(ModelName=model)
    assert "Could not find" in refusal(sagemaker.list_tags, ResourceArn=arn)


def test_tags_of_what_moto_keeps_are_motos(sagemaker: Any) -> None:
    arn = sagemaker.create_experiment(ExperimentName=unique("e"))["ExperimentArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]


def test_a_models_data_is_there(sagemaker: Any, role: str, artifact: str) -> None:
    for url in (f"{artifact}.not", "s3://nobodys-bucket-at-all/model.tar.gz"):
        request = {"ModelName": unique("m"), "ExecutionRoleArn": role}
        request["PrimaryContainer"] = {"Image": "image", "ModelDataUrl": url}
        assert refusal(sagemaker.create_model, **request) == f"ValidationException: Could not find model data at {url}."
    several = {"Image": "image", "ModelDataUrl": artifact.removesuffix("model.tar.gz"), "Mode": "MultiModel"}
    sagemaker.create_model(ModelName=unique("m"), ExecutionRoleArn=role, PrimaryContainer=several)


def test_a_model_has_one_container_or_several(sagemaker: Any, role: str) -> None:
    image = {"Image": "image"}
    request = {"ModelName": unique("m"), "ExecutionRoleArn": role, "PrimaryContainer": image, "Containers": [image]}
    assert refusal(sagemaker.create_model, **request).startswith("ValidationException: Only one of")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"InstanceType": None}, "must have an InstanceType or a ServerlessConfig"),
        ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}, "can't have instances"),
        (
            {
                "InstanceType": None,
                "InitialInstanceCount": None,
                "ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1},
            },
            "must be a multiple of 1024 MB",
        ),
    ],
)
def test_a_variant_has_instances_or_is_serverless(
    sagemaker: Any, model: str, changes: dict[str, Any], said: str
) -> None:
    given = {key: value for key, value in (variant(model) | changes).items() if value is not None}
    refused = refusal(sagemaker.create_endpoint_config, EndpointConfigName=unique("c"), ProductionVariants=[given])
    assert said in refused


def test_a_shadow_stands_behind_one_variant(sagemaker: Any, model: str) -> None:
    request = {"EndpointConfigName": unique("c"), "ShadowProductionVariants": [variant(model, "shadow")]}
    two = [variant(model), variant(model, "second")]
    assert "one variant of each kind" in refusal(sagemaker.create_endpoint_config, **request, ProductionVariants=two)
    sagemaker.create_endpoint_config(**request, ProductionVariants=two[:1])


def test_keys_of_aws_are_not_given(sagemaker: Any, model: str, role: str) -> None:
    tags = [{"Key": "aws:mine", "Value": ""}]
    said = refusal(sagemaker.add_tags, ResourceArn=f"{ARN}:model/{model}", Tags=tags)
    assert said.startswith("ValidationException: Tag keys that start with aws:")
    request = {"ModelName": unique("m"), "ExecutionRoleArn": role, "PrimaryContainer": {"Image": "image"}}
    assert "aws:" in refusal(sagemaker.create_model, **request, Tags=tags)
    assert "Could not find" in refusal(sagemaker.describe_model, ModelName=request["ModelName"])
