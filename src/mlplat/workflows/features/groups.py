"""Feature groups as records meet them: which one is meant, what it is called on AWS, and its schema there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
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

    @property
    def shown(self) -> str:
        """Its type for people: `Vector(768) of Fractional`."""
        if self.collection is None:
            return self.type
        return f"{self.collection}{f'({self.dimension})' if self.dimension else ''} of {self.type}"

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
    table: tuple[str, str] | None = None
    """The Glue database and table of the offline store; None without one."""


def group_of(platform: Platform, name: str | None) -> tuple[str, FeatureGroup]:
    """The feature group of that name, or the only one there is. Raises UsageError with the nearest name."""
    return chosen(platform.settings.feature_groups, name, "feature group", "mlplat features describe")


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
        _table(answer),
    )


def _table(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    catalog = (answer.get("OfflineStoreConfig") or {}).get("DataCatalogConfig")
    return (catalog["Database"], catalog["TableName"]) if catalog else None


@dataclass(frozen=True)
class Summary:
    """A group of the configuration, and whether it is there."""

    group: str
    name: str | None
    status: str
    features: int
    identifier: str
    event_time: str
    online: bool
    offline: bool

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def summaries(platform: Platform) -> list[Summary]:
    """Every group of the configuration."""
    entries, found = platform.store.load().entries, []
    for group, declared in platform.settings.feature_groups.items():
        entry = entries.get(f"ml_feature_store.feature_group.{group}")
        name = entry.outputs.get("name") if entry is not None else None
        answer = None if name is None else platform.session.find(partial(_described, platform, name))
        status = "not applied" if answer is None else answer["FeatureGroupStatus"]
        count, stores = len(declared.features), (declared.online, declared.offline)
        found.append(Summary(group, name, status, count, declared.record_identifier, declared.event_time, *stores))
    return found


def _described(platform: Platform, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = platform.session.client("sagemaker").describe_feature_group(FeatureGroupName=name)
    return answer


def details(platform: Platform, group: str) -> dict[str, Any]:
    """What there is to know of a group: facts, then `features` with name, type and role."""
    schema = schema_of(platform, group_of(platform, group)[0])
    answer = _described(platform, schema.name)
    offline, online = answer.get("OfflineStoreConfig") or {}, answer.get("OnlineStoreConfig") or {}
    roles = {schema.identifier: "record identifier", schema.event_time: "event time"}
    return {
        "group": schema.group,
        "name": schema.name,
        "arn": answer["FeatureGroupArn"],
        "status": answer["FeatureGroupStatus"],
        "description": answer.get("Description"),
        "created": str(schema.created),
        "online": online.get("StorageType", "Standard") if online.get("EnableOnlineStore") else None,
        "online_bytes": answer.get("OnlineStoreTotalSizeBytes"),
        "offline": (offline.get("S3StorageConfig") or {}).get("ResolvedOutputS3Uri"),
        "table": ".".join(schema.table) if schema.table else None,
        "features": [
            {"name": each.name, "type": each.shown, "role": roles.get(each.name, "")}
            for each in schema.features.values()
        ],
    }
