"""What the state forgot, read back from what is live: the release that an endpoint serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlplat.aws import Session, tag_map
from mlplat.templates.release import Release, Variant

UNCHANGING = frozenset({"InService", "Creating", "Updating", "SystemUpdating", "RollingBack"})
"""Statuses in which an endpoint serves, or is on its way to serve, what its config says."""


def live_release(session: Session, endpoint: str) -> Release | None:
    """The release of our endpoint of that AWS name; None when there is none, or it isn't this namespace's."""
    client = session.client("sagemaker")
    live = session.find(lambda: client.describe_endpoint(EndpointName=endpoint))
    if live is None or live["EndpointStatus"] not in UNCHANGING or not _is_ours(session, live["EndpointArn"]):
        return None
    config = session.find(lambda: client.describe_endpoint_config(EndpointConfigName=live["EndpointConfigName"]))
    if config is None:
        return None
    running = {each["VariantName"]: each for each in live.get("ProductionVariants", [])}
    found = {
        each["VariantName"]: _variant(session, each, running.get(each["VariantName"], {}))
        for each in config["ProductionVariants"]
    }
    variants = {name: variant for name, variant in found.items() if variant is not None}
    return Release(variants) if len(variants) == len(found) else None


def _is_ours(session: Session, arn: str) -> bool:
    tags = tag_map(list(session.client("sagemaker").pages("list_tags", "Tags", ResourceArn=arn)))
    return tags.get("ManagedBy") == "mlplat" and tags.get("mlplat:namespace") == session.namespace


def _variant(session: Session, declared: Mapping[str, Any], running: Mapping[str, Any]) -> Variant | None:
    """One variant; None when its model isn't of a model package, so no release can name it."""
    client = session.client("sagemaker")
    model = session.find(lambda: client.describe_model(ModelName=declared["ModelName"]))
    containers = [model.get("PrimaryContainer") or {}, *model.get("Containers", [])] if model else []
    package = next((each["ModelPackageName"] for each in containers if "ModelPackageName" in each), None)
    if package is None:
        return None
    return Variant(
        model_package=package,
        version=int(package.rsplit("/", 1)[1]),
        weight=round(float(running.get("DesiredWeight", declared["InitialVariantWeight"])), 6),
        instance_type=declared["InstanceType"],
        instance_count=int(running.get("DesiredInstanceCount", declared["InitialInstanceCount"])),
    )
