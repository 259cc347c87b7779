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
HOUR = 3600 * SECOND


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
            record = schema.marker(identifier, _as_event(schema, expired))
            self._records.append(Write(key, identifier, expired, record), now)
            if not self._armed:
                self._arm(FLUSH_AFTER)
        self._watch(self._records.next_expiry())


def parquet(schema: Schema, rows: Sequence[Appended], written: int) -> bytes:
    """Rows as one Parquet file: a column for each feature, in the group's order, then the three that are added."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"Integral": pa.int64(), "Fractional": pa.float64(), "String": pa.string()}
    given, columns = _by_feature(rows), dict[str, Any]()
    for name, definition in schema.features.items():
        kind, values = types[definition["FeatureType"]], given.get(name) or [None] * len(rows)
        if definition.get("CollectionType"):
            columns[name] = pa.array([_collection(definition, each) for each in values], pa.list_(kind))
        else:
            columns[name] = _column(definition, [each and each["ValueAsString"] for each in values], kind)
    moment = pa.timestamp("ms")
    columns["write_time"] = pa.array([written // 1000] * len(rows), moment)
    columns["api_invocation_time"] = pa.array([row.invoked // 1000 for row in rows], moment)
    columns["is_deleted"] = pa.array([row.deleted for row in rows], pa.bool_())
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="snappy")
    return file.getvalue()


def _by_feature(rows: Sequence[Appended]) -> dict[str, list[Any]]:
    """What the rows have of each feature; None where one has none. Rows mostly have the same ones in the same order."""
    names = [each["FeatureName"] for each in rows[0].values]
    if all([each["FeatureName"] for each in row.values] == names for row in rows):
        return dict(zip(names, map(list, zip(*(row.values for row in rows), strict=True)), strict=True))
    maps = [{each["FeatureName"]: each for each in row.values} for row in rows]
    return {name: [each.get(name) for each in maps] for name in {name for each in maps for name in each}}


def _column(definition: Any, texts: list[str | None], kind: Any) -> Any:
    """Numbers are read by Arrow, and by Python where Arrow won't: what PutRecord takes is what Python reads."""
    import pyarrow as pa

    column = pa.array(texts, pa.string())
    if kind == pa.string():
        return column
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        read = _READ[definition["FeatureType"]]
        return pa.array([each and read(each) for each in texts], kind)


def _collection(definition: Any, value: Any) -> Any:
    return value and [_READ[definition["FeatureType"]](each) for each in value["ValueAsStringList"]]


_READ: dict[str, Any] = {"Integral": int, "Fractional": float, "String": str}


def _by_hour(rows: Sequence[Appended]) -> dict[datetime, list[Appended]]:
    parts: defaultdict[int, list[Appended]] = defaultdict(list)
    for row in rows:
        parts[row.event // HOUR].append(row)
    return {datetime.fromtimestamp(hour * 3600, UTC): part for hour, part in parts.items()}


def _as_event(schema: Schema, moment: int) -> str:
    if schema.features[schema.event_time]["FeatureType"] == "Fractional":
        return str(moment / SECOND)
    return datetime.fromtimestamp(moment / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))
