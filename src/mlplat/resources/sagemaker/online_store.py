"""The online store of a feature group: where records are, how long they live, what is paid for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlplat.resources.base import Change

UNITS = {"s": "Seconds", "m": "Minutes", "h": "Hours", "d": "Days", "w": "Weeks"}
LETTERS = {unit: letter for letter, unit in UNITS.items()}
MIGRATION = ("Standard", "Standard_V2")
"""The one change of storage that there is, and no way back (botocore: OnlineStoreConfigUpdate)."""

Throughput = Mapping[str, int]
"""Capacity units a second: `read` (without an online store there is none) and `write`."""


def request(storage: str, key: str | None, lives: str) -> dict[str, Any]:
    """The OnlineStoreConfig to create."""
    security = {"SecurityConfig": {"KmsKeyId": key}} if key else {}
    return {"EnableOnlineStore": True, "StorageType": storage, **security, **(ttl(lives) if lives else {})}


def ttl(lives: str) -> dict[str, Any]:
    """The TtlDuration of `30d`."""
    return {"TtlDuration": {"Unit": UNITS[lives[-1]], "Value": int(lives[:-1])}}


def described(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `online`, `online_key` and `ttl` of what is there."""
    there = answer.get("OnlineStoreConfig") or {}
    if not there.get("EnableOnlineStore"):
        return {"online": "", "online_key": None, "ttl": ""}
    lives = there.get("TtlDuration") or {}
    return {
        "online": there.get("StorageType", "Standard"),
        "online_key": there.get("SecurityConfig", {}).get("KmsKeyId"),
        "ttl": f"{lives['Value']}{LETTERS[lives['Unit']]}" if lives else "",
    }


def throughput(wanted: Throughput) -> dict[str, Any]:
    """The ThroughputConfig. Without capacity units it is on demand."""
    if not wanted:
        return {"ThroughputMode": "OnDemand"}
    names = {"read": "ProvisionedReadCapacityUnits", "write": "ProvisionedWriteCapacityUnits"}
    return {"ThroughputMode": "Provisioned", **{names[key]: value for key, value in wanted.items()}}


def described_throughput(answer: Mapping[str, Any]) -> dict[str, int]:
    """The field `throughput` of what is there."""
    there = answer.get("ThroughputConfig") or {}
    if there.get("ThroughputMode") != "Provisioned":
        return {}
    found = {"read": there.get("ProvisionedReadCapacityUnits"), "write": there.get("ProvisionedWriteCapacityUnits")}
    return {key: value for key, value in found.items() if value is not None}


def changed(change: Change) -> Change:
    """What can be updated of `online` is a change of `storage`; a time to live can't be taken away, only changed."""
    if change.field == "online" and (change.old, change.new) == MIGRATION:
        return replace(change, field="storage")
    if change.field == "ttl" and not change.new:
        return replace(change, field="endless")
    return change


def definition(name: str, kind: str) -> dict[str, Any]:
    """A FeatureDefinition. `kind` is a type, `List of String`, `Set of Integral` or `Vector(768) of Fractional`."""
    collection, _, scalar = kind.rpartition(" of ")
    made: dict[str, Any] = {"FeatureName": name, "FeatureType": scalar}
    if collection:
        made["CollectionType"] = collection.partition("(")[0]
    if size := re.search(r"\((\d+)\)", collection):
        made["CollectionConfig"] = {"VectorConfig": {"Dimension": int(size[1])}}
    return made


def kind_of(definition: Mapping[str, Any]) -> str:
    """The other way round."""
    if not (collection := definition.get("CollectionType")):
        return str(definition["FeatureType"])
    size = ((definition.get("CollectionConfig") or {}).get("VectorConfig") or {}).get("Dimension")
    return f"{collection}{f'({size})' if size else ''} of {definition['FeatureType']}"
