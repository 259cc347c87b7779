"""ml_model_serving: for each endpoint with a release its models, config and endpoint, and the role they run as."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlplat.resources import Endpoint, EndpointConfig, Model, Role
from mlplat.resources.base import Declared, Ref
from mlplat.templates import permissions
from mlplat.templates.permissions import DATA, KEY, assumed_by_sagemaker, bucket, document
from mlplat.templates.place import Place
from mlplat.templates.release import Release, Variant

if TYPE_CHECKING:
    from mlplat.settings import Settings

NAME = "ml_model_serving"
CAPTURE = "monitoring"
"""Where in the processed bucket endpoints keep what they were asked and answered: `monitoring/<endpoint>/capture`."""

ROLE = Ref(f"{NAME}.role.serving", "arn")


def ml_model_serving(settings: Settings, place: Place, releases: Mapping[str, Release]) -> list[Declared]:
    """The role, and what serves each endpoint's release; an endpoint without one has nothing yet."""
    declared = [Declared(f"{NAME}.role.serving", _role(settings, place))]
    for endpoint in settings.endpoints:
        if endpoint in releases:
            declared += _endpoint(endpoint, releases[endpoint], settings, place)
    return declared


def endpoint_name(endpoint: str, place: Place) -> str:
    """The AWS name of an endpoint of the settings."""
    return place.name(endpoint)


def digest(*content: Any) -> str:
    """Eight hex digits over what an immutable object is made of; a Ref counts as where it points."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()[:8]


def _endpoint(endpoint: str, release: Release, settings: Settings, place: Place) -> list[Declared]:
    group = settings.workloads[settings.endpoints[endpoint].workload].model_package_group
    registry = f"ml_feature_store.model_package_group.{group}"
    models = {name: _model(endpoint, name, each, settings, place) for name, each in release.variants.items()}
    config = _config(endpoint, release, models, settings, place)
    served = Endpoint(
        name=endpoint_name(endpoint, place),
        endpoint_config=Ref(f"{NAME}.endpoint_config.{endpoint}", "name"),  # type: ignore[arg-type]
        weights=release.weights,
        instance_counts={name: variant.instance_count for name, variant in release.variants.items()},
    )
    logs = f"{DATA}.log_group.inference_{endpoint}"
    return [
        *(Declared(_model_address(endpoint, name), model, after=(registry,)) for name, model in models.items()),
        Declared(f"{NAME}.endpoint_config.{endpoint}", config),
        Declared(f"{NAME}.endpoint.{endpoint}", served, after=(logs,)),
    ]


def _model_address(endpoint: str, variant: str) -> str:
    return f"{NAME}.model.{endpoint}_{variant}"


def _model(endpoint: str, name: str, variant: Variant, settings: Settings, place: Place) -> Model:
    content: dict[str, Any] = {"model_package": variant.model_package, "role": ROLE, "vpc_config": None}
    if settings.serving.in_vpc:
        content["vpc_config"] = {
            "subnets": [Ref(subnet, "id") for subnet in permissions.subnets(settings)],
            "security_groups": [Ref(permissions.SECURITY_GROUP, "id")],
        }
    return Model(name=place.name(endpoint, name, digest(endpoint, name, content)), **content)


def _config(
    endpoint: str, release: Release, models: Mapping[str, Model], settings: Settings, place: Place
) -> EndpointConfig:
    """The config; weights and instance counts are not in its digest, because the endpoint changes them in place."""
    content: dict[str, Any] = {
        "variants": [
            {
                "name": name,
                "model": Ref(_model_address(endpoint, name), "name"),
                "instance_type": variant.instance_type,
            }
            for name, variant in release.variants.items()
        ],
        "key": KEY,
        "data_capture": None,
    }
    if settings.monitoring.enabled:
        content["data_capture"] = {
            "uri": Ref(f"{DATA}.bucket.processed", "uri", f"{{}}/{CAPTURE}/{endpoint}/capture"),
            "percentage": settings.monitoring.capture_percentage,
            "key": KEY,
        }
    mark = digest(endpoint, content, [model.name for model in models.values()])
    counts = {name: variant.instance_count for name, variant in release.variants.items()}
    return EndpointConfig(name=place.name(endpoint, mark), weights=release.weights, instance_counts=counts, **content)


def _role(settings: Settings, place: Place) -> Role:
    log_groups = [f"/aws/sagemaker/Endpoints/{endpoint_name(each, place)}" for each in settings.endpoints]
    captures = [f"{CAPTURE}/{endpoint}/capture/" for endpoint in settings.endpoints]
    policies = {
        "models": document(
            permissions.find_in("models"), permissions.read(*bucket("models")), *permissions.encryption()
        ),
        "containers": document(
            *permissions.images(place, permissions.own_images(settings)),
            *([permissions.logs(place, *log_groups)] if log_groups else []),
            permissions.metrics(),
        ),
    }
    if settings.monitoring.enabled and captures:
        policies["capture"] = document(permissions.write(*bucket("processed", *captures)))
    if settings.serving.in_vpc:
        policies["network"] = document(*permissions.network(settings, place))
    return Role(
        name=place.name("serving", place.region, limit=64),
        trust=assumed_by_sagemaker(settings, place),
        policies=policies,
        description="Models behind endpoints",
    )
