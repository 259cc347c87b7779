"""The network of ml_data_infrastructure: a VPC in several zones whose private subnets reach AWS without the internet.

Each zone has a public and a private subnet. NAT gateways stand in the public ones; jobs and endpoints in the private
ones, which reach S3 through a gateway endpoint and other services through interface endpoints or NAT.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlplat.resources import (
    DefaultSecurityGroup,
    ElasticIp,
    FlowLog,
    InternetGateway,
    LogGroup,
    NatGateway,
    Role,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
    VpcEndpoint,
)
from mlplat.resources.base import Declared, Ref
from mlplat.templates.permissions import DATA, KEY, allow, document
from mlplat.templates.place import Place

if TYPE_CHECKING:
    from mlplat.settings import Settings

ANYWHERE = "0.0.0.0/0"
SUBNET_BITS = 4
"""Sixteen blocks, half of them public: more zones can be added later without moving a subnet."""


def network(settings: Settings, place: Place) -> list[Declared]:
    """The VPC and everything in it."""
    return list(_Network(settings, place).declared())


class _Network:
    """What the functions below have in common: whose network it is, and the addresses in it."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self.settings, self.place = settings, place
        self.zones = place.zones[: settings.network.zones]
        self.numbers = range(1, len(self.zones) + 1)
        self.vpc = self.ref("vpc.main")
        self.private = [self.ref(f"subnet.private_{number}") for number in self.numbers]

    def at(self, address: str) -> str:
        return f"{DATA}.{address}"

    def ref(self, address: str, output: str = "id") -> Ref:
        return Ref(self.at(address), output)

    def declared(self) -> Iterator[Declared]:
        vpc = Vpc(name=self.place.name("main"), cidr=self.settings.network.cidr)
        yield Declared(self.at("vpc.main"), vpc)
        emptied = DefaultSecurityGroup(name=self.place.name("default"), vpc=self.vpc)
        yield Declared(self.at("default_security_group.main"), emptied)
        yield from _subnets(self)
        yield from _internet(self)
        yield from _nat(self)
        yield from _private_routes(self)
        yield from _security_groups(self)
        yield from _endpoints(self)
        if self.settings.network.flow_logs:
            yield from _flow_logs(self)


def _subnets(net: _Network) -> Iterator[Declared]:
    block = ipaddress.IPv4Network(net.settings.network.cidr)
    needed = (2 * len(net.zones) - 1).bit_length()
    bits = max(needed, min(SUBNET_BITS, 28 - block.prefixlen))
    blocks = [str(each) for each in block.subnets(prefixlen_diff=bits)]
    for side, first in (("public", 0), ("private", len(blocks) // 2)):
        for number, zone in zip(net.numbers, net.zones, strict=True):
            subnet = Subnet(
                name=net.place.name(side, str(number)), vpc=net.vpc, cidr=blocks[first + number - 1], zone=zone
            )
            yield Declared(net.at(f"subnet.{side}_{number}"), subnet)


def _internet(net: _Network) -> Iterator[Declared]:
    gateway = InternetGateway(name=net.place.name("main"), vpc=net.vpc)
    yield Declared(net.at("internet_gateway.main"), gateway)
    table = RouteTable(
        name=net.place.name("public"),
        vpc=net.vpc,
        routes=[{"destination": ANYWHERE, "gateway": net.ref("internet_gateway.main")}],
        subnets=[net.ref(f"subnet.public_{number}") for number in net.numbers],
    )
    yield Declared(net.at("route_table.public"), table)


def _nat_numbers(net: _Network) -> list[int]:
    """The zones that have a NAT gateway."""
    return {"none": [], "single": [1], "per_zone": list(net.numbers)}[net.settings.network.nat]


def _nat(net: _Network) -> Iterator[Declared]:
    """Addresses and gateways wait for the internet gateway, and leave before it.

    A NAT gateway in a VPC without one fails (Gateway.NotAttached), and one whose VPC has mapped public addresses
    can't be detached (DependencyViolation).
    """
    after = [net.at("internet_gateway.main")]
    for number in _nat_numbers(net):
        name = net.place.name("nat", str(number))
        yield Declared(net.at(f"elastic_ip.nat_{number}"), ElasticIp(name=name), after=after)
        gateway = NatGateway(
            name=name, subnet=net.ref(f"subnet.public_{number}"), allocation=net.ref(f"elastic_ip.nat_{number}")
        )
        yield Declared(net.at(f"nat_gateway.nat_{number}"), gateway, after=after)


def _private_routes(net: _Network) -> Iterator[Declared]:
    with_nat = _nat_numbers(net)
    for number in net.numbers:
        routes: list[dict[str, str | Ref]] = []
        if with_nat:
            nearest = number if number in with_nat else with_nat[0]
            routes = [{"destination": ANYWHERE, "nat_gateway": net.ref(f"nat_gateway.nat_{nearest}")}]
        table = RouteTable(
            name=net.place.name("private", str(number)),
            vpc=net.vpc,
            routes=routes,
            subnets=[net.ref(f"subnet.private_{number}")],
        )
        yield Declared(net.at(f"route_table.private_{number}"), table)


def _security_groups(net: _Network) -> Iterator[Declared]:
    """Workloads reach each other (distributed jobs) and https; endpoints take https from workloads and open nothing.

    The way from workloads to the interface endpoints is told by the VPC's block, not by their group: two groups whose
    rules name each other could be neither made nor deleted in one go.
    """
    workloads = SecurityGroup(
        name=net.place.name("workloads", limit=255),
        description="SageMaker jobs and endpoints",
        vpc=net.vpc,
        ingress=[{"protocol": "-1", "self": True, "description": "Distributed jobs"}],
        egress=[{"protocol": "-1", "self": True, "description": "Distributed jobs"}, *_ways_out(net)],
    )
    yield Declared(net.at("security_group.workloads"), workloads)
    endpoints = SecurityGroup(
        name=net.place.name("endpoints", limit=255),
        description="Interface endpoints of AWS services",
        vpc=net.vpc,
        ingress=[_https(group=net.ref("security_group.workloads"), description="From workloads")],
    )
    yield Declared(net.at("security_group.endpoints"), endpoints)


def _ways_out(net: _Network) -> Iterator[dict[str, Any]]:
    yield _https(cidr=net.settings.network.cidr, description="Interface endpoints")
    yield _https(prefix_list=f"com.amazonaws.{net.place.region}.s3", description="S3")
    if net.settings.network.nat != "none":
        yield _https(cidr=ANYWHERE, description="The internet, through NAT")


def _https(**target: Any) -> dict[str, Any]:
    return {"protocol": "tcp", "from_port": 443, "to_port": 443, **target}


def _endpoints(net: _Network) -> Iterator[Declared]:
    """S3's gateway endpoint is free. Its policy stays open: one limited to our buckets breaks pulls of ECR layers."""
    gateway = VpcEndpoint(
        name=net.place.name("s3"),
        vpc=net.vpc,
        service="s3",
        type="gateway",
        route_tables=[net.ref(f"route_table.private_{number}") for number in net.numbers],
    )
    yield Declared(net.at("vpc_endpoint.s3"), gateway)
    for service in net.settings.network.interface_endpoints:
        plain = service.replace(".", "_").replace("-", "_")
        endpoint = VpcEndpoint(
            name=net.place.name(service),
            vpc=net.vpc,
            service=service,
            type="interface",
            subnets=net.private,
            security_groups=[net.ref("security_group.endpoints")],
            private_dns=True,
        )
        yield Declared(net.at(f"vpc_endpoint.{plain}"), endpoint)


def _flow_logs(net: _Network) -> Iterator[Declared]:
    group = LogGroup(
        name=f"/mlplat/{net.place.namespace}/vpc-flow-logs",
        retention_days=net.settings.logs.retention_days,
        kms_key=KEY,
    )
    yield Declared(net.at("log_group.flow_logs"), group)
    yield Declared(net.at("role.flow_logs"), _flow_logs_role(net))
    flow_log = FlowLog(
        name=net.place.name("main"),
        vpc=net.vpc,
        log_group=net.ref("log_group.flow_logs", "name"),
        role=net.ref("role.flow_logs", "arn"),
    )
    yield Declared(net.at("flow_log.main"), flow_log)


def _flow_logs_role(net: _Network) -> Role:
    """VPC user guide, "IAM role for publishing flow logs to CloudWatch Logs", for this account's flow logs only."""
    arn = Ref(net.at("log_group.flow_logs"), "arn")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": net.place.account},
            "ArnLike": {"aws:SourceArn": net.place.arn("ec2", "vpc-flow-log/*")},
        },
    }
    write = allow(
        "WriteFlowLogs",
        ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        [arn, Ref(arn.address, arn.output, "{}:*")],
    )
    look = allow("FindLogGroups", ["logs:DescribeLogGroups"], [net.place.arn("logs", "log-group:*")])
    return Role(
        name=net.place.name("flow-logs", net.place.region, limit=64),
        description=f"VPC flow logs of the platform {net.place.namespace}",
        trust=document(trust),
        policies={"write-flow-logs": document(write, look)},
    )
