"""Versions of a feature group side by side: what each is for, how it differs, and what comes next."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mlplat.errors import UsageError
from mlplat.settings import FeatureGroup
from mlplat.templates.versions import group_address
from mlplat.workflows.features.groups import Schema, group_of, schema_of, versions
from mlplat.workflows.platform import Platform


@dataclass(frozen=True)
class Version:
    """One version. `difference` is in words, empty when its schema is the configuration's."""

    version: int
    status: str
    use: str
    difference: str


@dataclass(frozen=True)
class Compared:
    """All versions of a group, and what to do."""

    group: str
    versions: list[Version]
    advice: list[str]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def compared(platform: Platform, group: str) -> Compared:
    """The versions that are applied, against the configuration."""
    name, declared = group_of(platform, group)
    schemas = {number: schema_of(platform, name, number) for number in versions(platform, name)}
    found = [
        Version(number, "applied", _use(declared, number), _difference(declared, schema))
        for number, schema in schemas.items()
    ]
    if declared.version not in schemas:
        found.append(Version(declared.version, "not applied", _use(declared, declared.version), ""))
    return Compared(name, found, list(_advice(name, declared, schemas)))


def check_unused(platform: Platform, group: str, number: int) -> str:
    """The address of a version that can go. Raises UsageError when it is in use or not there."""
    name, declared = group_of(platform, group)
    doing, key = f"retiring version {number} of feature group {name}", f"feature_groups.{name}"
    show = f"mlplat config show {key}"
    if number == declared.version:
        raise UsageError(f"{doing}: it is the present one ({key}.version)", hint=show)
    if number == declared.read_version:
        raise UsageError(f"{doing}: readers follow it ({key}.readers)", hint=show)
    there = versions(platform, name)
    if number not in there:
        known = ", ".join(map(str, there)) or "none"
        raise UsageError(f"{doing}: it isn't there; there is {known}", hint=f"mlplat features version {name}")
    return group_address(name, number)


def _use(declared: FeatureGroup, number: int) -> str:
    uses = {"read": number == declared.read_version, "written": number == declared.version}
    return ", ".join(word for word, used in uses.items() if used)


def _difference(declared: FeatureGroup, schema: Schema) -> str:
    there = {each.name: each.shown for each in schema.features.values()}
    gone = [f"{name} is not wanted" for name in there if name not in declared.features]
    new = [f"{name} is new" for name in declared.features if name not in there]
    other = [
        f"{name} is {kind}, not {declared.features[name]}"
        for name, kind in there.items()
        if declared.features.get(name, kind) != kind
    ]
    keys = [
        f"{what} is {old}, not {new}"
        for what, old, new in (
            ("the record identifier", schema.identifier, declared.record_identifier),
            ("the event time", schema.event_time, declared.event_time),
        )
        if old != new
    ]
    return "; ".join([*other, *gone, *keys, *new])


def _advice(name: str, declared: FeatureGroup, schemas: dict[int, Schema]) -> list[str]:
    present, newest = declared.version, max(schemas, default=0)
    table = f"[feature_groups.{name}]"
    if present not in schemas:
        return [f"mlplat apply makes version {present} beside what there is"] if schemas else ["mlplat apply makes it"]
    difference = _difference(declared, schemas[present])
    if any(not each.endswith(" is new") for each in difference.split("; ") if each):
        after = f"; readers = {declared.read_version} lets readers stay until it is filled"
        return [f"to change what can't be changed in place, set version = {newest + 1} in {table}{after}"]
    if difference:
        return ["mlplat apply adds the new features in place"]
    if declared.read_version != present:
        return [
            f"mlplat features backfill {name} fills version {present}; then set readers = {present} in {table}",
        ]
    return [
        f"mlplat features retire {name} {number} deletes version {number}, which nobody uses"
        for number in schemas
        if number not in (present, declared.read_version)
    ]
