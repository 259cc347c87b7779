from __future__ import annotations

from typing import Any

import pytest
from tests.templates.platform import GROUP, PLACE, WORKLOAD, allowed, of_template, platform, statements

from mlplat.resources import AthenaWorkGroup, FeatureGroup, ModelPackageGroup, Role
from mlplat.resources.base import Ref
from mlplat.settings.limits import DIGEST, NAME_LIMIT
from mlplat.templates import Place


def features(**tables: Any) -> dict[str, Any]:
    declared = of_template(platform(**tables), "ml_feature_store")
    return {address: each.resource for address, each in declared.items()}


def test_a_group_for_each_in_the_settings_and_a_registry_for_each_workload() -> None:
    found = features(feature_groups={"customer": GROUP, "call_log": GROUP})
    assert set(found) == {
        "role.feature_store", "feature_group.customer", "feature_group.call_log", "model_package_group.churn",
        "athena_work_group.features", "glue_crawler.raw", "role.crawler",
    }  # fmt: skip
    group, registry = found["feature_group.call_log"], found["model_package_group.churn"]
    assert isinstance(group, FeatureGroup)
    assert isinstance(registry, ModelPackageGroup)
    assert (group.name, registry.name) == ("mlplat-development-call-log", "mlplat-development-churn")
    assert group.features == GROUP["features"]


def test_workloads_that_share_a_registry_have_one() -> None:
    workloads = {"a": {**WORKLOAD, "description": "The first"}, "b": WORKLOAD}
    found = features(workloads=workloads, endpoints={})
    assert [address for address in found if "package" in address] == ["model_package_group.churn"]
    assert found["model_package_group.churn"].description == "The first"


def test_other_accounts_see_the_registry_where_the_settings_say_so() -> None:
    registry = features(registry={"readers": ["333333333333", "210987654321"]})["model_package_group.churn"]
    (statement,) = registry.policy["Statement"]
    assert statement["Principal"]["AWS"] == ["arn:aws:iam::210987654321:root", "arn:aws:iam::333333333333:root"]
    arn = "arn:aws:sagemaker:us-east-1:123456789012"
    name = "mlplat-development-churn"
    assert statement["Resource"] == [f"{arn}:model-package-group/{name}", f"{arn}:model-package/{name}/*"]
    assert all(action.partition(":")[2].startswith(("Describe", "List")) for action in statement["Action"])
    assert features()["model_package_group.churn"].policy == {}


def test_offline_records_go_to_the_processed_bucket_and_our_own_database() -> None:
    group = features()["feature_group.customer"]
    assert group.offline == {
        "uri": Ref("ml_data_infrastructure.bucket.processed", "uri", "{}/feature-store"),
        "key": Ref("ml_data_infrastructure.kms_key.platform", "arn"),
        "database": Ref("ml_data_infrastructure.glue_database.catalog", "name"),
        "format": "Glue",
    }
    assert group.online_key == group.offline["key"]
    assert group.role == Ref("ml_feature_store.role.feature_store", "arn")


def test_queries_have_a_work_group_whose_results_are_encrypted_and_expire() -> None:
    found = features()["athena_work_group.features"]
    assert isinstance(found, AthenaWorkGroup)
    assert found.output_location == Ref("ml_data_infrastructure.bucket.experiments", "uri", "{}/temp/athena/")
    assert found.key == Ref("ml_data_infrastructure.kms_key.platform", "arn")
    assert "athena_work_group.features" not in features(feature_groups={"customer": {**GROUP, "offline": False}})


def test_a_store_that_is_off_has_neither_key_nor_role() -> None:
    online = features(feature_groups={"customer": {**GROUP, "offline": False}})["feature_group.customer"]
    assert (online.offline, online.role) == (None, None)
    offline = features(feature_groups={"customer": {**GROUP, "online": False}})["feature_group.customer"]
    assert (offline.online, offline.online_key) == ("", None)


def test_the_role_writes_below_its_prefix_and_keeps_tables_in_our_database() -> None:
    role = features()["role.feature_store"]
    assert isinstance(role, Role)
    bucket, database = "(ml_data_infrastructure.bucket.processed.arn)", "(ml_data_infrastructure.glue_database.catalog"
    assert allowed(role, "s3:PutObject") == [f"{bucket}/feature-store/*"]
    assert allowed(role, "s3:GetObject") == [f"{bucket}/feature-store/*/metadata/*"]
    assert allowed(role, "s3:GetBucketAcl") == [bucket]
    assert allowed(role, "glue:UpdateTable") == [
        "arn:aws:glue:us-east-1:123456789012:catalog",
        f"{database}.arn)",
        f"arn:aws:glue:us-east-1:123456789012:table/{database}.name)/*",
    ]
    assert allowed(role, "s3:DeleteObject") == []
    assert all("*" not in statement["Resource"] for statement in statements(role))


@pytest.mark.parametrize("shorter", [0, 1, 20])
def test_names_keep_to_the_limits_at_the_boundary(shorter: int) -> None:
    """The longest names that the settings allow."""
    place = Place("n" * 16, PLACE.account, "ap-southeast-1", "aws", ("ap-southeast-1a", "ap-southeast-1b"))
    name = "g" * (NAME_LIMIT - len(f"mlplat-{place.namespace}-") - DIGEST - shorter)
    workload = {**WORKLOAD, "model_package_group": name}
    found = features(place=place, feature_groups={name: GROUP}, workloads={"w": workload}, endpoints={})
    assert all(len(each.name) <= 63 for each in found.values())
    assert found[f"feature_group.{name}"].name == f"mlplat-{'n' * 16}-{name}"
