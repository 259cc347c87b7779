"""Feature groups as records meet them: which one is meant, what it is called on AWS, and its schema there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlplat.errors import UsageError, telling
from mlplat.settings import FeatureGroup
from mlplat.workflows.choice import chosen
from mlplat.workflows.platform import Platform

RUNTIME = "sagemaker-featurestore-runtime"


@dataclass(frozen=True)
class Feature:
    """One feature as AWS has it."""

    name: str
    type: str
    """Integral, Fractional or String."""
    collection: str | None = None
    """List, Set or Vector; None for one value."""
    dimension: int | None = None
    """How many values a Vector has."""

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> Feature:
        """Read one of DescribeFeatureGroup's FeatureDefinitions."""
        vector = (definition.get("CollectionConfig") or {}).get("VectorConfig") or {}
        return cls(
            definition["FeatureName"],
            definition["FeatureType"],
            definition.get("CollectionType"),
            vector.get("Dimension"),
        )


@dataclass(frozen=True)
class Schema:
    """What a record of a group has to look like, as the group is on AWS now."""

    group: str
    """Its name in the configuration."""
    name: str
    """Its name on AWS."""
    created: datetime
    """A group of the same name made at another time is another group."""
    identifier: str
    event_time: str
    features: Mapping[str, Feature]


def group_of(platform: Platform, name: str | None) -> tuple[str, FeatureGroup]:
    """The feature group of that name, or the only one there is. Raises UsageError with the nearest name."""
    return chosen(platform.settings.feature_groups, name, "feature group", "mlplat config show feature_groups")


def physical(platform: Platform, group: str) -> str:
    """The AWS name of a feature group. Raises UsageError when it is not applied."""
    return str(platform.output(f"ml_feature_store.feature_group.{group}", "name"))


def schema_of(platform: Platform, group: str) -> Schema:
    """The schema of a group, read from AWS: what the configuration says may not be applied yet."""
    name = physical(platform, group)
    client = platform.session.client("sagemaker")
    with telling(f"describing feature group {group}", "mlplat apply --template ml_feature_store"):
        answer = client.describe_feature_group(FeatureGroupName=name)
        definitions, token = list(answer["FeatureDefinitions"]), answer.get("NextToken")
        while token:
            page = client.describe_feature_group(FeatureGroupName=name, NextToken=token)
            definitions, token = [*definitions, *page["FeatureDefinitions"]], page.get("NextToken")
    if answer["FeatureGroupStatus"] != "Created":
        status = answer.get("FailureReason") or answer["FeatureGroupStatus"]
        raise UsageError(f"using feature group {group}: it is not ready: {status}", hint="mlplat apply")
    return Schema(
        group,
        name,
        answer["CreationTime"],
        answer["RecordIdentifierFeatureName"],
        answer["EventTimeFeatureName"],
        {each["FeatureName"]: Feature.of(each) for each in definitions},
    )
