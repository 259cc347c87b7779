"""What EC2 refuses of VPCs, subnets, gateways, route tables and their tags, and moto accepts.

Texts without another source are those that AWS's providers and users quote.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from mlplat.localcloud.ec2.dependencies import violation
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before

SMALLEST = 28
"""The prefix of the smallest subnet."""

TAGGED = (
    "CreateTags", "CreateVpc", "CreateSubnet", "CreateInternetGateway", "CreateRouteTable", "CreateSecurityGroup",
    "CreateNatGateway", "CreateVpcEndpoint", "CreateFlowLogs", "AllocateAddress", "AuthorizeSecurityGroupIngress",
    "AuthorizeSecurityGroupEgress",
)  # fmt: skip
"""Operations of the platform that take tags."""

TAGGED_KINDS = {
    "CreateVpc": "vpc", "CreateInternetGateway": "internet-gateway",
    "CreateRouteTable": "route-table", "CreateSecurityGroup": "security-group", "CreateNatGateway": "natgateway",
    "CreateVpcEndpoint": "vpc-endpoint", "CreateFlowLogs": "vpc-flow-log", "AllocateAddress": "elastic-ip",
}  # fmt: skip
"""The one kind of resource that these operations tag; for subnets moto looks."""

LONGEST_KEY, LONGEST_VALUE = 128, 256


@before("ec2", "CreateSubnet")
def a_subnet_has_16_addresses_at_least(asked: Asked) -> None:
    """API reference of CreateSubnet: a block between /28 and /16."""
    block = asked.request.get("CidrBlock")
    try:
        small = block is not None and ipaddress.IPv4Network(block, strict=False).prefixlen > SMALLEST
    except ValueError:
        return  # moto refuses it
    if small:
        raise AwsError("InvalidSubnet.Range", f"The CIDR '{block}' is invalid.")


@before("ec2", "ModifyVpcAttribute")
def one_attribute_at_a_time(asked: Asked) -> None:
    """API reference: DNS resolution and hostnames need separate requests. moto changes one and drops the other."""
    if len(asked.request.keys() - {"VpcId"}) > 1:
        raise AwsError("InvalidParameterCombination", "Fields for multiple attribute types specified")


@before("ec2", "AttachInternetGateway")
def a_network_has_one_internet_gateway(asked: Asked) -> None:
    """User guide, "Amazon VPC quotas": one for a VPC at a time."""
    vpc = asked.request["VpcId"]
    others = asked.backend().internet_gateways.values()
    if any(each.vpc and each.vpc.id == vpc and each.id != asked.request["InternetGatewayId"] for each in others):
        raise AwsError("InvalidParameterValue", f"Network {vpc} already has an internet gateway attached")


@before("ec2", "CreateRoute", "ReplaceRoute")
def a_gateway_is_of_the_same_network(asked: Asked) -> None:
    """User guide, "Enable internet access": a route leads to the gateway that is attached to the table's VPC."""
    gateway = asked.backend().internet_gateways.get(asked.request.get("GatewayId"))
    table = asked.backend().route_tables.get(asked.request["RouteTableId"])
    if gateway is not None and table is not None and (gateway.vpc is None or gateway.vpc.id != table.vpc_id):
        text = f"route table {table.id} and network gateway {gateway.id} belong to different networks"
        raise AwsError("InvalidParameterValue", text)


@before("ec2", "DeleteRoute")
def the_local_route_stays(asked: Asked) -> None:
    """User guide, "Route tables": the local route can't be deleted."""
    block, table = asked.request.get("DestinationCidrBlock"), asked.request["RouteTableId"]
    found = asked.backend().route_tables.get(table)
    if found and any(each.local and each.destination_cidr_block == block for each in found._routes.values()):
        raise AwsError("InvalidParameterValue", f"cannot remove local route {block} in route table {table}")


@before("ec2", "AssociateRouteTable")
def a_subnet_has_one_route_table(asked: Asked) -> None:
    """User guide, "Route tables": one at a time. moto answers with the association that is there.

    With the same table again AWS does that, too.
    """
    table, subnet = asked.request["RouteTableId"], asked.request.get("SubnetId")
    for each in asked.backend().route_tables.values() if subnet else ():
        if each.id != table and subnet in each._associations.values():
            text = f"the specified association for route table {table} conflicts with an existing association"
            raise AwsError("Resource.AlreadyAssociated", text)


@before("ec2", "DeleteRouteTable")
def the_main_route_table_stays(asked: Asked) -> None:
    """API reference of DeleteRouteTable; it goes with its VPC."""
    table = asked.backend().route_tables.get(asked.request["RouteTableId"])
    if table is not None and table.main_association_id:
        raise violation(f"The routeTable '{table.id}' has dependencies and cannot be deleted.")


@before("ec2", "CreateVpcEndpoint", "ModifyVpcEndpoint")
def private_names_need_both_kinds_of_dns(asked: Asked) -> None:
    """API reference of CreateVpcEndpoint, PrivateDnsEnabled."""
    if not asked.request.get("PrivateDnsEnabled"):
        return
    vpc = asked.backend().vpcs.get(_network(asked))
    if vpc is not None and not (_is_on(vpc.enable_dns_support) and _is_on(vpc.enable_dns_hostnames)):
        raise AwsError(
            "InvalidParameter",
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true "
            f"for {vpc.id}",
        )


@before("ec2", *TAGGED)
def tags_are_in_bounds(asked: Asked) -> None:
    """User guide, "Tag your Amazon EC2 resources", "Tag restrictions"."""
    for each in _tags(asked):
        key, value = each.get("Key", ""), each.get("Value", "")
        if key.lower().startswith("aws:"):
            raise AwsError("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
        if len(key) > LONGEST_KEY:
            raise AwsError("InvalidParameterValue", f"Tag key exceeds the maximum length of {LONGEST_KEY} characters")
        if len(value) > LONGEST_VALUE:
            text = f"Tag value exceeds the maximum length of {LONGEST_VALUE} characters"
            raise AwsError("InvalidParameterValue", text)


@before("ec2", *TAGGED_KINDS)
def what_is_made_is_what_is_tagged(asked: Asked) -> None:
    """API reference, TagSpecification: the kind that is being made."""
    kind = TAGGED_KINDS[asked.route.operation_name]
    for each in asked.request.get("TagSpecifications", ()):
        if (named := each.get("ResourceType")) not in (None, kind):
            text = f"'{named}' is not a valid taggable resource type for this operation."
            raise AwsError("InvalidParameterValue", text)


def _tags(asked: Asked) -> Iterator[dict[str, str]]:
    yield from asked.request.get("Tags", ())
    for each in asked.request.get("TagSpecifications", ()):
        yield from each.get("Tags", ())


def _network(asked: Asked) -> str | None:
    """The VPC of an endpoint that is made, or changed."""
    if "VpcId" in asked.request:
        return str(asked.request["VpcId"])
    endpoint = asked.backend().vpc_end_points.get(asked.request.get("VpcEndpointId"))
    return None if endpoint is None else str(endpoint.vpc_id)


def _is_on(value: Any) -> bool:
    """moto keeps what it is told, which may be text."""
    return str(value).lower() == "true"
