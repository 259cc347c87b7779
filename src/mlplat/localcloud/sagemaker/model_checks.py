"""What SageMaker looks at when a model or an endpoint configuration is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.s3_data import Place
from mlplat.localcloud.sagemaker.errors import invalid

VARIANTS = ("ProductionVariants", "ShadowProductionVariants")
SERVERLESS_STEP = 1024
"""MiB by which a serverless variant's memory grows (API reference, ProductionVariantServerlessConfig)."""


def check_data(cloud: Cloud, container: Mapping[str, Any], role: str) -> None:
    """The artifact must be there and the role must see it; both texts as SageMaker's users quote them.

    What a model package names was looked at when the package was made. Don't hold the cloud's lock.
    """
    url = container.get("ModelDataUrl", "")
    if not url or container.get("Mode") == "MultiModel":  # a prefix, which may be empty still
        return
    place, s3 = Place.parse(url), acting(cloud, role).aws("s3")
    try:
        s3.head_object(Bucket=place.bucket, Key=place.key)
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise invalid(f"Could not find model data at {url}.") from error
        raise invalid(
            f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its trust '
            'relationship policy allows the action "sts:AssumeRole" for the service principal '
            '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the object '
            f"is located in {cloud.region}."
        ) from error


def check_variants(config: Mapping[str, Any]) -> None:
    """API reference of CreateEndpointConfig and ProductionVariant; the words are not verified."""
    variants = [variant for key in VARIANTS for variant in config.get(key, ())]
    names = [variant["VariantName"] for variant in variants]
    if twice := {name for name in names if names.count(name) > 1}:
        raise invalid(f"Duplicate variant name {min(twice)}.")
    if config.get("ShadowProductionVariants") and any(len(config.get(key, ())) > 1 for key in VARIANTS):
        raise invalid("With a shadow variant there is one variant of each kind.")
    for variant in variants:
        _check_machine(variant)


def _check_machine(variant: Mapping[str, Any]) -> None:
    """Either instances, or serverless."""
    name, serverless = variant["VariantName"], variant.get("ServerlessConfig")
    if serverless is None:
        if not variant.get("InstanceType") and not variant.get("InstancePools"):
            raise invalid(f"Variant {name} must have an InstanceType or a ServerlessConfig.")
    elif variant.get("InstanceType") or variant.get("InitialInstanceCount"):
        raise invalid(f"Variant {name} can't have instances and a ServerlessConfig.")
    elif serverless["MemorySizeInMB"] % SERVERLESS_STEP:
        raise invalid(f"The memory of variant {name} must be a multiple of {SERVERLESS_STEP} MB.")
