"""A feature group as a Python program for the SageMaker SDK (v3), which makes it where there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlplat.workflows.features.groups import Schema
from mlplat.workflows.platform import Platform

SHAPES = {
    "FeatureDefinitions": "FeatureDefinition",
    "CollectionConfig": "CollectionConfig",
    "VectorConfig": "VectorConfig",
    "OnlineStoreConfig": "OnlineStoreConfig",
    "SecurityConfig": "OnlineStoreSecurityConfig",
    "TtlDuration": "TtlDuration",
    "OfflineStoreConfig": "OfflineStoreConfig",
    "S3StorageConfig": "S3StorageConfig",
    "DataCatalogConfig": "DataCatalogConfig",
    "ThroughputConfig": "ThroughputConfig",
}
"""Members of CreateFeatureGroup by the SDK's classes for them."""

TAKEN = (
    "FeatureGroupName", "Description", "RecordIdentifierFeatureName", "EventTimeFeatureName", "FeatureDefinitions",
    "OnlineStoreConfig", "OfflineStoreConfig", "ThroughputConfig", "RoleArn",
)  # fmt: skip


def python(platform: Platform, schema: Schema) -> str:
    """The program. Nothing imports mlplat in it."""
    client = platform.session.client("sagemaker")
    answer = client.describe_feature_group(FeatureGroupName=schema.name)
    made = {key: answer[key] for key in TAKEN if answer.get(key)}
    made["FeatureDefinitions"] = [each.definition for each in schema.features.values()]
    if offline := made.get("OfflineStoreConfig"):
        storage = {key: value for key, value in offline["S3StorageConfig"].items() if key != "ResolvedOutputS3Uri"}
        made["OfflineStoreConfig"] = {**offline, "S3StorageConfig": storage}
    used: set[str] = set()
    lines = [f"    {_snake(key)}={_shown(key, value, used, 4)}," for key, value in made.items()]
    call = "\n".join(["FeatureGroup.create(", *lines, ")"])
    shapes = ", ".join(sorted(used))
    return (
        f'"""Feature group {schema.group} of namespace {platform.settings.namespace}, version {schema.version}."""\n\n'
        f"from sagemaker.core.resources import FeatureGroup\nfrom sagemaker.core.shapes import {shapes}\n\n{call}\n"
    )


def _shown(key: str, value: Any, used: set[str], indent: int) -> str:
    if isinstance(value, Mapping):
        used.add(SHAPES[key])
        inner = ", ".join(f"{_snake(name)}={_shown(name, each, used, indent)}" for name, each in value.items())
        return f"{SHAPES[key]}({inner})"
    if isinstance(value, list):
        pad = " " * (indent + 4)
        items = "".join(f"{pad}{_shown(key, each, used, indent + 4)},\n" for each in value)
        return f"[\n{items}{' ' * indent}]"
    return repr(value)


def _snake(name: str) -> str:
    """As the SDK names members: FeatureGroupName, S3Uri -> feature_group_name, s3_uri."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
