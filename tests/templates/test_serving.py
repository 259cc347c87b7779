from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Any

import pytest
from tests.templates.platform import PLACE, RELEASE, WORKLOAD, allowed, everything, of_template, platform

from mlplat.resources import Endpoint, EndpointConfig, Model, Role
from mlplat.resources.base import Declared, Ref
from mlplat.settings.limits import DIGEST, NAME_LIMIT
from mlplat.templates import Place, needed_by
from mlplat.templates.release import Release

OUTPUTS = {
    "kms_key": {"arn", "id", "alias"},
    "bucket": {"name", "arn", "uri"},
    "vpc": {"id", "cidr"},
    "subnet": {"id", "arn", "zone"},
    "elastic_ip": {"id", "public_ip"},
    "glue_database": {"name", "arn"},
    "log_group": {"arn", "name"},
    "role": {"arn", "name"},
    "model": {"name", "arn", "model_package"},
    "endpoint_config": {"name", "arn"},
}
"""What kinds publish; the others publish an `id`."""


def serving(declared: Mapping[str, Declared] | None = None) -> dict[str, Any]:
    found = of_template(platform() if declared is None else declared, "ml_model_serving")
    return {address: each.resource for address, each in found.items()}


def changed(release: Release = RELEASE, **challenger: Any) -> Release:
    variants = dict(release.variants)
    return Release({**variants, "challenger": replace(variants["challenger"], **challenger)})


@pytest.mark.parametrize("declared", [platform(), everything()], ids=["default", "everything"])
def test_every_ref_of_every_template_finds_its_output_and_nothing_goes_in_circles(
    declared: dict[str, Declared],
) -> None:
    for each in declared.values():
        for ref in each.resource.refs():
            assert ref.address in declared
            assert ref.output in OUTPUTS.get(ref.address.split(".")[1], {"id"})
        assert set(each.after) <= set(declared)
    list(TopologicalSorter({each.address: each.needs() for each in declared.values()}).static_order())


def test_serving_stands_on_data_and_the_registry() -> None:
    needed = needed_by(platform().values(), ["ml_model_serving"])
    assert needed == ["ml_data_infrastructure", "ml_feature_store"]
    assert needed_by(platform().values(), ["ml_training_infrastructure"]) == ["ml_data_infrastructure"]


def test_without_a_release_there_is_only_the_role() -> None:
    assert set(serving(platform(releases={}))) == {"role.serving"}
    assert set(serving(platform(releases={"gone": RELEASE}))) == {"role.serving"}


def test_a_release_is_a_model_for_each_variant_a_config_and_an_endpoint() -> None:
    found = serving()
    assert set(found) == {
        "role.serving", "model.churn_primary", "model.churn_challenger", "endpoint_config.churn", "endpoint.churn",
    }  # fmt: skip
    model, config, endpoint = found["model.churn_challenger"], found["endpoint_config.churn"], found["endpoint.churn"]
    assert isinstance(model, Model)
    assert isinstance(config, EndpointConfig)
    assert isinstance(endpoint, Endpoint)
    assert model.model_package == RELEASE.variants["challenger"].model_package
    assert model.vpc_config is None
    assert [each["model"] for each in config.variants] == [
        Ref("ml_model_serving.model.churn_primary", "name"), Ref("ml_model_serving.model.churn_challenger", "name"),
    ]  # fmt: skip
    assert (endpoint.name, endpoint.weights) == ("mlplat-development-churn", {"primary": 0.8, "challenger": 0.2})
    assert endpoint.instance_counts == {"primary": 1, "challenger": 1}


def test_an_endpoint_logs_to_the_group_that_was_made_for_it() -> None:
    declared = platform()
    logs = declared["ml_data_infrastructure.log_group.inference_churn"]
    endpoint = declared["ml_model_serving.endpoint.churn"]
    assert logs.address in endpoint.after
    assert logs.resource.name == f"/aws/sagemaker/Endpoints/{endpoint.resource.name}"
    role = declared["ml_model_serving.role.serving"].resource
    assert isinstance(role, Role)
    assert allowed(role, "logs:PutLogEvents") == [
        f"arn:aws:logs:us-east-1:123456789012:log-group:{logs.resource.name}{end}" for end in ("", ":*")
    ]


@pytest.mark.parametrize(
    ("release", "renamed"),
    [
        (changed(weight=0.9), set()),
        (changed(instance_count=3), set()),
        (changed(instance_type="ml.c5.large"), {"endpoint_config.churn"}),
        (changed(model_package="arn:aws:sagemaker:us-east-1:123456789012:model-package/churn/9"),
         {"model.churn_challenger", "endpoint_config.churn"}),
    ],
)  # fmt: skip
def test_names_change_exactly_with_what_cannot_change_in_place(release: Release, renamed: set[str]) -> None:
    before, after = serving(), serving(platform(releases={"churn": release}))
    assert {address for address in before if before[address].name != after[address].name} == renamed


def test_models_run_in_the_private_subnets_when_wanted() -> None:
    before, after = serving(), serving(platform(serving={"in_vpc": True}))
    model = after["model.churn_primary"]
    assert model.vpc_config == {
        "subnets": [Ref(f"ml_data_infrastructure.subnet.private_{number}", "id") for number in (1, 2)],
        "security_groups": [Ref("ml_data_infrastructure.security_group.workloads", "id")],
    }
    assert model.name != before["model.churn_primary"].name
    assert "network" in after["role.serving"].policies
    assert "network" not in before["role.serving"].policies


def test_what_endpoints_capture_they_may_write_and_nothing_else() -> None:
    assert serving()["endpoint_config.churn"].data_capture is None
    assert allowed(serving()["role.serving"], "s3:PutObject") == []
    found = serving(platform(monitoring={"enabled": True, "capture_percentage": 20}))
    capture = found["endpoint_config.churn"].data_capture
    place = "{}/monitoring/churn/capture"
    assert capture["uri"] == Ref("ml_data_infrastructure.bucket.processed", "uri", place)
    assert capture["percentage"] == 20
    assert allowed(found["role.serving"], "s3:PutObject") == [
        place.format("(ml_data_infrastructure.bucket.processed.arn)") + "/*"
    ]
    assert found["endpoint_config.churn"].name != serving()["endpoint_config.churn"].name


def test_capture_without_endpoints_writes_nowhere() -> None:
    found = serving(platform(releases={}, endpoints={}, monitoring={"enabled": True}))
    assert allowed(found["role.serving"], "s3:PutObject") == []
    assert allowed(found["role.serving"], "logs:PutLogEvents") == []


def test_models_are_read_from_the_models_bucket_only() -> None:
    assert allowed(serving()["role.serving"], "s3:GetObject") == ["(ml_data_infrastructure.bucket.models.arn)/*"]


@pytest.mark.parametrize("shorter", [0, 1, 20])
def test_names_keep_to_the_limits_at_the_boundary(shorter: int) -> None:
    """The longest names that the settings and SageMaker allow; two variants that differ at the very end."""
    place = Place("n" * 16, PLACE.account, "us-east-1", "aws", PLACE.zones)
    name = "e" * (NAME_LIMIT - len(f"mlplat-{place.namespace}-") - DIGEST - shorter)
    variant = "v" * 63
    release = Release({variant: RELEASE.variants["primary"], variant[:-1]: RELEASE.variants["primary"]})
    declared = platform(
        place=place, releases={name: release}, workloads={"w": WORKLOAD}, endpoints={name: {"workload": "w"}}
    )
    names = [each.name for address, each in serving(declared).items() if not address.startswith("role")]
    assert all(len(each) <= 63 for each in names)
    assert len(set(names)) == len(names)


def test_a_release_survives_json() -> None:
    assert Release.from_json(RELEASE.to_json()) == RELEASE
    assert RELEASE.weights == {"primary": 0.8, "challenger": 0.2}
