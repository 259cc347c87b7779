"""The feature-store runtime through plain boto3: every rule of records, and what reaches the offline store."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.localcloud.hosted import until

FEATURES = {"id": "String", "at": "String", "age": "Integral", "spend": "Fractional", "plan": "String"}
NOW = "2026-03-01T12:00:00Z"


class Store:
    """Feature groups and records of one test."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self.mark = uuid.uuid4().hex[:8]
        self.sagemaker, self.s3 = cloud.client("sagemaker"), cloud.client("s3")
        self.runtime = cloud.client("sagemaker-featurestore-runtime")
        self.bucket = f"features-{self.mark}"

    def group(self, name: str, features: dict[str, str] | None = None, *, offline: bool = False, **online: Any) -> str:
        """A feature group, once it is created, and its unique name."""
        unique = f"{name}-{self.mark}"
        more: dict[str, Any] = {}
        if offline:
            self.s3.create_bucket(Bucket=self.bucket)
            trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
            more["RoleArn"] = self.cloud.client("iam").create_role(
                RoleName=f"features-{self.mark}",
                AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
            )["Role"]["Arn"]
            more["OfflineStoreConfig"] = {"S3StorageConfig": {"S3Uri": f"s3://{self.bucket}/store"}}
        if online.get("EnableOnlineStore", True):
            more["OnlineStoreConfig"] = {"EnableOnlineStore": True, **online}
        definitions = [{"FeatureName": n, "FeatureType": t} for n, t in (features or FEATURES).items()]
        self.sagemaker.create_feature_group(
            FeatureGroupName=unique,
            RecordIdentifierFeatureName="id",
            EventTimeFeatureName="at",
            FeatureDefinitions=definitions,
            **more,
        )
        until(
            lambda: self.sagemaker.describe_feature_group(FeatureGroupName=unique)["FeatureGroupStatus"],
            lambda status: status == "Created",
        )
        return unique

    def put(self, group: str, more: dict[str, Any] | None = None, **values: Any) -> None:
        self.runtime.put_record(FeatureGroupName=group, Record=record(**values), **(more or {}))

    def get(self, group: str, id: str, **more: Any) -> dict[str, str] | None:
        answer = self.runtime.get_record(FeatureGroupName=group, RecordIdentifierValueAsString=id, **more)
        return plain(answer["Record"]) if "Record" in answer else None

    def delete(self, group: str, id: str, at: str, **more: Any) -> None:
        self.runtime.delete_record(FeatureGroupName=group, RecordIdentifierValueAsString=id, EventTime=at, **more)


def record(**values: Any) -> list[dict[str, str]]:
    return [{"FeatureName": name, "ValueAsString": str(value)} for name, value in values.items()]


def plain(values: list[dict[str, str]]) -> dict[str, str]:
    return {each["FeatureName"]: each["ValueAsString"] for each in values}


def refusal(call: Callable[..., Any], *given: Any, **request: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(*given, **request)
    response = caught.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture
def store(cloud: Any) -> Store:
    return Store(cloud)


def test_put_replaces_the_whole_record_and_the_newest_event_time_wins(store: Store) -> None:
    group = store.group("newest")
    store.put(group, id="1", at=NOW, age=40, plan="gold")
    assert store.get(group, "1") == {"id": "1", "at": NOW, "age": "40", "plan": "gold"}
    store.put(group, id="1", at="2026-03-01T13:00:00.500Z", age=41)
    assert store.get(group, "1") == {"id": "1", "at": "2026-03-01T13:00:00.500Z", "age": "41"}
    store.put(group, id="1", at=NOW, age=39)
    store.put(group, id="1", at="2026-03-01T13:00:00.500Z", age=42)
    assert store.get(group, "1") == {"id": "1", "at": "2026-03-01T13:00:00.500Z", "age": "42"}
    assert store.get(group, "1", FeatureNames=["age"]) == {"age": "42"}
    assert store.get(group, "2") is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"id": "1", "at": NOW, "colour": "red"}, "colour"),
        ({"id": "1"}, "event time"),
        ({"at": NOW}, "record identifier"),
        ({"id": "1", "at": NOW, "age": "4.5"}, "Integral"),
        ({"id": "1", "at": NOW, "age": str(2**63)}, "Integral"),
        ({"id": "1", "at": NOW, "spend": "much"}, "Fractional"),
        ({"id": "1", "at": "2026-03-01 12:00:00"}, "2026-03-01 12:00:00"),
        ({"id": "1", "at": "2026-02-30T12:00:00Z"}, "2026-02-30"),
        ({"id": "1", "at": "1772366400"}, "1772366400"),
        ({"id": "", "at": NOW}, "1 to 2048 bytes"),
        ({"id": "x" * 2049, "at": NOW}, "1 to 2048 bytes"),
    ],
)
def test_records_that_do_not_fit_are_refused(store: Store, values: dict[str, str], says: str) -> None:
    group = store.group("strict")
    code, message, status = refusal(store.put, group, **values)
    assert (code, status) == ("ValidationError", 400)
    assert says in message
    assert store.runtime.list_records(FeatureGroupName=group)["RecordIdentifiers"] == []


def test_groups_and_features_that_are_not_there(store: Store) -> None:
    says = "Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name [nobody]."
    assert refusal(store.put, "nobody", id="1", at=NOW) == ("ValidationError", says, 400)
    assert refusal(store.delete, "nobody", "1", NOW) == ("ValidationError", says, 400)
    assert refusal(store.get, "nobody", "1") == ("ResourceNotFound", says, 404)
    group = store.group("there")
    assert refusal(store.get, group, "1", FeatureNames=["colour"])[0] == "ValidationError"
    assert refusal(store.put, group, {"TargetStores": ["OfflineStore"]}, id="1", at=NOW)[0] == "ValidationError"


def test_a_group_may_be_named_by_its_arn_and_time_by_seconds(store: Store) -> None:
    group = store.group("seconds", {"id": "Integral", "at": "Fractional"})
    arn = store.sagemaker.describe_feature_group(FeatureGroupName=group)["FeatureGroupArn"]
    store.put(arn, id=7, at="1772366400.25")
    store.put(arn, id=7, at="1772366399")
    assert store.get(arn, "7") == {"id": "7", "at": "1772366400.25"}


def test_deletes(store: Store) -> None:
    group = store.group("deleted")
    early, later = "2026-03-01T11:00:00Z", "2026-03-01T13:00:00Z"
    for id in ("soft", "hard", "late"):
        store.put(group, id=id, at=NOW)
    store.delete(group, "soft", later)
    assert store.get(group, "soft") is None
    store.put(group, id="soft", at="2026-03-01T12:30:00Z")
    assert store.get(group, "soft") is None
    store.delete(group, "hard", later, DeletionMode="HardDelete")
    store.put(group, id="hard", at=early)
    assert store.get(group, "hard") == {"id": "hard", "at": early}
    store.delete(group, "late", early)
    assert store.get(group, "late") == {"id": "late", "at": NOW}
    code, message, _ = refusal(store.delete, group, "late", NOW, DeletionMode="HardDelete")
    assert (code, "EventTime" in message) == ("ValidationError", True)
    store.delete(group, "never there", NOW)
    listed = store.runtime.list_records(FeatureGroupName=group)["RecordIdentifiers"]
    assert sorted(listed) == ["hard", "late"]
    listed = store.runtime.list_records(FeatureGroupName=group, IncludeSoftDeletedRecords=True)["RecordIdentifiers"]
    assert sorted(listed) == ["hard", "late", "never there", "soft"]


def test_batches(store: Store) -> None:
    group = store.group("batch")
    entry = {"FeatureGroupName": group, "Record": record(id="bad", at=NOW, age="old")}
    answer = store.runtime.batch_write_record(
        Entries=[{"FeatureGroupName": group, "Record": record(id=str(n), at=NOW, age=n)} for n in range(24)] + [entry]
    )
    assert answer["UnprocessedEntries"] == []
    assert [(each["Entry"], each["ErrorCode"]) for each in answer["Errors"]] == [(entry, "ValidationError")]
    found = store.runtime.batch_get_record(
        Identifiers=[
            {
                "FeatureGroupName": group,
                "RecordIdentifiersValueAsString": ["3", "absent", "bad"],
                "FeatureNames": ["age"],
            },
            {"FeatureGroupName": "nobody", "RecordIdentifiersValueAsString": ["1"]},
        ]
    )
    assert [(each["RecordIdentifierValueAsString"], plain(each["Record"])) for each in found["Records"]] == [
        ("3", {"age": "3"})
    ]
    assert [(each["FeatureGroupName"], each["ErrorCode"]) for each in found["Errors"]] == [
        ("nobody", "ResourceNotFound")
    ]
    pages = []
    request: dict[str, Any] = {"FeatureGroupName": group, "MaxResults": 10}
    while True:
        page = store.runtime.list_records(**request)
        pages.append(page["RecordIdentifiers"])
        if "NextToken" not in page:
            break
        request["NextToken"] = page["NextToken"]
    assert [len(page) for page in pages] == [10, 10, 4]
    assert sorted(id for page in pages for id in page) == sorted(str(n) for n in range(24))


def test_time_to_live(store: Store) -> None:
    group = store.group("mortal", TtlDuration={"Unit": "Weeks", "Value": 100_000})
    store.put(group, id="kept", at=NOW)
    store.put(group, {"TtlDuration": {"Unit": "Hours", "Value": 1}}, id="gone", at="2026-01-01T00:00:00Z")
    assert store.get(group, "gone") is None
    answer = store.runtime.get_record(
        FeatureGroupName=group, RecordIdentifierValueAsString="kept", ExpirationTimeResponse="Enabled"
    )
    assert answer["ExpiresAt"].startswith("39")
    assert "ExpiresAt" not in store.runtime.get_record(FeatureGroupName=group, RecordIdentifierValueAsString="kept")


def test_update_record_is_for_the_newer_storage_types(store: Store) -> None:
    def update(group: str, at: str, **values: Any) -> Any:
        return store.runtime.update_record(
            FeatureGroupName=group, RecordIdentifierValueAsString="1", Features=record(at=at, **values)
        )

    old, new = store.group("old"), store.group("new", StorageType="InMemory")
    assert refusal(update, old, NOW)[0] == "ValidationError"
    assert refusal(update, new, NOW)[0] == "ResourceNotFound"
    store.put(new, id="1", at=NOW, age=4, plan="gold")
    update(new, "2026-03-01T13:00:00Z", age=5)
    assert store.get(new, "1") == {"id": "1", "at": "2026-03-01T13:00:00Z", "age": "5", "plan": "gold"}
    code, _, status = refusal(update, new, NOW, age=6)
    assert (code, status) == ("ConflictException", 409)


def test_features_that_are_added_and_groups_that_are_made_anew(store: Store) -> None:
    group = store.group("grows")
    assert refusal(store.put, group, id="1", at=NOW, extra=1)[0] == "ValidationError"
    store.sagemaker.update_feature_group(
        FeatureGroupName=group, FeatureAdditions=[{"FeatureName": "extra", "FeatureType": "Integral"}]
    )
    until(lambda: store.put(group, id="1", at=NOW, extra=1), lambda _: True)
    store.sagemaker.delete_feature_group(FeatureGroupName=group)
    until(lambda: refusal(store.get, group, "1")[0], lambda code: code == "ResourceNotFound")
    until(lambda: store.group("grows"), lambda _: True)
    assert store.get(group, "1") is None


def test_eight_clients_at_once_lose_nothing(store: Store) -> None:
    group = store.group("many")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.put(group, id=str(n), at=NOW, age=n), range(400)))
        found = list(pool.map(lambda n: (store.get(group, str(n)) or {}).get("age"), range(400)))
    assert found == [str(n) for n in range(400)]


def test_the_offline_store_gets_parquet_in_awss_layout(store: Store) -> None:
    import pyarrow.parquet as pq

    group = store.group("offline", offline=True)
    store.put(group, id="1", at=NOW, age=40, spend="1.5")
    store.put(group, id="1", at="2026-03-01T12:59:59.250Z", plan="gold")
    store.put(group, id="1", at="2026-02-28T23:00:00Z", age=39)
    store.put(group, {"TargetStores": ["OnlineStore"]}, id="2", at=NOW)
    store.put(group, {"TargetStores": ["OfflineStore"]}, id="3", at=NOW)
    store.delete(group, "1", "2026-03-01T12:59:59.500Z")
    assert store.get(group, "3") is None
    described = store.sagemaker.describe_feature_group(FeatureGroupName=group)
    place = described["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"].removeprefix("s3://")
    bucket, _, prefix = place.partition("/")

    def rows() -> list[tuple[str, dict[str, Any]]]:
        keys = [each["Key"] for each in store.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
        files = [(key, io.BytesIO(store.s3.get_object(Bucket=bucket, Key=key)["Body"].read())) for key in keys]
        return [(key.removeprefix(f"{prefix}/"), row) for key, file in files for row in pq.read_table(file).to_pylist()]

    found = sorted(until(rows, lambda found: len(found) == 5, within=20), key=lambda row: (row[1]["id"], row[1]["at"]))
    assert all(
        re.fullmatch(r"year=2026/month=\d\d/day=\d\d/hour=\d\d/2026\d{4}T\d{6}Z_[A-Za-z0-9]{16}\.parquet", key)
        for key, _ in found
    )
    assert found[0][0].startswith("year=2026/month=02/day=28/hour=23/")
    assert found[1][0].startswith("year=2026/month=03/day=01/hour=12/20260301T125959Z_")
    added = {"write_time", "api_invocation_time", "is_deleted"}
    assert set(found[0][1]) == set(FEATURES) | added
    values = [{k: v for k, v in row.items() if k not in added | {"at"} and v is not None} for _, row in found]
    assert values == [
        {"id": "1", "age": 39},
        {"id": "1", "age": 40, "spend": 1.5},
        {"id": "1", "plan": "gold"},
        {"id": "1"},
        {"id": "3"},
    ]
    assert [row["is_deleted"] for _, row in found] == [False, False, False, True, False]
    assert all(row["api_invocation_time"] <= row["write_time"] for _, row in found)
