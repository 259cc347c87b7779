from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any

import pytest

from mlplat.errors import SettingsError
from mlplat.resources.base import Declared, Ref
from mlplat.settings import Settings
from mlplat.templates import Place, needed_by
from mlplat.templates import _refuse_twins as refuse_twins
from mlplat.templates.data import ml_data_infrastructure

ZONES = tuple(f"us-east-1{letter}" for letter in "abcdef")
PLACE = Place("development", "123456789012", "us-east-1", "aws", ZONES)

OUTPUTS = {
    "kms_key": {"arn", "id", "alias"},
    "bucket": {"name", "arn", "uri"},
    "vpc": {"id", "cidr"},
    "subnet": {"id", "arn", "zone"},
    "elastic_ip": {"id", "public_ip"},
    "role": {"arn", "name"},
    "log_group": {"arn", "name"},
    "glue_database": {"name", "arn"},
}
LIMITS = {"bucket": 63, "role": 64, "log_group": 512, "glue_database": 255, "kms_key": 249, "security_group": 255}


def settings(**tables: Any) -> Settings:
    return Settings(**tables)


def template(place: Place = PLACE, **tables: Any) -> dict[str, Declared]:
    declared = ml_data_infrastructure(settings(namespace=place.namespace, **tables), place, {})
    assert len({each.address for each in declared}) == len(declared)
    return {each.address.removeprefix("ml_data_infrastructure."): each for each in declared}


def production() -> dict[str, Declared]:
    services = ["sagemaker.api", "sagemaker.featurestore-runtime", "ecr.dkr"]
    return template(network={"zones": 3, "nat": "per_zone", "interface_endpoints": services})


def kinds(declared: Mapping[str, Declared], kind: str) -> list[str]:
    return sorted(address for address in declared if address.split(".")[0] == kind)


@pytest.mark.parametrize("declared", [template(), production()], ids=["default", "production"])
def test_every_ref_finds_its_target_and_nothing_goes_in_circles(declared: dict[str, Declared]) -> None:
    for each in declared.values():
        for ref in each.resource.refs():
            kind = ref.address.split(".")[1]
            assert ref.address.removeprefix("ml_data_infrastructure.") in declared
            assert ref.output in OUTPUTS.get(kind, {"id"})
        for address in each.after:
            assert address.removeprefix("ml_data_infrastructure.") in declared
    list(TopologicalSorter({each.address: each.needs() for each in declared.values()}).static_order())


def test_addresses_are_the_ones_that_other_templates_name() -> None:
    declared = template(endpoints={"churn": {"workload": "churn"}}, workloads={"churn": workload()})
    assert set(declared) >= {
        "kms_key.platform",
        *(f"bucket.{purpose}" for purpose in ("raw", "processed", "models", "experiments")),
        *(f"subnet.{side}_{number}" for side in ("public", "private") for number in (1, 2)),
        "security_group.workloads",
        "security_group.endpoints",
        "glue_database.catalog",
        *(f"log_group.{purpose}" for purpose in ("training", "processing", "inference_churn", "flow_logs")),
    }
    assert declared["log_group.inference_churn"].resource.name == "/aws/sagemaker/Endpoints/mlplat-development-churn"
    assert declared["log_group.training"].resource.name == "/aws/sagemaker/TrainingJobs"


def workload() -> dict[str, Any]:
    return {
        "source": "s",
        "entry_point": "train.py",
        "image": "scikit-learn:1.2-1",
        "model_package_group": "churn",
        "objective_metric": "auc",
        "objective_type": "Maximize",
        "channels": {"train": "s3://b/t"},
        "metrics": {"auc": "auc=([0-9.]+)"},
    }


def test_it_is_a_pure_function() -> None:
    assert template() == template()


@pytest.mark.parametrize(
    ("nat", "gateways", "of_second_zone"),
    [
        ("none", [], None),
        ("single", ["nat_gateway.nat_1"], "nat_1"),
        ("per_zone", ["nat_gateway.nat_1", "nat_gateway.nat_2"], "nat_2"),
    ],
)
def test_nat_is_none_one_or_one_a_zone(nat: str, gateways: list[str], of_second_zone: str | None) -> None:
    declared = template(network={"nat": nat})
    assert kinds(declared, "nat_gateway") == gateways
    assert len(kinds(declared, "elastic_ip")) == len(gateways)
    routes = fields(declared, "route_table.private_2")["routes"]
    targets = [route["nat_gateway"].address.rsplit(".", 1)[1] for route in routes]
    assert targets == ([of_second_zone] if of_second_zone else [])
    ways_out = [rule.get("cidr") for rule in fields(declared, "security_group.workloads")["egress"]]
    assert ("0.0.0.0/0" in ways_out) == bool(gateways)
    for gateway in gateways:
        assert declared[gateway].after == ["ml_data_infrastructure.internet_gateway.main"]


def fields(declared: Mapping[str, Declared], address: str) -> dict[str, Any]:
    return declared[address].resource.to_json()


def test_production_has_an_endpoint_a_service_in_every_private_subnet() -> None:
    declared = production()
    assert kinds(declared, "vpc_endpoint") == [
        "vpc_endpoint.ecr_dkr",
        "vpc_endpoint.s3",
        "vpc_endpoint.sagemaker_api",
        "vpc_endpoint.sagemaker_featurestore_runtime",
    ]
    endpoint = fields(declared, "vpc_endpoint.sagemaker_api")
    assert [ref.address.rsplit(".", 1)[1] for ref in endpoint["subnets"]] == ["private_1", "private_2", "private_3"]
    assert endpoint["private_dns"] is True


@pytest.mark.parametrize(
    ("cidr", "zones"), [("10.1.0.0/16", 2), ("10.1.0.0/16", 6), ("10.0.0.0/24", 6), ("10.0.0.0/25", 3)]
)
def test_subnets_fill_the_block_without_overlap(cidr: str, zones: int) -> None:
    declared = template(network={"cidr": cidr, "zones": zones})
    blocks = [ipaddress.IPv4Network(fields(declared, address)["cidr"]) for address in kinds(declared, "subnet")]
    assert len(blocks) == 2 * zones
    assert all(block.subnet_of(ipaddress.IPv4Network(cidr)) and block.prefixlen <= 28 for block in blocks)
    assert not any(one.overlaps(other) for one in blocks for other in blocks if one != other)


def test_another_zone_moves_no_subnet() -> None:
    two, three = template(network={"zones": 2}), template(network={"zones": 3})
    assert all(fields(three, address) == fields(two, address) for address in kinds(two, "subnet"))


def test_lifecycle_numbers_are_the_settings() -> None:
    storage = {"raw_infrequent_days": 31, "raw_archive_days": 91, "raw_expire_days": 400, "noncurrent_days": 9}
    storage |= {"failed_experiments_days": 5, "temp_days": 2, "abort_uploads_days": 3}
    declared = template(storage=storage)
    raw = {rule["ID"]: rule for rule in fields(declared, "bucket.raw")["lifecycle"]}
    assert [(step["Days"], step["StorageClass"]) for step in raw["ageing"]["Transitions"]] == [
        (31, "STANDARD_IA"),
        (91, "GLACIER"),
    ]
    assert raw["ageing"]["Expiration"] == {"Days": 400}
    assert raw["housekeeping"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 9}
    assert raw["housekeeping"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 3}
    experiments = {rule["Filter"]["Prefix"]: rule for rule in fields(declared, "bucket.experiments")["lifecycle"]}
    assert experiments["failed-experiments/"]["Expiration"] == {"Days": 5}
    assert experiments["temp/"]["Expiration"] == {"Days": 2}
    assert "GLACIER" not in json.dumps(fields(declared, "bucket.models")["lifecycle"])


def test_plain_http_is_denied_unless_the_settings_say_otherwise() -> None:
    def sids(force_tls: bool) -> list[str]:
        declared = template(storage={"force_tls": force_tls})
        return [each["Sid"] for each in fields(declared, "bucket.raw")["policy"]["Statement"]]

    assert sids(True) == ["DenyPlainHttp", "DenyOtherEncryption"]
    assert sids(False) == ["DenyOtherEncryption"]


def test_the_key_lets_services_in_for_this_account_only() -> None:
    policy = fields(template(), "kms_key.platform")["policy"]
    services = [each for each in policy["Statement"] if "Service" in each["Principal"]]
    assert services
    for each in services:
        assert PLACE.account in json.dumps(each["Condition"])
    assert "kms:ViaService" not in json.dumps(policy)
    assert "kms:CallerAccount" not in json.dumps(policy)


def test_nobody_is_allowed_everything_everywhere() -> None:
    for each in template().values():
        for document in getattr(each.resource, "policies", {}).values():
            for statement in document["Statement"]:
                assert statement["Resource"] != "*"
                assert "*" not in str(statement["Action"])


def test_flow_logs_can_be_left_out() -> None:
    declared = template(network={"flow_logs": False})
    assert not kinds(declared, "flow_log")
    assert not kinds(declared, "role")
    assert "log_group.flow_logs" not in declared


@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-2"])
def test_names_keep_to_the_limits_of_aws_at_the_boundary(region: str) -> None:
    longest = "n" * (63 - len(f"mlplat--experiments-{PLACE.account}-{region}"))
    for namespace in ("n", longest):
        place = Place(namespace, PLACE.account, region, "aws", (f"{region}a", f"{region}b"))
        declared = template(place, network={"nat": "per_zone"}, region=region)
        for each in declared.values():
            assert len(each.resource.name) <= LIMITS.get(each.resource.kind, 255)
        bucket = declared["bucket.experiments"].resource.name
        assert bucket == f"mlplat-{namespace}-experiments-{PLACE.account}-{region}"
    assert len(bucket) == 63


@pytest.mark.parametrize("limit", [20, 63, 64])
def test_a_name_is_shortened_at_the_limit_and_stays_different(limit: int) -> None:
    room = limit - len("mlplat-development-")
    fits = PLACE.name("x" * room, limit=limit) if room > 0 else ""
    assert len(fits) in (limit, 0)
    long, other = (PLACE.name("y" * limit + end, limit=limit) for end in "ab")
    assert len(long) <= limit
    assert long != other
    assert fits == f"mlplat-development-{'x' * room}" or room <= 0


def test_names_have_no_character_that_sagemaker_refuses() -> None:
    assert PLACE.name("my_endpoint.v2") == "mlplat-development-my-endpoint-v2"


def test_what_a_template_needs_is_found_through_others() -> None:
    class Link:
        kind, name = "link", "x"

        def __init__(self, *refs: Ref) -> None:
            self._refs = refs

        def refs(self) -> tuple[Ref, ...]:
            return self._refs

    declared: list[Any] = [
        Declared("ml_data_infrastructure.bucket.raw", Link()),  # type: ignore[arg-type]
        Declared("ml_feature_store.role.a", Link(Ref("ml_data_infrastructure.bucket.raw", "arn"))),  # type: ignore[arg-type]
        Declared("ml_model_serving.endpoint.b", Link(Ref("ml_feature_store.role.a", "arn"))),  # type: ignore[arg-type]
    ]
    assert needed_by(declared, ["ml_model_serving"]) == ["ml_data_infrastructure", "ml_feature_store"]
    assert needed_by(declared, ["ml_data_infrastructure"]) == []
    with pytest.raises(SettingsError, match="would both be link x"):
        refuse_twins(declared)
