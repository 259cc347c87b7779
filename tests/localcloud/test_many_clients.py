"""Sixteen clients at once: every call answered, every write there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.localcloud.hosted import Hosted, until

CLIENTS = 16
PARALLEL = {"max_pool_connections": CLIENTS, "retries": {"total_max_attempts": 1}}
"""No call is repeated: one that fails fails the test."""


def all_at_once(work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, range(CLIENTS)))


@pytest.fixture(scope="module")
def hosted(cloud: Any) -> Iterator[Hosted]:
    made = Hosted(cloud)
    yield made
    for each in made.names():
        made.delete(each)


def test_objects(cloud: Any, hosted: Hosted) -> None:
    """Keys of their own and one that all overwrite (plain moto answers 500 to that), read and listed meanwhile."""
    s3, bucket = cloud.client("s3", **PARALLEL), hosted.bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def work(client: int) -> list[str]:
        versions = []
        for number in range(6):
            body = f"{client}-{number}".encode() * (1 if number % 2 else 1000)
            s3.put_object(Bucket=bucket, Key=f"own/{client}/{number}", Body=body)
            versions.append(s3.put_object(Bucket=bucket, Key="one", Body=body)["VersionId"])
            assert s3.get_object(Bucket=bucket, Key=f"own/{client}/{number}")["Body"].read() == body
            assert s3.get_object(Bucket=bucket, Key="one")["Body"].read()
            s3.list_objects_v2(Bucket=bucket, Prefix="own/")
        return versions

    written = [version for some in all_at_once(work) for version in some]
    assert len(s3.list_objects_v2(Bucket=bucket, Prefix="own/")["Contents"]) == CLIENTS * 6
    kept = s3.list_object_versions(Bucket=bucket, Prefix="one")["Versions"]
    assert sorted(each["VersionId"] for each in kept) == sorted(written)
    latest = next(each for each in kept if each["IsLatest"])
    body = s3.get_object(Bucket=bucket, Key="one")["Body"].read()
    assert body == s3.get_object(Bucket=bucket, Key="one", VersionId=latest["VersionId"])["Body"].read()


def test_records(cloud: Any, hosted: Hosted) -> None:
    group = f"many-{uuid.uuid4().hex[:8]}"
    hosted.sagemaker.create_feature_group(
        FeatureGroupName=group, RecordIdentifierFeatureName="id", EventTimeFeatureName="at",
        FeatureDefinitions=[{"FeatureName": name, "FeatureType": "String"} for name in ("id", "at", "who")],
        RoleArn=hosted.role, OnlineStoreConfig={"EnableOnlineStore": True},
    )  # fmt: skip
    until(
        lambda: hosted.sagemaker.describe_feature_group(FeatureGroupName=group)["FeatureGroupStatus"],
        lambda status: status == "Created",
    )
    runtime = cloud.client("sagemaker-featurestore-runtime", **PARALLEL)

    def put(identifier: str, second: int, who: str) -> None:
        values = {"id": identifier, "at": f"2026-01-01T00:00:{second:02}Z", "who": who}
        record = [{"FeatureName": name, "ValueAsString": value} for name, value in values.items()]
        runtime.put_record(FeatureGroupName=group, Record=record)

    def get(identifier: str) -> dict[str, str]:
        answer = runtime.get_record(FeatureGroupName=group, RecordIdentifierValueAsString=identifier)
        return {each["FeatureName"]: each["ValueAsString"] for each in answer["Record"]}

    def work(client: int) -> None:
        for number in range(10):
            put(f"{client}-{number}", number, "own")
            put("one", (7 * client + number) % 60, f"{client}")
            assert get(f"{client}-{number}")["who"] == "own"

    all_at_once(work)
    assert {get(f"{client}-{number}")["who"] for client in range(CLIENTS) for number in range(10)} == {"own"}
    latest = max((7 * client + number) % 60 for client in range(CLIENTS) for number in range(10))
    assert get("one")["at"] == f"2026-01-01T00:00:{latest:02}Z"


def test_invocations(cloud: Any, hosted: Hosted) -> None:
    models = {name: (hosted.model(name), 1.0) for name in ("first", "second")}
    endpoint = hosted.create("many", hosted.config("many", models))
    runtime = cloud.client("sagemaker-runtime", **PARALLEL)

    def work(client: int) -> set[str]:
        seen = set()
        for number in range(10):
            sent = f"{client}.{number}"
            answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=sent, ContentType="text/csv")
            model, _, body = answer["Body"].read().decode().split()
            assert body == sent
            seen.add(model)
        return seen

    assert set.union(*all_at_once(work)) == {"first", "second"}


def test_jobs_and_models(cloud: Any, hosted: Hosted) -> None:
    """The control plane: what all make at once is all there, and a name that all want is given once."""
    sagemaker = cloud.client("sagemaker", **PARALLEL)
    container = {"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"}
    url = hosted.upload("models/many.tar.gz", {"code/inference.py": "pass"})

    def make(name: str) -> bool:
        request = {"PrimaryContainer": {**container, "ModelDataUrl": url}, "ExecutionRoleArn": hosted.role}
        try:
            sagemaker.create_model(ModelName=f"{name}-{hosted.mark}", **request)
        except sagemaker.exceptions.ClientError as error:
            assert "Cannot create already existing model" in str(error)
            return False
        return True

    def work(client: int) -> tuple[bool, ...]:
        return (*(make(f"many-{client}-{number}") for number in range(5)), make("wanted"))

    made = all_at_once(work)
    assert all(all(each[:5]) for each in made)
    assert sum(each[5] for each in made) == 1
    found = sagemaker.list_models(NameContains=f"-{hosted.mark}", MaxResults=100)["Models"]
    assert len([each for each in found if each["ModelName"].startswith("many-")]) == CLIENTS * 5
