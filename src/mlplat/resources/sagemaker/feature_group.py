"""Feature groups: records by identifier, online for serving, offline for training."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.errors import NotSettled
from mlplat.resources.base import Change, Observed, Resource
from mlplat.resources.sagemaker import (
    Description,
    claim,
    feature_metadata,
    offline_store,
    online_store,
    settled,
    tags_of,
)

WITHIN = 1800.0
"""Seconds to wait for a group; with an online store in memory AWS takes up to 15 minutes."""
ADDITIONS = 100
"""The most features that one UpdateFeatureGroup adds (botocore: FeatureAdditions)."""
OWNER = "mlplat:owner"
"""The key of the tag that says whose group it is."""
CREATIONS = threading.BoundedSemaphore(4)
"""An account may have four feature groups in creation at once; more are refused as over the limit."""


@dataclass(frozen=True, kw_only=True)
class FeatureGroup(Resource):
    """A feature group. Features can be added in place, time to live and throughput can change; nothing else.

    A feature that is gone or has another type shows as a change of `schema`, and a time to live that is gone as
    `endless`, which are immutable; `storage` is what can be updated of `online`. Deleting a group takes its online
    records with it; the offline files and their Glue table stay (DeleteFeatureGroup's page).
    """

    kind: ClassVar[str] = "feature_group"
    immutable: ClassVar[frozenset[str]] = frozenset(
        {"name", "schema", "record_identifier", "event_time", "online", "online_key", "endless", "offline", "role"}
    )
    create_only: ClassVar[frozenset[str]] = frozenset({"description"})
    keeps_data: ClassVar[bool] = True

    features: Mapping[str, str]
    """Feature -> Integral, Fractional or String, or a collection of them (`online_store.definition`)."""
    record_identifier: str
    event_time: str
    online: str = ""
    """Standard, Standard_V2 or InMemory; nothing for no online store."""
    online_key: str | None = None
    """A KMS key's ARN."""
    ttl: str = ""
    """How long a record lives online, as 30d; nothing for ever."""
    offline: Mapping[str, str] | None = None
    """`uri`, KMS `key` (an ARN), Glue `database` and `format` (Glue, Iceberg); None for no offline store."""
    throughput: online_store.Throughput = field(default_factory=dict)
    """Nothing for on demand."""
    role: str | None = None
    description: str = ""
    about: feature_metadata.About = field(default_factory=dict)
    """What is written about its features."""
    owner: str = ""
    """Whose group it is, on a tag."""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The group with all its features, once it and its last update have settled."""
        answer = self._settled(aws, id or self.name)
        if answer is None:
            return None
        name, arn, made = answer["FeatureGroupName"], answer["FeatureGroupArn"], answer["FeatureGroupStatus"]
        failed, tags = None if made == "Created" else f"{made}: {_reason(answer)}", tags_of(aws, arn)
        fields = _fields(answer) | {"owner": tags.get(OWNER, "")}
        about = feature_metadata.described(aws, name, fields["features"], self.about)
        outputs = {"name": name, "arn": arn, **offline_store.outputs(_store(answer))}
        return Observed(name, fields | {"about": about}, outputs, tags, failed)

    def compare(self, seen: Observed) -> list[Change]:
        """As everywhere, but features that are not only added to are a change of `schema`."""
        added = seen.fields["features"].items() <= self.features.items()
        changes = [online_store.changed(each) for each in super().compare(seen)]
        return changes if added else [Change("schema", c.old, c.new) if c.field == "features" else c for c in changes]

    def beside(self, address: str) -> tuple[str, str]:
        """Another version of the group."""
        name = re.sub(r"-v\d+$", "", address.rpartition(".")[2])
        words = "Give it the next version in the configuration: that is made beside it, and this one is kept"
        return words, f"mlplat features version {name}"

    def create(self, aws: Session) -> str:
        """Make it when fewer than four are being made, and wait until records can be put."""
        aws.wait("a turn to create", lambda: CREATIONS.acquire(blocking=False), bool, within=WITHIN)
        try:
            aws.client("sagemaker").create_feature_group(**self._request(aws))
            answer = self._settled(aws, self.name, made=True) or {}
        finally:
            CREATIONS.release()
        if answer.get("FeatureGroupStatus") != "Created":
            raise NotSettled(f"creating feature_group {self.name}: {_reason(answer)}", hint="mlplat apply")
        feature_metadata.write(aws, self.name, self.about, {})
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Add the features that are new, a hundred a call, and change the stores, each verified by its own status."""
        if "tags" in changed:
            claim(aws, seen)
        new = _definitions({name: kind for name, kind in self.features.items() if name not in seen.fields["features"]})
        for part in (new[start : start + ADDITIONS] for start in range(0, len(new), ADDITIONS)):
            self._update(aws, FeatureAdditions=part)
        if "storage" in changed:
            self._update(aws, OnlineStoreConfig={"StorageType": self.online})
        if self.ttl and "ttl" in changed:
            self._update(aws, OnlineStoreConfig=online_store.ttl(self.ttl))
        if "throughput" in changed:
            self._update(aws, ThroughputConfig=online_store.throughput(self.throughput))
        if changed & {"about", "features"}:
            feature_metadata.write(aws, self.name, self.about, seen.fields["about"])
        if "owner" in changed:
            self._put_owner(aws, seen.outputs["arn"])

    def _put_owner(self, aws: Session, arn: str) -> None:
        if self.owner:
            aws.client("sagemaker").add_tags(ResourceArn=arn, Tags=tag_list({OWNER: self.owner}))
        else:
            aws.client("sagemaker").delete_tags(ResourceArn=arn, TagKeys=[OWNER])

    def _update(self, aws: Session, **what: Any) -> None:
        aws.client("sagemaker").update_feature_group(FeatureGroupName=self.name, **what)
        result = (self._settled(aws, self.name) or {}).get("LastUpdateStatus", {})
        if result.get("Status") == "Failed":
            raise NotSettled(f"updating feature_group {self.name}: {_reason(result)}", hint="mlplat plan")

    def delete(self, aws: Session, id: str) -> None:
        """Delete it with its online records and wait until its name is free.

        Offline records stay, and their table with them; a group that never had any leaves nothing behind.
        """
        there = self._settled(aws, id)
        unused = there is not None and _held(aws, there) is None
        with aws.gone_is_fine():
            aws.client("sagemaker").delete_feature_group(FeatureGroupName=id)
        if (answer := self._settled(aws, id)) is not None:
            raise NotSettled(f"deleting feature_group {id}: {_reason(answer)}", hint="mlplat status")
        if there is not None and unused:
            offline_store.clear(aws, _store(there))

    def data(self, aws: Session, id: str) -> str | None:
        """Offline files, or records online."""
        answer = self._settled(aws, id)
        return None if answer is None else _held(aws, answer)

    def empty(self, aws: Session, id: str) -> None:
        """Delete the offline files in all their versions and the Glue table; online records go with the group."""
        offline_store.clear(aws, _store(self._settled(aws, id) or {}))

    def _request(self, aws: Session) -> dict[str, Any]:
        request: dict[str, Any] = {
            "FeatureGroupName": self.name,
            "FeatureDefinitions": _definitions(self.features),
            "RecordIdentifierFeatureName": self.record_identifier,
            "EventTimeFeatureName": self.event_time,
            "Tags": tag_list(aws.tags | ({OWNER: self.owner} if self.owner else {})),
        }
        if self.online:
            request["OnlineStoreConfig"] = online_store.request(self.online, self.online_key, self.ttl)
        if self.offline:
            request["OfflineStoreConfig"] = offline_store.request(self.offline, self.name)
        if self.throughput:
            request["ThroughputConfig"] = online_store.throughput(self.throughput)
        return request | {k: v for k, v in (("RoleArn", self.role), ("Description", self.description)) if v}

    def _settled(self, aws: Session, name: str, *, made: bool = False) -> Description | None:
        return settled(aws, f"feature group {name}", lambda: _whole(aws, name), _moving, within=WITHIN, made=made)


def _whole(aws: Session, name: str) -> Description:
    """The description with all its features: they come in pages, the rest comes with each."""
    answer = aws.client("sagemaker").describe_feature_group(FeatureGroupName=name)
    token, features = answer.get("NextToken"), list(answer["FeatureDefinitions"])
    while token:
        page = aws.client("sagemaker").describe_feature_group(FeatureGroupName=name, NextToken=token)
        token, features = page.get("NextToken"), [*features, *page["FeatureDefinitions"]]
    return {**answer, "FeatureDefinitions": features}


def _moving(answer: Description) -> Collection[str]:
    now = {answer["FeatureGroupStatus"], answer.get("LastUpdateStatus", {}).get("Status")}
    return now & {"Creating", "Deleting", "InProgress"}


def _fields(answer: Description) -> dict[str, Any]:
    return {
        "name": answer["FeatureGroupName"],
        "features": {each["FeatureName"]: online_store.kind_of(each) for each in answer["FeatureDefinitions"]},
        "record_identifier": answer["RecordIdentifierFeatureName"],
        "event_time": answer["EventTimeFeatureName"],
        **online_store.described(answer),
        "offline": offline_store.described(_store(answer)),
        "throughput": online_store.described_throughput(answer),
        "role": answer.get("RoleArn"),
    }


def _held(aws: Session, answer: Description) -> str | None:
    if offline := offline_store.records(aws, _store(answer)):
        return offline
    online = answer.get("OnlineStoreConfig", {}).get("EnableOnlineStore")
    if not online or answer["FeatureGroupStatus"] == "CreateFailed":
        return None
    runtime, name = aws.client("sagemaker-featurestore-runtime"), answer["FeatureGroupName"]
    # a page may be empty, of records deleted softly, and more may come after it
    first = next(runtime.pages("list_records", "RecordIdentifiers", FeatureGroupName=name), None)
    return None if first is None else "records online"


def _store(answer: Description) -> offline_store.Store:
    store: offline_store.Store = answer.get("OfflineStoreConfig", {})
    return store


def _definitions(features: Mapping[str, str]) -> list[Description]:
    return [online_store.definition(name, kind) for name, kind in features.items()]


def _reason(answer: Mapping[str, Any]) -> str:
    return str(answer.get("FailureReason") or answer.get("FeatureGroupStatus") or "it is gone")
