"""The whole data infrastructure, made and taken down by its kinds alone, in the order of its refs."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import pytest

from mlplat.aws import Session
from mlplat.resources.base import Declared
from mlplat.settings import Settings
from mlplat.templates import Place
from mlplat.templates.data import ml_data_infrastructure

NETWORK = {
    "none": {"nat": "none"},
    "per zone": {"nat": "per_zone", "interface_endpoints": ["sagemaker.api", "sagemaker.runtime", "logs", "kms"]},
}


@pytest.mark.e2e
@pytest.mark.parametrize("network", NETWORK)
def test_it_stands_up_has_nothing_to_change_and_leaves_nothing(cloud: Any, network: str) -> None:
    namespace = f"data-{network.replace(' ', '-')}"
    session = cloud.session(namespace=namespace)
    place = Place(namespace, session.account, session.region, session.partition, ("us-east-1a", "us-east-1b"))
    declared = declared_in_order(Settings(namespace=namespace, network=NETWORK[network]), place)
    outputs: dict[str, Any] = {}
    ids: dict[str, str] = {}
    for each in declared:
        ids[each.address], outputs[each.address] = made(each, outputs, session)
    for each in declared:
        resource, aws = each.resource.resolved(outputs), session.at(each.address)
        assert list(resource.refs()) == []
        seen = resource.describe(aws, ids[each.address])
        assert seen is not None
        assert resource.compare(seen) == []
    for each in reversed(declared):
        resource, aws = each.resource.resolved(outputs), session.at(each.address)
        resource.delete(aws, ids[each.address])
        assert resource.describe(aws, ids[each.address]) is None, each.address


def declared_in_order(settings: Settings, place: Place) -> list[Declared]:
    by_address = {each.address: each for each in ml_data_infrastructure(settings, place, {})}
    order = TopologicalSorter({address: each.needs() for address, each in by_address.items()}).static_order()
    return [by_address[address] for address in order]


def made(each: Declared, outputs: dict[str, Any], session: Session) -> tuple[str, Any]:
    """Its id and outputs. A log group may be there already: SageMaker makes it when a job runs."""
    resource, aws = each.resource.resolved(outputs), session.at(each.address)
    there = resource.describe(aws)
    if there is not None:
        assert resource.adopts_untagged
        resource.update(aws, there, frozenset({"tags", *(change.field for change in resource.compare(there))}))
    id = there.id if there else resource.create(aws)
    seen = resource.describe(aws, id)
    assert seen is not None
    return id, seen.outputs
