from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.resources.contract import KindContract, World
from tests.resources.sagemaker.test_model import IMAGE

from mlplat.resources import EndpointConfig


def model(world: World, name: str) -> str:
    """The name of a model, made when it isn't there."""
    full = f"{name}-{world.suffix}"
    if not world.client("sagemaker").list_models(NameContains=full)["Models"]:
        container = {"Image": IMAGE, "ModelDataUrl": world.model_data}
        world.client("sagemaker").create_model(ModelName=full, ExecutionRoleArn=world.role, PrimaryContainer=container)
    return full


class TestEndpointConfig(KindContract):
    def desired(self, world: World) -> EndpointConfig:
        return EndpointConfig(
            name=f"config-{world.suffix}",
            variants=[
                {"name": name, "model": model(world, "a"), "instance_type": "ml.m5.large"}
                for name in ("primary", "challenger")
            ],
            weights={"primary": 0.8, "challenger": 0.0},
            instance_counts={"primary": 2, "challenger": 1},
            data_capture={"uri": f"s3://{world.bucket}/capture", "percentage": 50, "key": world.key},
            key=world.key,
        )

    def changes(self, world: World) -> dict[str, Any]:
        desired = self.desired(world)
        first, second = desired.variants
        return {
            "name": f"other-{world.suffix}",
            "variants": [{**first, "instance_type": "ml.c5.large"}, second],
            "weights": {"primary": 0.5, "challenger": 0.5},
            "instance_counts": {"primary": 1, "challenger": 1},
            "data_capture": {**(desired.data_capture or {}), "percentage": 10},
            "key": "arn:aws:kms:us-east-1:123456789012:key/other",
        }


def test_weights_and_counts_are_given_at_the_start(world: World) -> None:
    config = TestEndpointConfig().desired(world)
    config.create(world.aws)
    answer = world.client("sagemaker").describe_endpoint_config(EndpointConfigName=config.name)
    variants = {each["VariantName"]: each for each in answer["ProductionVariants"]}
    assert {name: each["InitialInstanceCount"] for name, each in variants.items()} == config.instance_counts
    assert variants["challenger"]["InitialVariantWeight"] == 0
    assert abs(variants["primary"]["InitialVariantWeight"] - 0.8) < 1e-6
    config.delete(world.aws, config.name)


def test_nothing_is_captured_or_encrypted_unless_wanted(world: World) -> None:
    config = replace(TestEndpointConfig().desired(world), data_capture=None, key=None)
    config.create(world.aws)
    answer = world.client("sagemaker").describe_endpoint_config(EndpointConfigName=config.name)
    assert "DataCaptureConfig" not in answer
    assert "KmsKeyId" not in answer
    seen = config.describe(world.aws)
    assert seen is not None
    assert config.compare(seen) == []
    assert {each.field for each in replace(config, key=world.key).compare(seen)} == {"key"}
    config.delete(world.aws, config.name)
