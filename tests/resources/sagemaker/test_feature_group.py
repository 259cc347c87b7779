from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import KindContract, World
from tests.resources.sagemaker.scripted import ARN, Refusal, Scripted

from mlplat.errors import NotSettled
from mlplat.resources import FeatureGroup

FEATURES = {"customer_id": "String", "event_time": "String", "minutes": "Fractional"}
GROUP = FeatureGroup(
    name="mlplat-test-customer",
    features=FEATURES,
    record_identifier="customer_id",
    event_time="event_time",
    online="Standard",
)


def there(status: str = "Created", **changes: Any) -> dict[str, Any]:
    answer = {
        "FeatureGroupName": GROUP.name,
        "FeatureGroupArn": f"{ARN}:feature-group/{GROUP.name}",
        "FeatureGroupStatus": status,
        "RecordIdentifierFeatureName": "customer_id",
        "EventTimeFeatureName": "event_time",
        "FeatureDefinitions": [{"FeatureName": name, "FeatureType": kind} for name, kind in FEATURES.items()],
        "OnlineStoreConfig": {"EnableOnlineStore": True},
        "CreationTime": 1,
        "NextToken": "",
    }
    return answer | changes


class TestFeatureGroup(KindContract):
    def desired(self, world: World) -> FeatureGroup:
        return replace(
            GROUP,
            name=f"contract-{world.suffix}",
            online_key=world.key,
            ttl="9999d",
            offline={
                "uri": f"s3://{world.bucket}/feature-store",
                "key": world.key,
                "database": database(world),
                "format": "Glue",
            },
            throughput={"read": 5, "write": 7},
            role=world.role,
            description="For a test",
            about={"minutes": {"description": "A day's", "parameters": {"owner": "sales", "unit": "min"}}},
            owner="sales",
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "features": {"new": "Integral", **FEATURES},
            "record_identifier": "minutes",
            "event_time": "minutes",
            "online": "",
            "online_key": "arn:aws:kms:us-east-1:123456789012:key/other",
            "ttl": "2w",
            "throughput": {},
            "offline": {"uri": "s3://other", "key": world.key, "database": "other", "format": "Glue"},
            "role": "arn:aws:iam::123456789012:role/other",
            "description": "For another test",
            "about": {"minutes": {"description": "A night's", "parameters": {"owner": "sales", "unit": "s"}}},
            "owner": "",
        }


def database(world: World) -> str:
    """A Glue database, made when it isn't there."""
    glue, name = world.client("glue"), f"contract_{world.suffix}"
    if name not in [each["Name"] for each in glue.get_databases()["DatabaseList"]]:
        glue.create_database(DatabaseInput={"Name": name})
    return name


def test_only_what_is_declared_of_features_is_read_and_written(world: World) -> None:
    about = {"minutes": {"parameters": {"owner": "sales"}}}
    group, sagemaker = replace(TestFeatureGroup().desired(world), about=about), world.client("sagemaker")
    group.create(world.aws)
    sagemaker.update_feature_metadata(
        FeatureGroupName=group.name, FeatureName="minutes", Description="By hand",
        ParameterAdditions=[{"Key": "reviewed", "Value": "yes"}],
    )  # fmt: skip
    seen = group.describe(world.aws)
    assert seen is not None
    assert seen.fields["about"] == about
    assert group.compare(seen) == []
    other = replace(group, about={"minutes": {"parameters": {"owner": "billing"}}, "customer_id": {"description": "7"}})
    other.update(world.aws, seen, frozenset({"about"}))
    found = sagemaker.describe_feature_metadata(FeatureGroupName=group.name, FeatureName="minutes")
    assert found["Description"] == "By hand"
    assert {each["Key"]: each["Value"] for each in found["Parameters"]} == {"owner": "billing", "reviewed": "yes"}
    found = sagemaker.describe_feature_metadata(FeatureGroupName=group.name, FeatureName="customer_id")
    assert (found["Description"], found["Parameters"]) == ("7", [])
    group.delete(world.aws, group.name)


def test_features_that_declare_nothing_cost_no_call() -> None:
    scripted = Scripted({"DescribeFeatureGroup": there()})
    GROUP.describe(scripted.session())
    assert [name for name, _ in scripted.calls] == ["DescribeFeatureGroup"]


def test_a_feature_that_is_added_is_described_with_it(world: World) -> None:
    group = TestFeatureGroup().desired(world)
    group.create(world.aws)
    seen = group.describe(world.aws)
    assert seen is not None
    wider = replace(group, features={**FEATURES, "new": "Integral"}, about={"new": {"description": "Newest"}})
    wider.update(world.aws, seen, frozenset(change.field for change in wider.compare(seen)))
    after = wider.describe(world.aws)
    assert after is not None
    assert wider.compare(after) == []
    group.delete(world.aws, group.name)


def test_features_that_go_or_change_type_are_another_schema() -> None:
    seen = GROUP.describe(Scripted({"DescribeFeatureGroup": there()}).session())
    assert seen is not None
    for features in ({"customer_id": "String", "event_time": "String"}, {**FEATURES, "minutes": "Integral"}):
        changes = replace(GROUP, features=features).compare(seen)
        assert [change.field for change in changes] == ["schema"]
        assert "schema" in FeatureGroup.immutable
    turned = dict(reversed(FEATURES.items()))
    assert replace(GROUP, features=turned).compare(seen) == []
    assert [each.field for each in replace(GROUP, features={**FEATURES, "new": "String"}).compare(seen)] == ["features"]


def test_all_pages_of_features_are_read() -> None:
    more = [{"FeatureName": "later", "FeatureType": "String"}]
    scripted = Scripted({"DescribeFeatureGroup": [there(NextToken="2"), there(FeatureDefinitions=more)]})
    seen = GROUP.describe(scripted.session())
    assert seen is not None
    assert seen.fields["features"] == {**FEATURES, "later": "String"}
    assert scripted.made("DescribeFeatureGroup")[1]["NextToken"] == "2"


def test_features_are_added_a_hundred_a_call_each_update_waited_for() -> None:
    wide = replace(GROUP, features={**FEATURES, **{f"f{number}": "String" for number in range(150)}})
    scripted = Scripted(
        {
            "DescribeFeatureGroup": [
                there(),
                there(LastUpdateStatus={"Status": "InProgress"}),
                there(LastUpdateStatus={"Status": "Successful"}),
            ],
            "UpdateFeatureGroup": {"FeatureGroupArn": ARN},
        }
    )
    aws = scripted.session()
    seen = wide.describe(aws)
    assert seen is not None
    wide.update(aws, seen, frozenset({"features"}))
    first, second = scripted.made("UpdateFeatureGroup")
    assert (len(first["FeatureAdditions"]), len(second["FeatureAdditions"])) == (100, 50)
    assert len(scripted.made("DescribeFeatureGroup")) == 4


def test_an_update_that_failed_says_why() -> None:
    failed = {"Status": "Failed", "FailureReason": "the table is gone"}
    scripted = Scripted(
        {
            "DescribeFeatureGroup": [there(), there(LastUpdateStatus=failed)],
            "UpdateFeatureGroup": {"FeatureGroupArn": ARN},
        }
    )
    aws, wide = scripted.session(), replace(GROUP, features={**FEATURES, "new": "String"})
    seen = wide.describe(aws)
    assert seen is not None
    with pytest.raises(NotSettled, match="updating feature_group mlplat-test-customer: the table is gone"):
        wide.update(aws, seen, frozenset({"features"}))


def test_a_creation_that_failed_says_why_and_is_seen_as_failed() -> None:
    failed = there("CreateFailed", FailureReason="the table exists")
    created = {"FeatureGroupArn": ARN}
    scripted = Scripted({"CreateFeatureGroup": created, "DescribeFeatureGroup": [there("Creating"), failed]})
    with pytest.raises(NotSettled, match="creating feature_group mlplat-test-customer: the table exists"):
        GROUP.create(scripted.session())
    seen = GROUP.describe(scripted.session())
    assert seen is not None
    assert seen.failed == "CreateFailed: the table exists"
    assert GROUP.data(scripted.session(), GROUP.name) is None


def test_a_role_made_just_now_is_waited_for() -> None:
    fresh = Refusal("ValidationException", "The execution role ARN is invalid. Please ensure that the role exists")
    scripted = Scripted({"CreateFeatureGroup": [fresh, {"FeatureGroupArn": ARN}], "DescribeFeatureGroup": there()})
    assert GROUP.create(scripted.session()) == GROUP.name
    assert len(scripted.made("CreateFeatureGroup")) == 2


def test_at_most_four_are_in_creation() -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def created(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        return {"FeatureGroupArn": ARN}

    def described(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal at_once
        with lock:
            at_once -= 1
        return there()

    sessions = [
        Scripted({"CreateFeatureGroup": created, "DescribeFeatureGroup": described}).session() for _ in range(12)
    ]
    threads = [threading.Thread(target=GROUP.create, args=(aws,)) for aws in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 <= most <= 4
    assert at_once == 0


def test_each_creation_makes_its_own_table_by_athenas_rules() -> None:
    offline = {
        "uri": "s3://bucket/feature-store",
        "key": "arn:aws:kms:us-east-1:1:key/x",
        "database": "mlplat_test",
        "format": "Glue",
    }
    scripted = Scripted({"CreateFeatureGroup": {"FeatureGroupArn": ARN}, "DescribeFeatureGroup": there()})
    replace(GROUP, offline=offline).create(scripted.session())
    catalog = scripted.made("CreateFeatureGroup")[0]["OfflineStoreConfig"]["DataCatalogConfig"]
    assert (catalog["Catalog"], catalog["Database"]) == ("AwsDataCatalog", "mlplat_test")
    name, _, created = catalog["TableName"].rpartition("_")
    assert name == "mlplat_test_customer"
    assert created.isdigit()


def test_records_are_data_and_emptying_deletes_the_offline_ones(world: World) -> None:
    group = TestFeatureGroup().desired(world)
    group.create(world.aws)
    assert group.data(world.aws, group.name) is None
    record = {"customer_id": "1", "event_time": "2026-01-01T00:00:00Z", "minutes": "1.5"}
    world.client("sagemaker-featurestore-runtime").put_record(
        FeatureGroupName=group.name,
        Record=[{"FeatureName": name, "ValueAsString": value} for name, value in record.items()],
    )
    seen = group.describe(world.aws)
    assert seen is not None
    bucket, _, folder = str(seen.outputs["offline_uri"]).removeprefix("s3://").partition("/")
    held = group.data(world.aws, group.name)
    while held == "records online":  # until it is offline, too
        time.sleep(0.1)
        held = group.data(world.aws, group.name)
    assert held is not None
    assert re.fullmatch(rf"records in s3://{bucket}/{folder}/ \(1 file, [\d.]+ KB\)", held), held
    group.empty(world.aws, group.name)
    assert "Contents" not in world.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{folder}/year=")
    assert group.data(world.aws, group.name) == "records online"
    group.delete(world.aws, group.name)


def test_an_unused_group_leaves_no_table_and_a_used_one_keeps_it(world: World) -> None:
    for used in (False, True):
        group = TestFeatureGroup().desired(world)
        group.create(world.aws)
        seen = group.describe(world.aws)
        assert seen is not None
        bucket, _, folder = str(seen.outputs["offline_uri"]).removeprefix("s3://").partition("/")
        if used:
            world.client("s3").put_object(Bucket=bucket, Key=f"{folder}/year=2026/x.parquet", Body=b"x")
        group.delete(world.aws, group.name)
        tables = world.client("glue").get_tables(DatabaseName=database(world))["TableList"]
        assert [each["Name"] for each in tables] == ([seen.outputs["table"]] if used else [])
        assert bool(world.client("s3").list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents")) == used


@pytest.mark.parametrize(("last", "held"), [(["7"], "records online"), ([], None)])
def test_an_empty_page_is_not_an_empty_store(last: list[str], held: str | None) -> None:
    """Pages of ListRecords leave out what was deleted softly."""
    pages = [{"RecordIdentifiers": [], "NextToken": "2"}, {"RecordIdentifiers": last}]
    scripted = Scripted({"DescribeFeatureGroup": there(), "ListRecords": pages})
    assert GROUP.data(scripted.session(), GROUP.name) == held
