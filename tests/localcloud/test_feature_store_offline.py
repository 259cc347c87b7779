"""The offline store when things go wrong: what waits, what goes on, what time to live leaves behind."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from time import time_ns
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from mlplat.localcloud.sagemaker.offline_store import OfflineStore
from mlplat.localcloud.sagemaker.record_schema import SECOND, Schema
from mlplat.localcloud.sagemaker.records import Records, Write


class FakeCloud:
    """A cloud whose S3 is a dict, and whose background work runs when `wait` is called. Buckets in `closed` refuse."""

    host = SimpleNamespace(enforce_iam=False)

    def __init__(self) -> None:
        self.lock = RLock()
        self.files: dict[str, bytes] = {}
        self.closed: set[str] = set()
        self.groups: dict[str, Any] = {}
        self.work: list[tuple[float, Callable[[], object]]] = []

    def aws(self, service: str) -> FakeCloud:
        assert service == "s3"
        return self

    def store(self, name: str) -> dict[str, Any]:
        assert name == "feature_groups"
        return self.groups

    def later(self, fn: Callable[[], object], delay: float) -> None:
        self.work.append((delay, fn))

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **encryption: str) -> None:  # noqa: N803
        if Bucket in self.closed:
            raise OSError(f"{Bucket} is closed")
        self.files[f"{Bucket}/{Key}"] = Body

    def wait(self) -> None:
        work, self.work = self.work, []
        for _, fn in sorted(work, key=lambda each: each[0]):
            fn()

    def rows(self, bucket: str) -> list[dict[str, Any]]:
        bodies = [body for key, body in self.files.items() if key.startswith(f"{bucket}/")]
        return [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]


class World:
    """Records, an offline store and a fake cloud, with groups named after their buckets."""

    def __init__(self, file: Path) -> None:
        self.cloud, self.records = FakeCloud(), Records(file)
        self.offline = OfflineStore(self.cloud, self.records)  # type: ignore[arg-type]

    def schema(self, bucket: str) -> Schema:
        group = {
            "FeatureGroupName": bucket,
            "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
            "RecordIdentifierFeatureName": "id",
            "EventTimeFeatureName": "at",
            "FeatureDefinitions": [
                {"FeatureName": "id", "FeatureType": "String"},
                {"FeatureName": "at", "FeatureType": "String"},
                {"FeatureName": "tags", "FeatureType": "Integral", "CollectionType": "List"},
            ],
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            "OfflineStoreConfig": {"S3StorageConfig": {"ResolvedOutputS3Uri": f"s3://{bucket}/data"}},
        }
        self.cloud.groups[bucket] = group
        return Schema.of(group)

    def put(self, bucket: str, id: str, expires: int | None = None, **more: Any) -> None:
        schema = self.schema(bucket)
        values = [
            {"FeatureName": "id", "ValueAsString": id},
            {"FeatureName": "at", "ValueAsString": "2026-03-01T12:00:00Z"},
            {"FeatureName": "tags", "ValueAsStringList": ["1", "2"]},
        ]
        event = schema.event("2026-03-01T12:00:00Z")
        write = Write(schema.key, id, event, json.dumps(values), expires, offline=True, **more)
        self.records.put([write], now=time_ns() // 1000)
        self.offline.expect(schema, write)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "records.sqlite")


def test_a_bucket_that_refuses_holds_up_only_its_own_group(world: World) -> None:
    world.cloud.closed.add("shut")
    for n in range(3):
        world.put("shut", str(n))
        world.put("open", str(n))
    world.cloud.wait()
    assert [row["id"] for row in world.cloud.rows("open")] == ["0", "1", "2"]
    assert world.cloud.rows("shut") == []
    world.cloud.closed.clear()
    world.cloud.wait()
    assert [row["id"] for row in world.cloud.rows("shut")] == ["0", "1", "2"]
    assert world.records.waiting(10) == {}
    assert world.cloud.work == []


def test_collections_become_lists(world: World) -> None:
    world.put("b", "1")
    world.cloud.wait()
    assert world.cloud.rows("b")[0]["tags"] == [1, 2]


def test_rows_wait_for_the_next_start(world: World, tmp_path: Path) -> None:
    world.put("b", "1")
    world.records.close()
    again = World(tmp_path / "records.sqlite")
    again.schema("b")
    again.cloud.wait()
    assert [row["id"] for row in again.cloud.rows("b")] == ["1"]


def test_a_record_that_outlives_its_time_leaves_its_marker(world: World) -> None:
    now = time_ns() // 1000
    world.put("b", "1", expires=now - SECOND)
    world.put("b", "2", expires=now + 3600 * SECOND)
    world.cloud.wait()
    world.cloud.wait()
    rows = sorted((row["id"], row["is_deleted"]) for row in world.cloud.rows("b"))
    assert rows == [("1", False), ("1", True), ("2", False)]
    assert world.records.next_expiry() == now + 3600 * SECOND
