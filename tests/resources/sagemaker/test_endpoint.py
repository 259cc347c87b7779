from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import KindContract, World
from tests.resources.sagemaker.scripted import ARN, Refusal, Scripted, absent
from tests.resources.sagemaker.test_model import IMAGE

from mlplat.errors import ApiError, NotSettled
from mlplat.resources import Endpoint
from mlplat.resources.sagemaker.traffic import shares

WANTED = Endpoint(
    name="churn",
    endpoint_config="churn-new",
    weights={"primary": 0.8, "challenger": 0.2},
    instance_counts={"primary": 2, "challenger": 1},
)

CODE = """
def model_fn(model_dir):
    return "a model"

def transform_fn(model, body, content_type, accept):
    return model, accept
"""


def there(status: str = "InService", **changes: Any) -> dict[str, Any]:
    """An endpoint as SageMaker describes it; weights come back as float32."""
    weights, counts = changes.pop("weights", (0.800000011920929, 0.20000000298023224)), changes.pop("counts", (2, 1))
    answer = {
        "EndpointName": "churn",
        "EndpointArn": f"{ARN}:endpoint/churn",
        "EndpointConfigName": "churn-new",
        "EndpointStatus": status,
        "ProductionVariants": [
            {
                "VariantName": name,
                "CurrentWeight": weight,
                "DesiredWeight": weight,
                "CurrentInstanceCount": count,
                "DesiredInstanceCount": count,
            }
            for name, weight, count in zip(("primary", "challenger"), weights, counts, strict=True)
        ],
        "CreationTime": 1,
        "LastModifiedTime": 1,
    }
    return answer | changes


class TestEndpoint(KindContract):
    def desired(self, world: World) -> Endpoint:
        names = config(world, "a")
        return Endpoint(
            name=f"endpoint-{world.suffix}",
            endpoint_config=names,
            weights={"primary": 0.8, "challenger": 0.2},
            instance_counts={"primary": 1, "challenger": 1},
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "weights": {"primary": 1, "challenger": 3},
            "instance_counts": {"primary": 2, "challenger": 1},
            "endpoint_config": config(world, "b"),
        }


def config(world: World, name: str) -> str:
    """A config with two variants, made when it isn't there."""
    sagemaker, model, config = world.client("sagemaker"), f"model-{world.suffix}", f"config-{name}-{world.suffix}"
    if not sagemaker.list_models(NameContains=world.suffix)["Models"]:
        container = {
            "Image": IMAGE,
            "ModelDataUrl": artifact(world),
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
        }
        sagemaker.create_model(ModelName=model, ExecutionRoleArn=world.role, PrimaryContainer=container)
    if not sagemaker.list_endpoint_configs(NameContains=config)["EndpointConfigs"]:
        variants = [
            {
                "VariantName": variant,
                "ModelName": model,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                "InitialVariantWeight": 1.0,
            }
            for variant in ("primary", "challenger")
        ]
        sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)
    return config


def artifact(world: World) -> str:
    """The address of a model.tar.gz that can be served."""
    body, code = io.BytesIO(), CODE.encode()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(code)
        archive.addfile(entry, io.BytesIO(code))
    world.client("s3").put_object(Bucket=world.bucket, Key="served/model.tar.gz", Body=body.getvalue())
    return f"s3://{world.bucket}/served/model.tar.gz"


def test_weights_are_shares_and_float32() -> None:
    assert shares({"a": 8, "b": 2}) == shares({"a": 0.8, "b": 0.2}) == {"a": 0.8, "b": 0.2}
    assert shares({"a": 0.1234565, "b": 1}) == shares({"a": 0.12345650047063828, "b": 1.0})
    assert shares({"a": 0, "b": 0}) == {"a": 0, "b": 0}
    seen = WANTED.describe(Scripted({"DescribeEndpoint": there(weights=(4, 1))}).session())
    assert seen is not None
    assert WANTED.compare(seen) == []
    assert [change.field for change in replace(WANTED, weights={"primary": 1, "challenger": 1}).compare(seen)] == [
        "weights"
    ]


def test_an_update_that_was_rolled_back_is_a_failure_with_the_reason() -> None:
    rolled_back = there(EndpointConfigName="churn-old", FailureReason="the container did not pass the ping")
    scripted = Scripted({"UpdateEndpoint": {"EndpointArn": ARN}, "DescribeEndpoint": [there("Updating"), rolled_back]})
    aws = scripted.session()
    seen = WANTED.describe(Scripted({"DescribeEndpoint": there(EndpointConfigName="churn-old")}).session())
    assert seen is not None
    with pytest.raises(NotSettled, match="rolled back to churn-old: the container did not pass the ping"):
        WANTED.update(aws, seen, frozenset({"endpoint_config"}))
    assert scripted.made("UpdateEndpoint") == [{"EndpointName": "churn", "EndpointConfigName": "churn-new"}]


def test_a_new_config_whose_weights_are_old_gets_the_desired_ones() -> None:
    scripted = Scripted(
        {
            "UpdateEndpoint": {"EndpointArn": ARN},
            "UpdateEndpointWeightsAndCapacities": {"EndpointArn": ARN},
            "DescribeEndpoint": [there(weights=(1, 0), counts=(1, 1)), there(counts=(1, 1)), there()],
        }
    )
    aws = scripted.session()
    seen = WANTED.describe(Scripted({"DescribeEndpoint": there(EndpointConfigName="churn-old")}).session())
    assert seen is not None
    WANTED.update(aws, seen, frozenset({"endpoint_config"}))
    weights, counts = scripted.made("UpdateEndpointWeightsAndCapacities")
    assert weights["DesiredWeightsAndCapacities"] == [
        {"VariantName": "primary", "DesiredWeight": 0.8},
        {"VariantName": "challenger", "DesiredWeight": 0.2},
    ]
    assert counts["DesiredWeightsAndCapacities"] == [{"VariantName": "primary", "DesiredInstanceCount": 2}]


def test_weights_that_did_not_take_are_a_failure() -> None:
    scripted = Scripted(
        {
            "UpdateEndpointWeightsAndCapacities": {"EndpointArn": ARN},
            "DescribeEndpoint": there(weights=(1, 1), FailureReason="no capacity"),
        }
    )
    aws = scripted.session()
    seen = WANTED.describe(aws)
    assert seen is not None
    with pytest.raises(NotSettled, match=r"left weights at .*0\.5.*no capacity"):
        WANTED.update(aws, seen, frozenset({"weights"}))


def test_a_busy_endpoint_is_waited_for() -> None:
    busy = Refusal("ValidationException", f'Cannot update in-progress endpoint "{ARN}:endpoint/churn".')
    scripted = Scripted(
        {"DeleteEndpoint": [busy, busy, {}], "DescribeEndpoint": [there("Deleting"), absent("endpoint")]}
    )
    WANTED.delete(scripted.session(), "churn")
    assert len(scripted.made("DeleteEndpoint")) == 3


def test_a_config_that_is_not_known_everywhere_yet_is_waited_for() -> None:
    answers = [absent("endpoint configuration"), {"EndpointArn": ARN}]
    scripted = Scripted({"CreateEndpoint": answers, "DescribeEndpoint": [there("Creating"), there()]})
    assert WANTED.create(scripted.session()) == "churn"
    assert len(scripted.made("CreateEndpoint")) == 2


def test_other_refusals_are_not_repeated() -> None:
    quota = Refusal("ResourceLimitExceeded", "The account-level service limit is 0 Instances")
    scripted = Scripted({"CreateEndpoint": quota})
    with pytest.raises(ApiError, match="ResourceLimitExceeded"):
        WANTED.create(scripted.session())
    assert len(scripted.made("CreateEndpoint")) == 1


def test_a_creation_that_failed_says_why_and_is_seen_as_failed() -> None:
    failed = there("Failed", FailureReason="unable to pull the image")
    scripted = Scripted({"CreateEndpoint": {"EndpointArn": ARN}, "DescribeEndpoint": [there("Creating"), failed]})
    with pytest.raises(NotSettled, match="creating endpoint churn: Failed: unable to pull the image"):
        WANTED.create(scripted.session())
    seen = WANTED.describe(Scripted({"DescribeEndpoint": failed}).session())
    assert seen is not None
    assert seen.failed == "Failed: unable to pull the image"


def test_a_mix_of_old_and_new_instances_is_moved_again() -> None:
    seen = WANTED.describe(Scripted({"DescribeEndpoint": there("UpdateRollbackFailed")}).session())
    assert seen is not None
    assert seen.failed is None
    assert [change.field for change in WANTED.compare(seen)] == ["endpoint_config"]


def test_counts_of_scaled_variants_are_not_compared() -> None:
    scaled = replace(WANTED, instance_counts={"primary": 2})
    seen = scaled.describe(Scripted({"DescribeEndpoint": there(counts=(2, 7))}).session())
    assert seen is not None
    assert scaled.compare(seen) == []
    assert replace(WANTED, instance_counts=None).compare(seen) == []
