"""Production variants: what an endpoint configuration says of them, and how DescribeEndpoint tells it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors.hosting import Share
from mlplat.localcloud.executors.model_data import Container
from mlplat.localcloud.executors.router import as_float32
from mlplat.localcloud.sagemaker.errors import invalid
from mlplat.localcloud.sagemaker.models import absent_model

STARTUP_SECONDS = 240.0
"""How long a container may take to answer its first ping, unless ContainerStartupHealthCheckTimeoutInSeconds says."""

NOT_SERVED = {
    "ShadowProductionVariants": "shadow variants",
    "AsyncInferenceConfig": "asynchronous inference",
    "ExplainerConfig": "explainers",
}
"""What an endpoint configuration may ask for and the local cloud does not do: refused, rather than left out."""


def check(cloud: Cloud, config: Mapping[str, Any]) -> None:
    """Refuse a configuration whose models are gone, or that asks for what nobody serves here."""
    for member, what in NOT_SERVED.items():
        if config.get(member):
            raise _not_served(what)
    for variant in config["ProductionVariants"]:
        name = variant.get("ModelName")
        if not name:
            raise _not_served("inference components (a variant without a model)")
        model = cloud.store("models").get(name)
        if model is None:
            raise absent_model(cloud, name)
        containers = [model["PrimaryContainer"]] if model.get("PrimaryContainer") else model.get("Containers", [])
        if len(containers) != 1:
            raise _not_served("inference pipelines (a model of several containers)")
        if containers[0].get("Mode") == "MultiModel":
            raise _not_served("multi-model endpoints")


def initial(cloud: Cloud, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variants as they will be once they are in service. Call with `cloud.lock` held."""
    now = cloud.now()
    return [_variant(cloud, each, now) for each in config["ProductionVariants"]]


def retain(wanted: Sequence[dict[str, Any]], old: Sequence[Mapping[str, Any]], excluded: Collection[str]) -> None:
    """RetainAllVariantProperties: variants of the same name keep their weight and count, unless excluded."""
    before = {each["VariantName"]: each for each in old}
    for variant in wanted:
        for member in ("DesiredWeight", "DesiredInstanceCount"):
            kept = before.get(variant["VariantName"], {}).get(member)
            if kept is not None and member not in excluded:
                variant[member] = kept


def settled(variants: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copies whose current weight and count are the desired ones."""
    return [
        {**each, "CurrentWeight": each["DesiredWeight"], "CurrentInstanceCount": each["DesiredInstanceCount"]}
        for each in variants
    ]


def counts(variants: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The instances that are wanted of each variant; those that say nothing of it are left out."""
    return {each["VariantName"]: each["DesiredInstanceCount"] for each in variants if "DesiredInstanceCount" in each}


def shares(variants: Sequence[Mapping[str, Any]]) -> tuple[Share, ...]:
    """How traffic is divided among settled variants."""
    return tuple(Share(each["VariantName"], each["CurrentWeight"], each["CurrentInstanceCount"]) for each in variants)


def startup(variant: Mapping[str, Any]) -> float:
    """Seconds that the variant's container may take to become ready."""
    return float(variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS))


def capture_summary(config: Mapping[str, Any]) -> dict[str, Any]:
    """DataCaptureConfigSummary."""
    enabled = bool(config.get("EnableCapture"))
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }


def _variant(cloud: Cloud, config: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    try:
        image = Container.of(cloud, config["ModelName"]).image
    except KeyError as error:
        raise invalid(f'Could not find model package "{error.args[0]}".') from error
    count = config.get("InitialInstanceCount", 1)
    found: dict[str, Any] = {
        "VariantName": config["VariantName"],
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now}],
        "CurrentWeight": 0.0,
        "DesiredWeight": as_float32(config.get("InitialVariantWeight", 1.0)),
        "CurrentInstanceCount": 0,
        "DesiredInstanceCount": count,
    }
    if serverless := config.get("ServerlessConfig"):
        found |= {"CurrentServerlessConfig": serverless, "DesiredServerlessConfig": serverless}
    for member in ("ManagedInstanceScaling", "RoutingConfig"):
        if member in config:
            found[member] = config[member]
    return found


def _not_served(what: str) -> AwsError:
    return invalid(f"The local cloud does not serve {what}.")
