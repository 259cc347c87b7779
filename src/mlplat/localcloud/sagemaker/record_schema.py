"""A feature group as its records see it: which features there are, and whether a record fits them.

Rules: SageMaker's developer guide, Feature Store, "Data sources and ingestion" and "Quotas, naming rules and data
types". Codes are AWS's; the texts of the refusals are ours, because AWS's could not be found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.sagemaker.records import Values

SECOND = 1_000_000
"""Times are in microseconds since the epoch."""

UNITS = {"Seconds": 1, "Minutes": 60, "Hours": 3600, "Days": 86400, "Weeks": 604800}
LARGEST_VALUE, LARGEST_IDENTIFIER = 350 * 1024, 2 * 1024
_TEXT_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


def invalid(message: str) -> AwsError:
    """ValidationError, which is what the runtime calls SageMaker's ValidationException."""
    return AwsError("ValidationError", message)


@dataclass(frozen=True)
class Schema:
    """What PutRecord and its siblings need to know of a feature group, from DescribeFeatureGroup's answer."""

    name: str
    key: str
    """The group and when it was created: records of an earlier group of the same name are not its own."""
    identifier: str
    event_time: str
    features: Mapping[str, Mapping[str, Any]]
    online: bool
    ttl: int | None
    """Seconds that a record lives in the online store, unless the record says otherwise."""
    storage: str
    offline: Mapping[str, Any] | None
    """OfflineStoreConfig."""
    role: str = ""
    """Whose permissions the offline store is written with."""

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Schema:
        """Read the answer of DescribeFeatureGroup."""
        online = group.get("OnlineStoreConfig") or {}
        return cls(
            name=group["FeatureGroupName"],
            key=f"{group['FeatureGroupName']}@{group['CreationTime'].timestamp():.3f}",
            identifier=group["RecordIdentifierFeatureName"],
            event_time=group["EventTimeFeatureName"],
            features={each["FeatureName"]: each for each in group["FeatureDefinitions"]},
            online=bool(online.get("EnableOnlineStore")),
            ttl=seconds(online.get("TtlDuration")),
            storage=online.get("StorageType", "Standard"),
            offline=group.get("OfflineStoreConfig") or None,
            role=group.get("RoleArn", ""),
        )

    def check(self, values: Values) -> tuple[str, int]:
        """The record's identifier and event time; raises ValidationError when the record doesn't fit."""
        given: dict[str, Any] = {}
        for each in values:
            name = each["FeatureName"]
            if name in given:
                raise invalid(f"Feature [{name}] is given more than once in the record.")
            given[name] = self._value(name, each)
        for name, what in ((self.identifier, "record identifier"), (self.event_time, "event time")):
            if name not in given:
                raise invalid(f"The {what} feature [{name}] is missing from the record.")
        return self.identity(given[self.identifier]), self.event(given[self.event_time])

    def identity(self, value: str) -> str:
        """A record identifier, not empty and within its limit."""
        if not value or len(value.encode()) > LARGEST_IDENTIFIER:
            raise invalid(f"The value of the record identifier [{self.identifier}] must have 1 to 2048 bytes.")
        return value

    def event(self, value: str) -> int:
        """An event time in microseconds: ISO 8601 text in UTC, or epoch seconds when the feature is Fractional."""
        try:
            if self.features[self.event_time]["FeatureType"] == "Fractional":
                return round(float(value) * SECOND)
            if _TEXT_TIME.fullmatch(value):
                return round(datetime.fromisoformat(value).timestamp() * 1000) * 1000
        except (ValueError, OverflowError):
            pass
        raise invalid(
            f"The value [{value}] of the event time feature [{self.event_time}] is not of the format "
            "yyyy-MM-dd'T'HH:mm:ssZ or yyyy-MM-dd'T'HH:mm:ss.SSSZ, nor epoch seconds of a Fractional feature."
        )

    def expires(self, event: int, ttl: Mapping[str, Any] | None) -> int | None:
        """When a record of that event time leaves the online store: ExpiresAt = EventTime + TtlDuration."""
        lifetime = seconds(ttl) or self.ttl
        return None if lifetime is None else event + lifetime * SECOND

    def targets(self, asked: Sequence[str] | None) -> tuple[bool, bool]:
        """Whether to write online and offline; by default to every store that the group has."""
        has = {"OnlineStore": self.online, "OfflineStore": self.offline is not None}
        for store in asked or ():
            if not has[store]:
                raise invalid(f"FeatureGroup [{self.name}] does not have the {store} enabled.")
        wanted = set(asked or has)
        return has["OnlineStore"] and "OnlineStore" in wanted, has["OfflineStore"] and "OfflineStore" in wanted

    def known(self, names: Sequence[str]) -> None:
        """Raise ValidationError for a feature that the group doesn't have."""
        for name in names:
            if name not in self.features:
                raise invalid(f"Feature [{name}] is not defined in FeatureGroup [{self.name}].")

    def marker(self, identifier: str, event: str) -> Values:
        """What a deletion leaves behind: every feature but identifier and event time is null."""
        return [
            {"FeatureName": self.identifier, "ValueAsString": identifier},
            {"FeatureName": self.event_time, "ValueAsString": event},
        ]

    def _value(self, name: str, given: Mapping[str, Any]) -> Any:
        self.known([name])
        definition = self.features[name]
        if definition.get("CollectionType"):
            return self._collection(name, definition, given)
        value = given.get("ValueAsString")
        if value is None:
            raise invalid(f"Feature [{name}] has no value: a feature without one is left out of the record.")
        if len(value) > LARGEST_VALUE:
            raise invalid(f"The value of feature [{name}] is larger than {LARGEST_VALUE} bytes.")
        _fits(name, definition["FeatureType"], value)
        return value

    def _collection(self, name: str, definition: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
        values: list[str] | None = given.get("ValueAsStringList")
        if values is None:
            raise invalid(f"Feature [{name}] is a {definition['CollectionType']}: give it as ValueAsStringList.")
        size = (definition.get("CollectionConfig") or {}).get("VectorConfig", {}).get("Dimension")
        if size is not None and len(values) != size:
            raise invalid(f"Feature [{name}] is a vector of {size} dimensions, but {len(values)} values are given.")
        for value in values:
            _fits(name, definition["FeatureType"], value)
        return values


def seconds(ttl: Mapping[str, Any] | None) -> int | None:
    """A TtlDuration in seconds."""
    return int(ttl["Value"]) * UNITS[ttl["Unit"]] if ttl else None


def _fits(name: str, kind: str, value: str) -> None:
    if kind == "String":
        return
    try:
        if kind == "Fractional":
            float(value)
        elif not -(2**63) <= int(value) < 2**63:
            raise ValueError
    except ValueError:
        raise invalid(f"The value [{value}] of feature [{name}] is not of its type {kind}.") from None
