"""The offline store: rows become Parquet files on S3, in AWS's layout, within seconds.

SageMaker flushes within 15 minutes. Layout: developer guide, "Offline store": `year=/month=/day=/hour=` of the event
time, files named by their latest event time, and the columns `write_time`, `api_invocation_time`, `is_deleted` added.
"""

from __future__ import annotations

import io
import logging
import secrets
import string
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock
from time import time_ns
from typing import Any

from mlplat.localcloud.access import Actors
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.record_schema import SECOND, Schema
from mlplat.localcloud.sagemaker.records import Appended, Records, Write

log = logging.getLogger(__name__)

FLUSH_AFTER = 2.0
"""Seconds that rows wait for company, so that a stream of records makes few files."""

RETRY_AFTER = 10.0
ROWS_A_FLUSH = 20_000


class OfflineStore:
    """Carries waiting rows of `records` to S3, and takes out records that have outlived their time."""

    def __init__(self, cloud: Cloud, records: Records) -> None:
        self._cloud, self._records, self._actors = cloud, records, Actors(cloud)
        self._schemas: dict[str, Schema] = {}
        self._armed = False
        self._flushing = Lock()
        self._expiry: int | None = None
        if records.waiting(1):
            self._arm(FLUSH_AFTER)
        self._watch(records.next_expiry())

    def expect(self, schema: Schema, write: Write) -> None:
        """A row of this group was written: flush soon. The schema is kept, so that a deleted group's rows still go."""
        self._schemas[schema.key] = schema
        if write.offline and not self._armed:
            self._arm(FLUSH_AFTER)
        if write.online:
            self._watch(write.expires)

    def flush(self) -> set[str]:
        """Carry everything that waits to S3; the groups whose rows still wait, because S3 did not take them."""
        failed: set[str] = set()
        with self._flushing:
            while waiting := self._records.waiting(ROWS_A_FLUSH, without=failed):
                for key, rows in waiting.items():
                    try:
                        self._store(key, rows)
                        self._tell(key, None)
                    except Exception as error:
                        log.warning("offline store: rows of %s wait: %s", key, error)
                        self._tell(key, str(error))
                        failed.add(key)
        return failed

    def _arm(self, delay: float) -> None:
        self._armed = True
        self._cloud.later(self._run, delay)

    def _run(self) -> None:
        self._armed = False
        if self.flush() and not self._armed:
            self._arm(RETRY_AFTER)

    def _watch(self, expires: int | None) -> None:
        if expires is not None and (self._expiry is None or expires < self._expiry):
            self._expiry = expires
            # A timer far ahead may not fit the platform's clock; waking once a day is enough.
            wait = min(86_400.0, max(0.0, expires / SECOND - time_ns() / 1e9) + 0.1)
            self._cloud.later(self._expire, wait)

    def _store(self, key: str, rows: list[Appended]) -> None:
        schema = self._schemas.get(key) or self._described(key)
        if schema is None or schema.offline is None:
            log.warning("offline store: %d rows of the deleted feature group %s are dropped", len(rows), key)
            self._records.stored(rows)
            return
        for hour, part in _by_hour(rows).items():
            self._upload(schema, hour, part)
            self._records.stored(part)

    def _tell(self, key: str, blocked: str | None) -> None:
        """Botocore, OfflineStoreStatus: Blocked with the reason while S3 doesn't take the rows, else Active."""
        name = key.rsplit("@", 1)[0]
        with self._cloud.lock:
            group = self._cloud.store("feature_groups").get(name)
            status = {"Status": "Blocked", "BlockedReason": blocked} if blocked else {"Status": "Active"}
            if (
                group is not None
                and Schema.of(group).key == key
                and group.get("OfflineStoreStatus") not in (None, status)
            ):
                group["OfflineStoreStatus"] = status

    def _described(self, key: str) -> Schema | None:
        group = self._cloud.store("feature_groups").get(key.rsplit("@", 1)[0])
        schema = Schema.of(group) if group else None
        return schema if schema and schema.key == key else None

    def _upload(self, schema: Schema, hour: datetime, rows: list[Appended]) -> None:
        storage = (schema.offline or {})["S3StorageConfig"]
        bucket, _, prefix = storage["ResolvedOutputS3Uri"].removeprefix("s3://").partition("/")
        latest = datetime.fromtimestamp(max(row.event for row in rows) / SECOND, UTC)
        name = f"{latest:%Y%m%dT%H%M%SZ}_{_random(16)}.parquet"
        folder = f"year={hour:%Y}/month={hour:%m}/day={hour:%d}/hour={hour:%H}"
        if (schema.offline or {}).get("TableFormat") == "Iceberg":
            folder = f"{_random(8)}/{schema.event_time}_trunc={hour:%Y-%m-%d}"
        kms = storage.get("KmsKeyId")
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms} if kms else {}
        body = parquet(schema, rows, time_ns() // 1000)
        s3 = self._actors.of(schema.role).aws("s3")
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{folder}/{name}", Body=body, **encryption)

    def _expire(self) -> None:
        """Time to live "hard deletes" a record and leaves its marker offline (developer guide, TTL)."""
        self._expiry = None
        now = time_ns() // 1000
        for key, identifier, expired in self._records.expire(now):
            schema = self._schemas.get(key) or self._described(key)
            if schema is None or schema.offline is None:
                continue
            values = schema.marker(identifier, _as_event(schema, expired))
            self._records.append(Write(key, identifier, expired, values), now)
            if not self._armed:
                self._arm(FLUSH_AFTER)
        self._watch(self._records.next_expiry())


def parquet(schema: Schema, rows: Sequence[Appended], written: int) -> bytes:
    """Rows as one Parquet file: a column for each feature, in the group's order, then the three that are added."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    given = [{each["FeatureName"]: each for each in row.values} for row in rows]
    types = {"Integral": pa.int64(), "Fractional": pa.float64(), "String": pa.string()}
    columns: dict[str, Any] = {}
    for name, definition in schema.features.items():
        kind = types[definition["FeatureType"]]
        values = [_typed(definition, row.get(name)) for row in given]
        columns[name] = pa.array(values, pa.list_(kind) if definition.get("CollectionType") else kind)
    moment = pa.timestamp("ms")
    columns["write_time"] = pa.array([written // 1000] * len(rows), moment)
    columns["api_invocation_time"] = pa.array([row.invoked // 1000 for row in rows], moment)
    columns["is_deleted"] = pa.array([row.deleted for row in rows], pa.bool_())
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="snappy")
    return file.getvalue()


def _typed(definition: Any, value: Any) -> Any:
    if value is None:
        return None
    read = {"Integral": int, "Fractional": float, "String": str}[definition["FeatureType"]]
    if definition.get("CollectionType"):
        return [read(each) for each in value["ValueAsStringList"]]
    return read(value["ValueAsString"])


def _by_hour(rows: Sequence[Appended]) -> dict[datetime, list[Appended]]:
    parts: defaultdict[datetime, list[Appended]] = defaultdict(list)
    for row in rows:
        moment = datetime.fromtimestamp(row.event / SECOND, UTC)
        parts[moment.replace(minute=0, second=0, microsecond=0)].append(row)
    return parts


def _as_event(schema: Schema, moment: int) -> str:
    if schema.features[schema.event_time]["FeatureType"] == "Fractional":
        return str(moment / SECOND)
    return datetime.fromtimestamp(moment / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))
