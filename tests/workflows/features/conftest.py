"""A feature group on the local cloud, and the platform that knows it as applied."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlplat.aws import Session
from mlplat.reconciler.entries import Entry
from mlplat.reconciler.state import Store
from mlplat.settings import Settings
from mlplat.workflows.features.groups import Schema, schema_of
from mlplat.workflows.platform import Platform

FEATURES = {"id": "String", "at": "String", "age": "Integral", "spend": "Fractional", "plan": "String"}


@dataclass
class Group:
    """A group called `people`, and what a command has to work with."""

    platform: Platform
    schema: Schema
    folder: Path
    runtime: Any

    @property
    def records(self) -> dict[str, dict[str, str]]:
        """Everything that is online, read with plain boto3."""
        pages = self.runtime.get_paginator("list_records").paginate(FeatureGroupName=self.schema.name)
        keys = [key for page in pages for key in page["RecordIdentifiers"]]
        found = {}
        for start in range(0, len(keys), 100):
            asked = [
                {"FeatureGroupName": self.schema.name, "RecordIdentifiersValueAsString": keys[start : start + 100]}
            ]
            for each in self.runtime.batch_get_record(Identifiers=asked)["Records"]:
                values = {one["FeatureName"]: one["ValueAsString"] for one in each["Record"]}
                found[each["RecordIdentifierValueAsString"]] = values
        return found


Make = Callable[..., Group]


@pytest.fixture
def make(cloud: Any, tmp_path: Path) -> Make:
    """Makes a feature group of given features; collections as whole definitions."""

    def made(features: Mapping[str, Any] = FEATURES, identifier: str = "id", event_time: str = "at") -> Group:
        name = f"people-{uuid.uuid4().hex[:8]}"
        session: Session = cloud.session()
        sagemaker = session.client("sagemaker")
        definitions = [
            {"FeatureName": key, **(kind if isinstance(kind, dict) else {"FeatureType": kind})}
            for key, kind in features.items()
        ]
        storage = {"StorageType": "InMemory"} if any(isinstance(kind, dict) for kind in features.values()) else {}
        sagemaker.create_feature_group(
            FeatureGroupName=name,
            RecordIdentifierFeatureName=identifier,
            EventTimeFeatureName=event_time,
            FeatureDefinitions=definitions,
            OnlineStoreConfig={"EnableOnlineStore": True, **storage},
        )
        session.wait(
            name,
            lambda: sagemaker.describe_feature_group(FeatureGroupName=name)["FeatureGroupStatus"],
            lambda status: status == "Created",
        )
        store = Store(tmp_path / ".mlplat", "test")
        with store.edit("test") as state:
            state.entries["ml_feature_store.feature_group.people"] = Entry("feature_group", name, {}, {"name": name})
        platform = Platform(Settings(namespace="test"), session, store)
        return Group(
            platform, schema_of(platform, "people", 1), tmp_path, cloud.client("sagemaker-featurestore-runtime")
        )

    return made


@pytest.fixture
def people_group(make: Make) -> Group:
    """Five features, each sort of type."""
    return make()
