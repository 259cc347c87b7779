"""What EC2 refuses of networks and security groups, and moto lets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

API = "com.amazonaws.us-east-1.sagemaker.api"
WORLD = [{"CidrIp": "0.0.0.0/0"}]


def refusal(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


@pytest.fixture(scope="module")
def ec2(cloud: Any) -> Any:
    return cloud.client("ec2")


@pytest.fixture(scope="module")
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture(scope="module")
def subnet(ec2: Any, vpc: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"])


@pytest.fixture(scope="module")
def gateway(ec2: Any, vpc: str) -> str:
    id = str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=vpc)
    return id


@pytest.fixture(scope="module")
def table(ec2: Any, vpc: str) -> str:
    return str(ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])


@pytest.fixture(scope="module")
def group(ec2: Any, vpc: str) -> str:
    return str(ec2.create_security_group(GroupName="rules", Description="d", VpcId=vpc)["GroupId"])


def test_a_subnet_has_16_addresses_at_least(ec2: Any, vpc: str) -> None:
    said = refusal(ec2.create_subnet, VpcId=vpc, CidrBlock="10.8.9.0/29")
    assert said == "InvalidSubnet.Range: The CIDR '10.8.9.0/29' is invalid."
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.9.0/28")


def test_attributes_of_a_vpc_change_one_by_one(ec2: Any, vpc: str) -> None:
    on = {"Value": True}
    said = refusal(ec2.modify_vpc_attribute, VpcId=vpc, EnableDnsSupport=on, EnableDnsHostnames=on)
    assert said == "InvalidParameterCombination: Fields for multiple attribute types specified"


def test_a_network_has_one_internet_gateway(ec2: Any, vpc: str, gateway: str, table: str) -> None:
    other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    said = refusal(ec2.attach_internet_gateway, InternetGatewayId=other, VpcId=vpc)
    assert said == f"InvalidParameterValue: Network {vpc} already has an internet gateway attached"
    routed = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    text = f"route table {table} and network gateway {other} belong to different networks"
    assert refusal(ec2.create_route, **routed, GatewayId=other) == f"InvalidParameterValue: {text}"
    ec2.create_route(**routed, GatewayId=gateway)
    assert refusal(ec2.replace_route, **routed, GatewayId=other) == f"InvalidParameterValue: {text}"


def test_the_local_route_and_the_main_table_stay(ec2: Any, vpc: str, table: str) -> None:
    said = refusal(ec2.delete_route, RouteTableId=table, DestinationCidrBlock="10.8.0.0/16")
    assert said == f"InvalidParameterValue: cannot remove local route 10.8.0.0/16 in route table {table}"
    found = ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    )["RouteTables"][0]["RouteTableId"]
    text = f"DependencyViolation: The routeTable '{found}' has dependencies and cannot be deleted."
    assert refusal(ec2.delete_route_table, RouteTableId=found) == text


def test_a_subnet_has_one_route_table(ec2: Any, vpc: str, subnet: str, table: str) -> None:
    made = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    other = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    text = f"the specified association for route table {other} conflicts with an existing association"
    said = refusal(ec2.associate_route_table, RouteTableId=other, SubnetId=subnet)
    assert said == f"Resource.AlreadyAssociated: {text}"
    assert ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"] == made
    ec2.disassociate_route_table(AssociationId=made)
    ec2.associate_route_table(RouteTableId=other, SubnetId=subnet)


def test_private_names_need_both_kinds_of_dns(ec2: Any, vpc: str, subnet: str) -> None:
    asked = {"VpcId": vpc, "ServiceName": API, "VpcEndpointType": "Interface", "SubnetIds": [subnet]}
    text = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true"
    assert refusal(ec2.create_vpc_endpoint, **asked, PrivateDnsEnabled=True) == f"InvalidParameter: {text} for {vpc}"
    made = ec2.create_vpc_endpoint(**asked, PrivateDnsEnabled=False)["VpcEndpoint"]["VpcEndpointId"]
    said = refusal(ec2.modify_vpc_endpoint, VpcEndpointId=made, PrivateDnsEnabled=True)
    assert said == f"InvalidParameter: {text} for {vpc}"
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    ec2.modify_vpc_endpoint(VpcEndpointId=made, PrivateDnsEnabled=True)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ({"Key": "aws:mine", "Value": ""}, "Tag keys starting with 'aws:' are reserved for internal use"),
        ({"Key": "k" * 129, "Value": ""}, "Tag key exceeds the maximum length of 128 characters"),
        ({"Key": "k", "Value": "v" * 257}, "Tag value exceeds the maximum length of 256 characters"),
    ],
)
def test_tags_are_in_bounds(ec2: Any, vpc: str, tag: dict[str, str], said: str) -> None:
    assert refusal(ec2.create_tags, Resources=[vpc], Tags=[tag]) == f"InvalidParameterValue: {said}"
    listed = [{"ResourceType": "route-table", "Tags": [tag]}]
    assert said in refusal(ec2.create_route_table, VpcId=vpc, TagSpecifications=listed)


def test_what_is_made_is_what_is_tagged(ec2: Any, vpc: str) -> None:
    listed = [{"ResourceType": "vpc", "Tags": [{"Key": "k", "Value": "v"}]}]
    text = "'vpc' is not a valid taggable resource type for this operation."
    said = refusal(ec2.create_route_table, VpcId=vpc, TagSpecifications=listed)
    assert said == f"InvalidParameterValue: {text}"


@pytest.mark.parametrize(
    ("name", "description", "said"),
    [
        ("default", "d", "InvalidGroup.Reserved"),
        ("sg-1", "d", "InvalidParameterValue: Value (sg-1) for parameter GroupName is invalid"),
        ("n" * 256, "d", "InvalidParameterValue: Invalid security group name. Valid names are strings"),
        ("n", "the platform's", "InvalidParameterValue: Invalid security group description. Valid descriptions are"),
    ],
)
def test_security_groups_are_named_in_plain_text(ec2: Any, vpc: str, name: str, description: str, said: str) -> None:
    assert refusal(ec2.create_security_group, GroupName=name, Description=description, VpcId=vpc).startswith(said)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"IpProtocol": "tcp", "FromPort": 10, "ToPort": 9}, "Invalid TCP/UDP port range (10:9)"),
        ({"IpProtocol": "udp", "FromPort": 1, "ToPort": 70000}, "Invalid value '70000' for portRange"),
        ({"IpProtocol": "nonsense", "FromPort": 1, "ToPort": 2}, "Invalid value 'nonsense' for IP protocol"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/33"}]}, "CIDR block 10.0.0.0/33 is malformed"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "it's"}]}, "Invalid rule descrip"),
    ],
)
@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_rules_that_cannot_be_read(ec2: Any, group: str, way: str, rule: dict[str, Any], said: str) -> None:
    call = getattr(ec2, f"authorize_security_group_{way}")
    refused = refusal(call, GroupId=group, IpPermissions=[{"IpRanges": WORLD, **rule}])
    assert refused.startswith(f"InvalidParameterValue: {said}")


def test_rules_that_can_be_read(ec2: Any, group: str) -> None:
    rules = [
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": WORLD},
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.9.0.0/16", "Description": "all of it"}]},
        {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=1, ToPort=2, CidrIp="10.0.0.0/8")
