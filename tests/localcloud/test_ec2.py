"""Where plain moto lets through what EC2 refuses, and forgets what EC2 keeps."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

S3 = "com.amazonaws.us-east-1.s3"
API = "com.amazonaws.us-east-1.sagemaker.api"


@pytest.fixture(scope="module")
def ec2(cloud: Any) -> Any:
    return cloud.client("ec2")


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"])


@pytest.fixture
def gateway(ec2: Any, vpc: str) -> str:
    id = str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=vpc)
    return id


@pytest.fixture
def allocation(ec2: Any) -> str:
    return str(ec2.allocate_address(Domain="vpc")["AllocationId"])


def make_nat(ec2: Any, subnet: str, allocation: str, **more: Any) -> dict[str, Any]:
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation, **more)["NatGateway"]
    return settled(lambda: ec2.describe_nat_gateways(NatGatewayIds=[made["NatGatewayId"]])["NatGateways"])[0]


def delete_nat(ec2: Any, id: str) -> None:
    ec2.delete_nat_gateway(NatGatewayId=id)
    settled(lambda: ec2.describe_nat_gateways(NatGatewayIds=[id])["NatGateways"])


def settled(read: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 20
    while any(each["State"] in ("pending", "deleting") for each in read()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return read()


def refusal(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def test_what_a_nat_gateway_uses_stays_until_it_is_deleted(
    ec2: Any, vpc: str, subnet: str, gateway: str, allocation: str
) -> None:
    nat = make_nat(ec2, subnet, allocation)["NatGatewayId"]
    assert refusal(ec2.release_address, AllocationId=allocation).startswith("InvalidIPAddress.InUse")
    assert refusal(ec2.delete_subnet, SubnetId=subnet) == (
        f"DependencyViolation: The subnet '{subnet}' has dependencies and cannot be deleted."
    )
    assert "some mapped public address(es)" in refusal(
        ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc
    )
    delete_nat(ec2, nat)
    assert make_nat(ec2, subnet, allocation)["State"] == "available"
    assert refusal(ec2.delete_nat_gateway, NatGatewayId="nat-0123456789abcdef0").startswith("NatGatewayNotFound")


def test_once_the_nat_gateway_is_deleted_everything_comes_free(
    ec2: Any, vpc: str, subnet: str, gateway: str, allocation: str
) -> None:
    delete_nat(ec2, make_nat(ec2, subnet, allocation)["NatGatewayId"])
    ec2.release_address(AllocationId=allocation)
    ec2.delete_subnet(SubnetId=subnet)
    assert refusal(ec2.delete_internet_gateway, InternetGatewayId=gateway).startswith("DependencyViolation")
    assert refusal(ec2.delete_vpc, VpcId=vpc).startswith("DependencyViolation")
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)


def test_a_nat_gateway_without_an_internet_gateway_fails_and_frees_its_address(
    ec2: Any, subnet: str, allocation: str
) -> None:
    seen = make_nat(ec2, subnet, allocation)
    assert (seen["State"], seen["FailureCode"]) == ("failed", "Gateway.NotAttached")
    ec2.release_address(AllocationId=allocation)


def test_nat_gateways_are_filtered_by_tag(ec2: Any, subnet: str, gateway: str, allocation: str) -> None:
    mark = uuid.uuid4().hex
    tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "mark:one", "Value": mark}]}]
    nat = make_nat(ec2, subnet, allocation, TagSpecifications=tags)["NatGatewayId"]
    make_nat(ec2, subnet, _other(ec2))
    by_tag = [{"Name": "tag:mark:one", "Values": [mark]}]
    assert [each["NatGatewayId"] for each in ec2.describe_nat_gateways(Filter=by_tag)["NatGateways"]] == [nat]


def test_one_client_token_makes_one_object(ec2: Any, vpc: str, subnet: str, gateway: str, allocation: str) -> None:
    token = uuid.uuid4().hex
    first = make_nat(ec2, subnet, allocation, ClientToken=token)
    assert make_nat(ec2, subnet, allocation, ClientToken=token)["NatGatewayId"] == first["NatGatewayId"]
    tables = {
        ec2.create_route_table(VpcId=vpc, ClientToken=each)["RouteTable"]["RouteTableId"]
        for each in (token, token, "b")
    }
    assert len(tables) == 2


def test_a_route_to_an_absent_nat_gateway_is_refused(ec2: Any, vpc: str) -> None:
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    said = refusal(
        ec2.create_route, RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId="nat-0123456789abcdef0"
    )
    assert said == "InvalidNatGatewayID.NotFound: The natGateway ID 'nat-0123456789abcdef0' does not exist"


def test_a_gateway_endpoint_has_its_tables_to_itself_and_takes_its_routes_along(ec2: Any, vpc: str) -> None:
    one, two = (ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2))
    params = {"VpcId": vpc, "ServiceName": S3, "VpcEndpointType": "Gateway"}
    endpoint = ec2.create_vpc_endpoint(RouteTableIds=[one], **params)["VpcEndpoint"]["VpcEndpointId"]
    assert refusal(ec2.create_vpc_endpoint, RouteTableIds=[one], **params).startswith("RouteAlreadyExists: route table")
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[two], RemoveRouteTableIds=[one])
    assert _prefix_list_routes(ec2, one) == []
    assert _prefix_list_routes(ec2, two) == [endpoint]
    assert ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])["Unsuccessful"] == []
    by_id = [{"Name": "vpc-endpoint-id", "Values": [endpoint]}]
    settled(lambda: ec2.describe_vpc_endpoints(Filters=by_id)["VpcEndpoints"])
    assert _prefix_list_routes(ec2, two) == []
    (failed,) = ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])["Unsuccessful"]
    assert failed["Error"]["Code"] == "InvalidVpcEndpoint.NotFound"


def test_an_interface_endpoint_needs_its_service_and_its_private_name(ec2: Any, vpc: str, subnet: str) -> None:
    params = {"VpcId": vpc, "VpcEndpointType": "Interface", "SubnetIds": [subnet]}
    bogus = refusal(ec2.create_vpc_endpoint, ServiceName="com.amazonaws.us-east-1.bogus", **params)
    assert bogus.startswith(
        "InvalidServiceName: The Vpc Endpoint Service 'com.amazonaws.us-east-1.bogus' does not exist"
    )
    said = refusal(ec2.create_vpc_endpoint, ServiceName=API, PrivateDnsEnabled=True, **params)
    assert "requires both enableDnsSupport and enableDnsHostnames" in said
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    made = ec2.create_vpc_endpoint(ServiceName=API, PrivateDnsEnabled=True, **params)["VpcEndpoint"]
    said = refusal(ec2.create_vpc_endpoint, ServiceName=API, PrivateDnsEnabled=True, **params)
    assert "conflicting DNS domain" in said
    ec2.modify_vpc_endpoint(VpcEndpointId=made["VpcEndpointId"], PrivateDnsEnabled=False)
    by_id = [{"Name": "vpc-endpoint-id", "Values": [made["VpcEndpointId"]]}]
    (seen,) = ec2.describe_vpc_endpoints(Filters=by_id)["VpcEndpoints"]
    assert seen["PrivateDnsEnabled"] is False


def test_a_group_in_use_stays(ec2: Any, vpc: str, subnet: str) -> None:
    used, user = (
        ec2.create_security_group(GroupName=name, Description="for a test", VpcId=vpc)["GroupId"]
        for name in ("used", "user")
    )
    rule = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": used}]}]
    ec2.authorize_security_group_ingress(GroupId=user, IpPermissions=rule)
    in_use = f"DependencyViolation: resource {used} has a dependent object"
    assert refusal(ec2.delete_security_group, GroupId=used) == in_use
    ec2.revoke_security_group_ingress(GroupId=user, IpPermissions=rule)
    interface = ec2.create_network_interface(SubnetId=subnet, Groups=[used])["NetworkInterface"]["NetworkInterfaceId"]
    assert refusal(ec2.delete_security_group, GroupId=used) == in_use
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.delete_security_group(GroupId=used)
    assert refusal(ec2.delete_vpc, VpcId=vpc).startswith("DependencyViolation")


def test_a_rule_with_another_description_is_the_same_rule(ec2: Any, vpc: str) -> None:
    group = ec2.create_security_group(GroupName="told", Description="for a test", VpcId=vpc)["GroupId"]
    lists = ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [S3]}])["PrefixLists"]

    def rules(description: str) -> list[dict[str, Any]]:
        told = {"Description": description}
        return [
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group, **told}]},
            {"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": lists[0]["PrefixListId"], **told}]},
        ]

    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules("before"))
    for rule in rules("after"):
        said = refusal(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[rule])
        assert said.startswith("InvalidPermission.Duplicate")
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=rules("after"))
    (seen,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert [seen[key][0]["Description"] for key in ("UserIdGroupPairs", "PrefixListIds")] == ["after", "after"]


def test_zones_say_whether_they_are_opted_in_to(ec2: Any) -> None:
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert {(zone["OptInStatus"], zone["ZoneType"]) for zone in zones} == {("opt-in-not-required", "availability-zone")}


def _other(ec2: Any) -> str:
    return str(ec2.allocate_address(Domain="vpc")["AllocationId"])


def _prefix_list_routes(ec2: Any, table: str) -> list[str]:
    (seen,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return [route["GatewayId"] for route in seen["Routes"] if "DestinationPrefixListId" in route]
