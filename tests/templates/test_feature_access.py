from __future__ import annotations

from typing import Any

import pytest
from tests.templates.platform import GROUP, PLACE, allowed, of_template, platform, statements

from mlplat.resources import AthenaWorkGroup, Role
from mlplat.templates import Place

OTHER = "arn:aws:iam::210987654321:role/teams/Scoring"
GROUP_ARN = "arn:aws:sagemaker:us-east-1:123456789012:feature-group/mlplat-development-customer"
KEY = "(ml_data_infrastructure.kms_key.platform.arn)"


def access(place: Place = PLACE, **group: Any) -> dict[str, Any]:
    groups = {"customer": {**GROUP, "access": {}, **group}}
    declared = of_template(platform(place, feature_groups=groups), "ml_feature_store")
    return {
        address: each.resource
        for address, each in declared.items()
        if "customer" in address and "feature_group" not in address
    }


def role(found: dict[str, Any], who: str) -> Role:
    resource = found[f"role.customer_{who}"]
    assert isinstance(resource, Role)
    return resource


def test_roles_are_for_groups_that_say_who_has_access() -> None:
    assert set(access()) == {
        "role.customer_producer", "role.customer_consumer", "role.customer_analyst",
        "athena_work_group.customer_analyst",
    }  # fmt: skip
    plain = of_template(platform(crawler={"enabled": False}), "ml_feature_store")
    assert [address for address in plain if "role" in address] == ["role.feature_store"]
    assert "role.customer_analyst" not in access(offline=False)
    assert "role.customer_consumer" not in access(online=False)


def test_each_may_do_its_part_with_its_group_alone() -> None:
    found = access()
    producer, consumer, analyst = (role(found, each) for each in ("producer", "consumer", "analyst"))
    for action in ("PutRecord", "BatchWriteRecord", "DeleteRecord"):
        assert allowed(producer, f"sagemaker:{action}") == [GROUP_ARN]
        assert allowed(consumer, f"sagemaker:{action}") == allowed(analyst, f"sagemaker:{action}") == []
    for action in ("GetRecord", "BatchGetRecord"):
        assert allowed(consumer, f"sagemaker:{action}") == [GROUP_ARN]
        assert allowed(producer, f"sagemaker:{action}") == allowed(analyst, f"sagemaker:{action}") == []
    assert allowed(producer, "kms:Decrypt") == allowed(consumer, "kms:Decrypt") == [KEY]
    assert allowed(consumer, "athena:StartQueryExecution") == allowed(producer, "s3:GetObject") == []


def test_an_analyst_reads_one_table_its_files_and_its_own_answers() -> None:
    analyst = role(access(), "analyst")
    database = "arn:aws:glue:us-east-1:123456789012"
    group = "(ml_feature_store.feature_group.customer"
    experiments = "(ml_data_infrastructure.bucket.experiments.arn)"
    assert allowed(analyst, "athena:StartQueryExecution") == [
        "(ml_feature_store.athena_work_group.customer_analyst.arn)"
    ]
    assert allowed(analyst, "glue:GetTable") == [
        f"{database}:catalog",
        f"{database}:database/mlplat_development_catalog",
        f"{database}:table/mlplat_development_catalog/{group}.table)",
    ]
    processed = "arn:aws:s3:::mlplat-development-processed-123456789012-us-east-1"
    assert allowed(analyst, "s3:GetObject") == [
        f"{processed}/{group}.offline_prefix)/*",
        f"{experiments}/temp/athena/customer/*",
    ]
    assert allowed(analyst, "s3:PutObject") == [f"{experiments}/temp/athena/customer/*"]
    group_of_work = access()["athena_work_group.customer_analyst"]
    assert isinstance(group_of_work, AthenaWorkGroup)
    assert str(group_of_work.output_location.form).endswith("/temp/athena/customer/")  # type: ignore[union-attr]


@pytest.mark.parametrize("who", ["producer", "consumer", "analyst"])
def test_nothing_is_for_everything_where_a_resource_can_be_named(who: str) -> None:
    wide = [each for each in statements(role(access(), who)) if "*" in each["Resource"]]
    assert [each["Action"] for each in wide] == ([["cloudwatch:PutMetricData"]] if who == "producer" else [])
    assert all(each["Condition"]["StringEquals"] == {"cloudwatch:namespace": "mlplat/FeatureStore"} for each in wide)
    listing = [each for each in statements(role(access(), who)) if "s3:ListBucket" in each["Action"]]
    assert all("s3:prefix" in each["Condition"]["StringLike"] for each in listing)


def test_readers_of_an_earlier_version_are_let_in_as_long_as_they_follow_it() -> None:
    both = role(access(version=12, readers=11), "consumer")
    assert allowed(both, "sagemaker:GetRecord") == [f"{GROUP_ARN}-v11", f"{GROUP_ARN}-v12"]
    assert allowed(role(access(version=12), "consumer"), "sagemaker:GetRecord") == [f"{GROUP_ARN}-v12"]
    analyst = role(access(version=2, readers=1), "analyst")
    (_, _, table, earlier) = allowed(analyst, "glue:GetTable")
    assert "customer-v2.table" in table
    assert earlier.endswith("/mlplat_development_customer_?????????????")
    assert any(each.endswith("/offline-store/mlplat-development-customer-??????????/*")
               for each in allowed(analyst, "s3:GetObject"))  # fmt: skip


def test_who_is_named_may_assume_it_else_the_account_decides() -> None:
    found = access(access={"consumers": [OTHER, OTHER]})
    assert role(found, "consumer").trust["Statement"][0]["Principal"] == {"AWS": [OTHER]}
    account = {"AWS": ["arn:aws:iam::123456789012:root"]}
    assert role(found, "producer").trust["Statement"][0]["Principal"] == account


def test_names_of_capitals_and_of_the_greatest_length() -> None:
    place = Place("n" * 16, PLACE.account, "ap-southeast-1", "aws", PLACE.zones)
    groups = {"C" * 28: {**GROUP, "access": {}}}
    found = of_template(
        platform(place, feature_groups=groups, workloads={}, endpoints={}, crawler={"enabled": False}),
        "ml_feature_store",
    )
    roles = [each.resource for each in found.values() if isinstance(each.resource, Role)]
    assert len({each.name for each in roles}) == 4
    assert all(len(each.name) <= 64 for each in roles)
    consumer = found[f"role.{'C' * 28}_consumer"].resource
    assert isinstance(consumer, Role)
    assert allowed(consumer, "sagemaker:GetRecord")[0].endswith(f"feature-group/mlplat-{'n' * 16}-{'c' * 28}")
