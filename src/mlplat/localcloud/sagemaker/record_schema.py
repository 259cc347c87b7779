"""A feature group as its records see it: which features there are, and whether a record fits them.

Rules: SageMaker's developer guide, Feature Store, "Data sources and ingestion" and "Quotas, naming rules and data
types". Codes are AWS's; the texts of the refusals are ours, because AWS's could not be found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.sagemaker.record_layout import LARGEST_VALUE, Layout
from mlplat.localcloud.sagemaker.records import Values

SECOND = 1_000_000
"""Times are in microseconds since the epoch."""

UNITS = {"Seconds": 1, "Minutes": 60, "Hours": 3600, "Days": 86400, "Weeks": 604800}
LARGEST_IDENTIFIER = 2 * 1024
MOST_LAYOUTS = 1000
LONGEST_TIME = len("2026-03-01T00:00:00.000Z")
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
    layouts: dict[tuple[str, ...], Layout | None] = field(default_factory=dict, compare=False, repr=False)
    """Of the records that were read."""

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

    def read(self, values: Values) -> tuple[str, int, str]:
        """The record's identifier, its event time and itself as JSON; ValidationError when it doesn't fit."""
        layout = self._layout(tuple([each["FeatureName"] for each in values]))
        if layout is None or (texts := layout.texts(values)) is None:
            return *self._check(values), json.dumps(values)
        return self.identity(texts[layout.identifier]), self.event(texts[layout.event]), layout.json(texts)

    def _layout(self, names: tuple[str, ...]) -> Layout | None:
        if names not in self.layouts:
            if len(self.layouts) >= MOST_LAYOUTS:
                self.layouts.clear()
            self.layouts[names] = Layout.of(names, self.features, (self.identifier, self.event_time))
        return self.layouts.get(names)

    def _check(self, values: Values) -> tuple[str, int]:
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
                moment = float(value)
                datetime.fromtimestamp(moment, UTC)
                return round(moment * SECOND)
            if len(value) <= LONGEST_TIME and (found := _in_text(value)) is not None:
                return found
        except (ValueError, OverflowError, OSError):
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
        if not asked:
            return self.online, self.offline is not None
        has = {"OnlineStore": self.online, "OfflineStore": self.offline is not None}
        for store in asked:
            if not has[store]:
                raise invalid(f"FeatureGroup [{self.name}] does not have the {store} enabled.")
        return "OnlineStore" in asked, "OfflineStore" in asked

    def known(self, names: Sequence[str]) -> None:
        """Raise ValidationError for a feature that the group doesn't have."""
        for name in names:
            if name not in self.features:
                raise invalid(f"Feature [{name}] is not defined in FeatureGroup [{self.name}].")

    def marker(self, identifier: str, event: str) -> str:
        """What a deletion leaves behind, as JSON: every feature but identifier and event time is null."""
        values = {self.identifier: identifier, self.event_time: event}
        return json.dumps([{"FeatureName": name, "ValueAsString": value} for name, value in values.items()])

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


@lru_cache(4096)
def _in_text(time: str) -> int | None:
    """Records of a batch often have the same event time."""
    if not _TEXT_TIME.fullmatch(time):
        return None
    return round(datetime.fromisoformat(time).timestamp() * 1000) * 1000


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
