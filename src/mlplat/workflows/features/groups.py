"""Feature groups as records meet them: which one is meant, what it is called on AWS, and its schema there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from mlplat.errors import UsageError, telling
from mlplat.resources.sagemaker.feature_group import OWNER
from mlplat.settings import FeatureGroup
from mlplat.templates.versions import group_address
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

    @property
    def definition(self) -> dict[str, Any]:
        """As CreateFeatureGroup takes it."""
        made: dict[str, Any] = {"FeatureName": self.name, "FeatureType": self.type}
        if self.collection:
            made["CollectionType"] = self.collection
        if self.dimension:
            made["CollectionConfig"] = {"VectorConfig": {"Dimension": self.dimension}}
        return made

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
    version: int
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


def versions(platform: Platform, group: str) -> list[int]:
    """The versions of a group that are applied, the oldest first."""
    entries = platform.store.load().entries
    return [number for number in range(1, 1000) if group_address(group, number) in entries]


def to_write(platform: Platform, group: str | None, version: int | None = None) -> Schema:
    """The version that records are written to: the present one, unless another is named."""
    name, declared = group_of(platform, group)
    return schema_of(platform, name, version or declared.version)


def to_read(platform: Platform, group: str | None, version: int | None = None) -> Schema:
    """The version that readers follow, unless another is named."""
    name, declared = group_of(platform, group)
    return schema_of(platform, name, version or declared.read_version)


def schema_of(platform: Platform, group: str, version: int) -> Schema:
    """The schema of a version, read from AWS: what the configuration says may not be applied yet.

    Raises UsageError when it is not applied.
    """
    name = str(platform.output(group_address(group, version), "name"))
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
        version,
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
    """A version of a group of the configuration, and whether it is there."""

    group: str
    version: int
    name: str | None
    status: str
    features: int
    online: str | None
    offline: bool
    read: bool
    """Whether readers follow it."""
    written: bool
    """Whether it is the present one, which new records go to."""

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def summaries(platform: Platform) -> list[Summary]:
    """Every version of every group of the configuration."""
    found = []
    for group, declared in platform.settings.feature_groups.items():
        for version in sorted({*versions(platform, group), declared.version, declared.read_version}):
            found.append(_summary(platform, group, declared, version))
    return found


def _summary(platform: Platform, group: str, declared: FeatureGroup, version: int) -> Summary:
    entry = platform.store.load().entries.get(group_address(group, version))
    name = entry.outputs.get("name") if entry is not None else None
    answer = None if name is None else platform.session.find(partial(_described, platform, name))
    use = (version == declared.read_version, version == declared.version)
    if answer is None:
        return Summary(group, version, name, "not applied", 0, None, False, *use)
    status, features = answer["FeatureGroupStatus"], len(answer["FeatureDefinitions"])
    return Summary(group, version, name, status, features, _online(answer), "OfflineStoreConfig" in answer, *use)


def _online(answer: Mapping[str, Any]) -> str | None:
    online = answer.get("OnlineStoreConfig") or {}
    return online.get("StorageType", "Standard") if online.get("EnableOnlineStore") else None


def _described(platform: Platform, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = platform.session.client("sagemaker").describe_feature_group(FeatureGroupName=name)
    return answer


def details(platform: Platform, schema: Schema) -> dict[str, Any]:
    """What there is to know of a group: facts, then `features` with name, type and role."""
    answer = _described(platform, schema.name)
    offline = answer.get("OfflineStoreConfig") or {}
    roles = {schema.identifier: "record identifier", schema.event_time: "event time"}
    about = _metadata(platform, schema.name)
    return {
        "group": schema.group,
        "version": schema.version,
        "name": schema.name,
        "arn": answer["FeatureGroupArn"],
        "status": answer["FeatureGroupStatus"],
        "description": answer.get("Description"),
        "created": str(schema.created),
        "online": _online(answer),
        "time_to_live": _ttl(answer),
        "throughput": _throughput(answer),
        "online_bytes": answer.get("OnlineStoreTotalSizeBytes"),
        "offline": (offline.get("S3StorageConfig") or {}).get("ResolvedOutputS3Uri"),
        "table_format": offline.get("TableFormat"),
        "table": ".".join(schema.table) if schema.table else None,
        "owner": _owner(platform, answer["FeatureGroupArn"]),
        "features": [
            {"name": each.name, "type": each.shown, "role": roles.get(each.name, ""), **about.get(each.name, {})}
            for each in schema.features.values()
        ],
    }


def _owner(platform: Platform, arn: str) -> str | None:
    tags = platform.session.client("sagemaker").pages("list_tags", "Tags", ResourceArn=arn)
    return next((each["Value"] for each in tags if each["Key"] == OWNER), None)


def _metadata(platform: Platform, name: str) -> dict[str, dict[str, Any]]:
    """What is written about features: a call for a hundred of them, which may not know the latest yet."""
    only = {"Name": "FeatureGroupName", "Operator": "Equals", "Value": name}
    found = platform.session.client("sagemaker").pages(
        "search", "Results", Resource="FeatureMetadata", SearchExpression={"Filters": [only]}
    )
    about = {}
    for each in [one["FeatureMetadata"] for one in found]:
        parameters = {one["Key"]: one["Value"] for one in each.get("Parameters", ())}
        told = {"description": each.get("Description"), "parameters": parameters}
        about[each["FeatureName"]] = {key: value for key, value in told.items() if value}
    return about


def _ttl(answer: Mapping[str, Any]) -> str | None:
    ttl = (answer.get("OnlineStoreConfig") or {}).get("TtlDuration")
    return f"{ttl['Value']} {ttl['Unit'].lower()}" if ttl else None


def _throughput(answer: Mapping[str, Any]) -> str | None:
    config = answer.get("ThroughputConfig") or {}
    if config.get("ThroughputMode") != "Provisioned":
        return config.get("ThroughputMode")
    read, write = config.get("ProvisionedReadCapacityUnits"), config.get("ProvisionedWriteCapacityUnits")
    return f"Provisioned, {read or 0} reads and {write or 0} writes a second"
