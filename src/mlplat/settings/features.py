"""Feature groups: what their records look like, and where they are kept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mlplat.settings.limits import RESERVED_FEATURES, OneLine
from mlplat.settings.problems import Refusal, matching, nearest, refuse
from mlplat.settings.section import Section


def _feature_name(value: str) -> str:
    if value.lower() in RESERVED_FEATURES:
        raise refuse(Refusal("a column that the offline store adds by itself; choose another name"))
    if not re.fullmatch(r"[a-zA-Z0-9]([-_]*[a-zA-Z0-9]){0,63}", value) or len(value) > 64:
        raise refuse(
            Refusal("a feature's name is up to 64 letters, digits, - and _, beginning and ending in none of - _")
        )
    return value


def _feature_type(value: str) -> str:
    scalar = r"(String|Integral|Fractional)"
    found = re.fullmatch(rf"(List of |Set of ){scalar}|Vector\((\d+)\) of Fractional|{scalar}", value)
    if not found or not 1 <= int(found[3] or 1) <= 8192:
        raise refuse(
            Refusal(
                "a feature is a String, Integral or Fractional, or a collection: List of String, Set of Integral, "
                "Vector(768) of Fractional, with up to 8192 dimensions",
                nearest=nearest(value, ("String", "Integral", "Fractional")),
            )
        )
    return value


FeatureName = Annotated[str, AfterValidator(_feature_name)]
FeatureType = Annotated[str, AfterValidator(_feature_type)]
Capacity = Annotated[int, Field(ge=1, le=10_000_000)]
TimeToLive = Annotated[str, matching(r"[1-9]\d*[smhdw]", "how long a record lives online, as 90d, 12h, 30m, 45s or 2w")]

LONGEST_FRESHNESS = 7 * 24 * 60
"""Minutes that CloudWatch's alarms look back (API reference, PutMetricAlarm)."""


def _freshness(value: str) -> str:
    found = re.fullmatch(r"([1-9]\d*)([mhd])", value)
    if not found or int(found[1]) * MINUTES[found[2]] > LONGEST_FRESHNESS:
        raise refuse(Refusal("how old the newest record may be, as 2d, 12h or 30m; seven days at most"))
    return value


MINUTES = {"m": 1, "h": 60, "d": 24 * 60}
Freshness = Annotated[str, AfterValidator(_freshness)]


def _plain(value: str) -> str:
    if not all(unicodedata.category(each)[0] in "LZN" or each in "_.:/=+-" for each in value):
        raise refuse(Refusal("letters, digits, spaces and _ . : / = + - only, which is what SageMaker takes"))
    return value


Plain = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_plain)]
"""The key or the value of a parameter of a feature (botocore, FeatureParameter)."""
TagValue = Annotated[str, StringConstraints(max_length=256), AfterValidator(_plain)]


class AboutFeature(Section):
    """What people should know of a feature."""

    description: Annotated[str, StringConstraints(max_length=255), OneLine] | None = None
    owner: Plain | None = None
    """A parameter like any other, called owner."""
    parameters: Annotated[dict[Plain, Plain], Field(max_length=24)] = {}


_PRINCIPAL = "the ARN of an IAM role or user, or an account as arn:aws:iam::123456789012:root"
Principal = Annotated[str, matching(r"arn:aws[a-z-]*:iam::\d{12}:(root|(role|user)/[\w+=,.@/-]{1,512})", _PRINCIPAL)]


class GroupAccess(Section):
    """Who may assume the roles of a group; nobody named is whoever the account's own IAM policies let."""

    producers: list[Principal] = []
    """Write and delete records."""
    consumers: list[Principal] = []
    """Read records online."""
    analysts: list[Principal] = []
    """Ask the offline store, through Athena."""


class FeatureGroup(Section):
    """A table of the feature store. AWS can change little of it in place: a new schema is a new version beside it."""

    description: Annotated[str, StringConstraints(max_length=128), OneLine] = ""
    owner: TagValue = ""
    """Whose group it is: a tag."""
    record_identifier: str
    event_time: str
    version: Annotated[int, Field(ge=1, le=999)] = 1
    """Which schema this is. Another number is another group beside the earlier ones, which are kept."""
    readers: Annotated[int, Field(ge=1, le=999)] | None = None
    """The version that is read; this one when it is left out."""
    online: bool = True
    online_storage: Literal["Standard", "Standard_V2", "InMemory"] = "Standard"
    ttl: TimeToLive | None = None
    freshness: Freshness | None = None
    """How old the newest record may be before an alarm goes off, where the feature store is monitored."""
    read_capacity: Capacity | None = None
    write_capacity: Capacity | None = None
    """Capacity units a second that are paid for whether used or not; on demand without them."""
    offline: bool = True
    table_format: Literal["Glue", "Iceberg"] = "Glue"
    access: GroupAccess | None = None
    """Roles of its own; none without it."""
    features: Annotated[dict[FeatureName, FeatureType], Field(min_length=1, max_length=2500)]
    about: dict[FeatureName, AboutFeature] = {}

    @property
    def freshness_minutes(self) -> int | None:
        """How old the newest record may be."""
        return None if self.freshness is None else int(self.freshness[:-1]) * MINUTES[self.freshness[-1]]

    @property
    def read_version(self) -> int:
        """The version that readers follow."""
        return self.readers or self.version

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if found := [*self._of_features(), *self._of_stores()]:
            raise refuse(*found)
        return self

    def _of_features(self) -> Iterator[Refusal]:
        for key in ("record_identifier", "event_time"):
            name = getattr(self, key)
            if name not in self.features:
                yield Refusal("not one of the group's features", (key,), nearest(name, self.features))
            elif " of " in self.features[name]:
                yield Refusal("a collection can't be the record identifier or the event time", ("features", name))
        for name in self.about.keys() - self.features.keys():
            yield Refusal("not one of the group's features", ("about", name), nearest(name, self.features))
        if self.features.get(self.event_time) == "Integral":
            reason = 'the event time is a "String" (ISO 8601) or "Fractional" (seconds)'
            yield Refusal(reason, ("features", self.event_time))
        if self.online_storage != "InMemory" or not self.online:
            for name, kind in self.features.items():
                if " of " in kind:
                    yield Refusal('collections are kept with online_storage = "InMemory" only', ("features", name))

        if self.readers is not None and self.readers > self.version:
            yield Refusal(f"there is no such version yet; version is {self.version}", ("readers",))

    def _of_stores(self) -> Iterator[Refusal]:
        """Developer guide, Feature Store: "Online store", "Offline store", "Throughput modes"."""
        if not self.online and not self.offline:
            yield Refusal("at least one of online and offline must be true", ("offline",))
        if self.online and self.offline and self.online_storage == "InMemory":
            yield Refusal("a group with online_storage InMemory has no offline store; set it to false", ("offline",))
        if self.ttl and not self.online:
            yield Refusal("records live for a time in an online store only", ("ttl",))
        if self.table_format == "Iceberg" and self.features.get(self.event_time, "String") != "String":
            yield Refusal("Iceberg needs an event time that is a String", ("table_format",))
        for key in ("read_capacity", "write_capacity"):
            if getattr(self, key) is not None and self.online and self.online_storage != "Standard":
                yield Refusal("capacity can be provisioned for Standard storage and offline groups only", (key,))
        if self.read_capacity is not None and not self.online:
            yield Refusal("there is nothing to read: the group has no online store", ("read_capacity",))
        if self.online and (self.read_capacity is None) != (self.write_capacity is None):
            key = "write_capacity" if self.write_capacity is None else "read_capacity"
            yield Refusal("missing: read_capacity and write_capacity are provisioned together", (key,))
