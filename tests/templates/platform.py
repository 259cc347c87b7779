"""A whole platform as templates see it, and what policies in it allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlplat.resources import Role
from mlplat.resources.base import Declared
from mlplat.settings import Settings
from mlplat.templates import Place, declare
from mlplat.templates.release import Release, Variant

PLACE = Place("development", "123456789012", "us-east-1", "aws", ("us-east-1a", "us-east-1b"))

WORKLOAD = {
    "source": Path("/somewhere"),
    "image": "scikit-learn:1.2-1",
    "model_package_group": "churn",
    "channels": {"train": "s3://bucket/train.csv"},
}
GROUP = {
    "description": "Customers",
    "record_identifier": "customer_id",
    "event_time": "event_time",
    "features": {"customer_id": "String", "event_time": "String", "minutes": "Fractional"},
}
RELEASE = Release(
    {
        name: Variant(f"arn:aws:sagemaker:us-east-1:123456789012:model-package/mlplat-development-churn/{number}",
                      number, weight, "ml.m5.large", 1)
        for number, (name, weight) in enumerate((("primary", 0.8), ("challenger", 0.2)), 1)
    }
)  # fmt: skip


def platform(place: Place = PLACE, releases: Mapping[str, Release] | None = None, **tables: Any) -> dict[str, Declared]:
    """Everything that is declared, by address: a feature group, a workload and an endpoint with a release."""
    tables = {
        "feature_groups": {"customer": GROUP},
        "workloads": {"churn": WORKLOAD},
        "endpoints": {"churn": {"workload": "churn"}},
        **tables,
    }
    settings = Settings(namespace=place.namespace, region=place.region, **tables)
    found = declare(settings, place, {"churn": RELEASE} if releases is None else releases)
    return {each.address: each for each in found}


def of_template(declared: Mapping[str, Declared], template: str) -> dict[str, Declared]:
    """What one template declares, without its name in the address."""
    return {
        address.removeprefix(f"{template}."): each for address, each in declared.items() if each.template == template
    }


def everything(**tables: Any) -> dict[str, Declared]:
    """A platform with every switch on that gives a role more to do."""
    return platform(
        training={"in_vpc": True},
        serving={"in_vpc": True},
        monitoring={"enabled": True},
        access={"source_account_condition": True},
        **tables,
    )


def statements(role: Role) -> Iterator[Mapping[str, Any]]:
    """Every statement of every policy of a role."""
    for policy in role.policies.values():
        yield from policy["Statement"]


def allowed(role: Role, action: str) -> list[str]:
    """The resources that a role may do something to, Refs as `(address.output)` in the form they are used in."""
    return [
        resource if isinstance(resource, str) else resource.form.format(resource)
        for statement in statements(role)
        if action in statement["Action"]
        for resource in statement["Resource"]
    ]
