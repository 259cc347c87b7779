"""Feature groups: what is checked, how they settle, what an update may do, and what a delete leaves."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
FEATURES = [
    {"FeatureName": "id", "FeatureType": "String"},
    {"FeatureName": "time", "FeatureType": "String"},
    {"FeatureName": "age", "FeatureType": "Integral"},
]
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def sagemaker(cloud: Any) -> Any:
    return cloud.client("sagemaker")


@pytest.fixture(scope="module")
def role(cloud: Any) -> str:
    document = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    name = f"features-{uuid.uuid4().hex[:8]}"
    return str(cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"])


@pytest.fixture(scope="module")
def bucket(cloud: Any) -> str:
    name = f"features-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def request_of(role: str, bucket: str) -> Make:
    def made(**more: Any) -> dict[str, Any]:
        request = {
            "FeatureGroupName": f"group-{uuid.uuid4().hex[:8]}",
            "RecordIdentifierFeatureName": "id",
            "EventTimeFeatureName": "time",
            "FeatureDefinitions": FEATURES,
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": f"s3://{bucket}/offline"}},
            "RoleArn": role,
            **more,
        }
        return {name: value for name, value in request.items() if value is not None}

    return made


def settled(sagemaker: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        answer = sagemaker.describe_feature_group(FeatureGroupName=name)
        moving = answer.get("LastUpdateStatus", {}).get("Status") == "InProgress"
        if not moving and answer["FeatureGroupStatus"] not in ("Creating", "Deleting"):
            return dict(answer)
        time.sleep(0.01)
    raise AssertionError(answer)


def refusal(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def test_it_answers_with_everything_and_what_aws_fills_in(
    cloud: Any, sagemaker: Any, request_of: Make, bucket: str
) -> None:
    request = request_of(Description="people", Tags=[{"Key": "a", "Value": "1"}])
    name, arn = request["FeatureGroupName"], sagemaker.create_feature_group(**request)["FeatureGroupArn"]
    seen = settled(sagemaker, name)
    assert seen["FeatureGroupStatus"] == "Created"
    for member in ("FeatureDefinitions", "Description", "RoleArn", "OnlineStoreConfig", "EventTimeFeatureName"):
        assert seen[member] == request[member]
    epoch = int(seen["CreationTime"].timestamp())
    offline = seen["OfflineStoreConfig"]
    assert offline["S3StorageConfig"]["ResolvedOutputS3Uri"] == (
        f"s3://{bucket}/offline/123456789012/sagemaker/us-east-1/offline-store/{name}-{epoch}/data"
    )
    assert seen["OfflineStoreStatus"] == {"Status": "Active"}
    catalog = offline["DataCatalogConfig"]
    assert (catalog["Catalog"], catalog["Database"]) == ("AwsDataCatalog", "sagemaker_featurestore")
    table = cloud.client("glue").get_table(DatabaseName=catalog["Database"], Name=catalog["TableName"])["Table"]
    columns = {each["Name"]: each["Type"] for each in table["StorageDescriptor"]["Columns"]}
    assert columns["age"] == "bigint"
    assert columns["is_deleted"] == "boolean"
    assert [each["Name"] for each in table["PartitionKeys"]] == ["year", "month", "day", "hour"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    listed = sagemaker.list_feature_groups(NameContains=name)["FeatureGroupSummaries"]
    assert [each["FeatureGroupArn"] for each in listed] == [arn]
    assert (
        sagemaker.list_feature_groups(NameContains=name, FeatureGroupStatusEquals="Deleting")["FeatureGroupSummaries"]
        == []
    )


def test_online_only_needs_no_role(sagemaker: Any, request_of: Make) -> None:
    request = request_of(OfflineStoreConfig=None, RoleArn=None)
    sagemaker.create_feature_group(**request)
    seen = settled(sagemaker, request["FeatureGroupName"])
    assert seen["FeatureGroupStatus"] == "Created"
    assert {"OfflineStoreConfig", "OfflineStoreStatus", "RoleArn", "FailureReason"} & set(seen) == set()


def test_a_name_is_taken_once(sagemaker: Any, request_of: Make) -> None:
    request = request_of()
    sagemaker.create_feature_group(**request)
    assert refusal(sagemaker.create_feature_group, **request) == (
        f"ResourceInUse: Resource Already Exists: FeatureGroup with name {request['FeatureGroupName']} already exists. "
        "Choose a different name."
    )


WRONG = {
    "an identifier that is no feature": {"RecordIdentifierFeatureName": "absent"},
    "a time that is no feature": {"EventTimeFeatureName": "absent"},
    "a time that is a whole number": {"EventTimeFeatureName": "age"},
    "a feature twice": {"FeatureDefinitions": [*FEATURES, FEATURES[0]]},
    "a reserved name": {"FeatureDefinitions": [*FEATURES, {"FeatureName": "is_deleted", "FeatureType": "String"}]},
    "no store at all": {"OnlineStoreConfig": None, "OfflineStoreConfig": None},
    "an offline store without a role": {"RoleArn": None},
    "a role that is not there": {"RoleArn": "arn:aws:iam::123456789012:role/absent"},
    "a bucket that is not there": {"OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://absent-bucket/x"}}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_can_not_be_is_refused(sagemaker: Any, request_of: Make, wrong: dict[str, Any]) -> None:
    request = request_of(**wrong)
    assert refusal(sagemaker.create_feature_group, **request).startswith("ValidationException: ")
    said = refusal(sagemaker.describe_feature_group, FeatureGroupName=request["FeatureGroupName"])
    assert said.startswith("ResourceNotFound: ")


def test_without_its_database_it_fails(sagemaker: Any, request_of: Make, bucket: str) -> None:
    catalog = {"Catalog": "AwsDataCatalog", "Database": "absent", "TableName": "t"}
    storage = {"S3Uri": f"s3://{bucket}/offline"}
    request = request_of(OfflineStoreConfig={"S3StorageConfig": storage, "DataCatalogConfig": catalog})
    sagemaker.create_feature_group(**request)
    seen = settled(sagemaker, request["FeatureGroupName"])
    assert (seen["FeatureGroupStatus"], "absent" in seen["FailureReason"]) == ("CreateFailed", True)


def test_an_update_adds_features_and_nothing_twice(sagemaker: Any, request_of: Make) -> None:
    request = request_of()
    name = {"FeatureGroupName": request["FeatureGroupName"]}
    sagemaker.create_feature_group(**request)
    settled(sagemaker, request["FeatureGroupName"])
    added = [{"FeatureName": "height", "FeatureType": "Fractional"}]
    sagemaker.update_feature_group(**name, FeatureAdditions=added)
    seen = settled(sagemaker, request["FeatureGroupName"])
    assert seen["FeatureDefinitions"] == [*FEATURES, *added]
    assert seen["LastUpdateStatus"] == {"Status": "Successful"}
    assert refusal(sagemaker.update_feature_group, **name, FeatureAdditions=added).startswith("ValidationException: ")
    duration = {"Unit": "Days", "Value": 3}
    sagemaker.update_feature_group(**name, OnlineStoreConfig={"TtlDuration": duration})
    online = settled(sagemaker, request["FeatureGroupName"])["OnlineStoreConfig"]
    assert online == {"EnableOnlineStore": True, "TtlDuration": duration}


def test_a_deleted_one_is_gone_and_its_table_is_not(cloud: Any, sagemaker: Any, request_of: Make) -> None:
    request = request_of()
    name = request["FeatureGroupName"]
    sagemaker.create_feature_group(**request)
    catalog = settled(sagemaker, name)["OfflineStoreConfig"]["DataCatalogConfig"]
    sagemaker.delete_feature_group(FeatureGroupName=name)
    absent = f"Amazon SageMaker can't find a FeatureGroup with name \\[{name}\\]"
    deadline = time.monotonic() + 10
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match=absent):
        while time.monotonic() < deadline:
            sagemaker.describe_feature_group(FeatureGroupName=name)
    assert refusal(sagemaker.delete_feature_group, FeatureGroupName=name).startswith("ResourceNotFound: ")
    cloud.client("glue").get_table(DatabaseName=catalog["Database"], Name=catalog["TableName"])
