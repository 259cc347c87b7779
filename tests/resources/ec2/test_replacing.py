"""Replaces and destroys in EC2: what holds a subnet lets go first, and what lingers in it is waited for."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.resources.contract import World

from mlplat.aws import Session
from mlplat.errors import MlplatError, WaitTimeout
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import Action, Plan, plan, plan_destroy
from mlplat.reconciler.state import Store
from mlplat.resources import Model, SecurityGroup, Subnet, Vpc, VpcEndpoint
from mlplat.resources.base import Declared, Ref, Resource

HTTPS = {"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr": "10.9.0.0/16"}


class Network:
    """A VPC with two private subnets and an interface endpoint in both, under management."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.session, self.store = world, world.session, Store(folder, "test")
        self.template = f"t{world.suffix}"
        self.more: list[Declared] = []

    def at(self, place: str) -> str:
        return f"{self.template}.{place}"

    def ref(self, place: str) -> Ref:
        return Ref(self.at(place), "id")

    def declared(self, zones: list[str]) -> list[Declared]:
        vpc, names = self.ref("vpc.main"), [f"subnet.private_{number}" for number, _ in enumerate(zones)]
        found: dict[str, Resource] = {"vpc.main": Vpc(name="main", cidr="10.9.0.0/16")}
        for number, zone in enumerate(zones):
            cidr = f"10.9.{number}.0/24"
            found[names[number]] = Subnet(name=f"private-{number}", vpc=vpc, cidr=cidr, zone=zone)
        group = SecurityGroup(name=f"ends-{self.world.suffix}", vpc=vpc, description="endpoints", ingress=[HTTPS])
        found["security_group.ends"] = group
        found["vpc_endpoint.logs"] = VpcEndpoint(
            name="logs",
            vpc=vpc,
            service="logs",
            subnets=[self.ref(name) for name in names],
            security_groups=[self.ref("security_group.ends")],
            private_dns=True,
        )
        return [Declared(self.at(place), each) for place, each in found.items()] + self.more

    def plan(self, zones: list[str]) -> Plan:
        return plan(self.session, self.store.load(), self.declared(zones))

    def apply(self, zones: list[str]) -> Plan:
        made = self.plan(zones)
        apply(made, self.session, self.store)
        assert self.plan(zones).is_empty
        return made

    def destroy(self) -> None:
        state = self.store.load()
        made = plan_destroy(self.session, state, scope=None, reverse=True)
        apply(made, self.session, self.store)

    def id(self, place: str) -> str:
        return str(self.store.load().entries[self.at(place)].id)


@pytest.fixture
def network(world: World, tmp_path: Path) -> Network:
    return Network(world, tmp_path)


@pytest.fixture
def ec2(world: World) -> Any:
    return world.client("ec2")


def test_a_subnet_that_moves_to_another_zone_is_taken_out_of_its_endpoint_first(network: Network, ec2: Any) -> None:
    one, two = network.world.zones
    three = ec2.describe_availability_zones()["AvailabilityZones"][2]["ZoneName"]
    network.apply([one, two])
    kept, endpoint = network.id("subnet.private_1"), network.id("vpc_endpoint.logs")
    made = network.apply([three, two])
    (moved,) = [step for step in made.steps if step.action is Action.REPLACE]
    assert (moved.order, moved.taken_out_of) == ("delete first", (network.at("vpc_endpoint.logs"),))
    (seen,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
    assert sorted(seen["SubnetIds"]) == sorted([kept, network.id("subnet.private_0")])
    network.apply([one, three])  # both at once: the endpoint stands without a subnet for a moment
    assert network.id("vpc_endpoint.logs") == endpoint
    network.destroy()


def test_a_subnet_that_an_endpoint_of_sagemaker_is_in_is_not_touched(network: Network, ec2: Any) -> None:
    world, name = network.world, f"m-{network.world.suffix}"
    image = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:1"
    vpc_config = {"subnets": [network.ref("subnet.private_0")], "security_groups": [network.ref("security_group.ends")]}
    model = Model(name=name, role=world.role, image=image, model_data=world.model_data, vpc_config=vpc_config)
    network.more = [Declared(network.at("model.m"), model)]
    one, two = world.zones
    network.apply([one, two])
    with pytest.raises(MlplatError) as caught:
        network.plan([two, one])
    assert f"AWS keeps it as long as {network.at('model.m')} uses it; take that down first" in caught.value.message
    assert caught.value.hint == f"mlplat destroy --target {network.at('model.m')} --reverse --namespace test"
    network.destroy()


@pytest.fixture
def lingering(network: Network, ec2: Any) -> str:
    """An interface that a job left in the network's subnet and group."""
    network.apply(network.world.zones)
    subnet, groups = network.id("subnet.private_0"), [network.id("security_group.ends")]
    made = ec2.create_network_interface(SubnetId=subnet, Groups=groups, Description="left by a job")
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def test_an_interface_that_lingers_is_waited_for(
    network: Network, ec2: Any, lingering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    waiting = {f"{kind}: in use by {lingering} (left by a job)" for kind in ("subnet", "security_group")}
    left, lock = [lingering], threading.Lock()

    def pause(_session: Session, seconds: float) -> None:
        """It goes when everything that it holds has said that it waits."""
        time.sleep(min(seconds, 0.02))
        with lock:
            if waiting <= set(told) and left:
                ec2.delete_network_interface(NetworkInterfaceId=left.pop())

    class Watch(Quiet):
        def reported(self, step: Any, status: str) -> None:
            told.append(f"{step.kind}: {status}")

    monkeypatch.setattr(Session, "pause", pause)
    state = network.store.load()
    made = plan_destroy(network.session, state, scope=None, reverse=True)
    apply(made, network.session, network.store, watch=Watch())
    assert waiting <= set(told)
    assert network.store.load().entries == {}


def test_a_wait_for_it_that_is_given_up_is_joined_by_the_next_run(
    network: Network, ec2: Any, lingering: str, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Session.pause

    def pause(self: Session, seconds: float) -> None:
        """The time is over while the subnet waits."""
        if self.address == network.at("subnet.private_0"):
            self._shared.late.set()
            self.cancelled.set()
        whole(self, seconds)

    monkeypatch.setattr(Session, "pause", pause)
    with pytest.raises(WaitTimeout, match="its time is over") as caught:
        network.destroy()
    assert network.at("subnet.private_0") in caught.value.message
    assert network.at("subnet.private_0") in network.store.load().entries
    ec2.delete_network_interface(NetworkInterfaceId=lingering)
    monkeypatch.undo()
    network.session = cloud.session()  # a new process
    network.destroy()
    assert network.store.load().entries == {}


class Quiet:
    """Watches nothing."""

    def started(self, step: Any) -> None: ...

    def reported(self, step: Any, status: str) -> None: ...

    def done(self, step: Any, seconds: float) -> None: ...

    def failed(self, step: Any, error: MlplatError) -> None: ...

    def skipped(self, step: Any, because: str) -> None: ...
