from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import World
from tests.resources.ec2.faults import Faults

from mlplat.aws import Session
from mlplat.errors import ApiError, CredentialsError, MlplatError, NotSettled, OutcomeUnknown, UsageError
from mlplat.resources import (
    ElasticIp,
    FlowLog,
    InternetGateway,
    NatGateway,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
    VpcEndpoint,
)
from mlplat.resources.ec2.services import by_zone, full_name, short_name
from mlplat.resources.ec2.zones import zones

HTTPS = {"protocol": "tcp", "from_port": 443, "to_port": 443}
REGION = "us-east-1"


@pytest.fixture
def faults(world: World, monkeypatch: pytest.MonkeyPatch) -> Faults:
    monkeypatch.setattr(Session, "pause", lambda self, seconds: None)
    return Faults(world.aws)


def nat(world: World) -> NatGateway:
    assert world.internet_gateway
    allocation = world.client("ec2").allocate_address(Domain="vpc")["AllocationId"]
    return NatGateway(name=f"nat-{world.suffix}", subnet=world.subnets[0], allocation=allocation)


def group(world: World, **rules: Any) -> SecurityGroup:
    return SecurityGroup(name=f"quirks-{world.suffix}", vpc=world.vpc, description="for a test", **rules)


def test_an_id_made_a_moment_ago_may_be_unknown_for_a_while(world: World, faults: Faults) -> None:
    vpc = world.vpc
    faults.refuse("CreateSubnet", "InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist", times=2)
    faults.change("DescribeSubnets", lambda answer: answer["Subnets"].clear(), times=2)
    subnet = Subnet(name="fresh", vpc=vpc, cidr="10.9.5.0/24", zone=world.zones[0])
    id = subnet.create(world.aws)
    assert len(faults.made("CreateSubnet")) == 3
    seen = subnet.describe(world.aws, id)
    assert seen is not None
    assert seen.outputs["zone"] == world.zones[0]


def test_another_refusal_of_a_create_is_final(world: World, faults: Faults) -> None:
    faults.refuse("CreateSubnet", "InvalidSubnet.Conflict", "The CIDR '10.9.0.0/24' conflicts with another subnet")
    with pytest.raises(ApiError, match="conflicts with another subnet"):
        Subnet(name="taken", vpc=world.vpc, cidr="10.9.0.0/24", zone=world.zones[0]).create(world.aws)
    assert len(faults.made("CreateSubnet")) == 1


def test_a_create_with_a_client_token_is_sent_again_with_the_same_token(world: World, faults: Faults) -> None:
    gateway = nat(world)
    faults.refuse("CreateNatGateway", "InternalError", "An internal error has occurred", status=500, times=2)
    first = gateway.create(world.aws)
    assert len({call["ClientToken"] for call in faults.made("CreateNatGateway")}) == 1
    gateway.delete(world.aws, first)
    gateway.create(world.aws)
    assert len({call["ClientToken"] for call in faults.made("CreateNatGateway")}) == 2


def test_a_create_without_a_client_token_is_not_sent_again(world: World, faults: Faults) -> None:
    faults.refuse("CreateVpc", "InternalError", "An internal error has occurred", status=500)
    with pytest.raises(OutcomeUnknown):
        Vpc(name="once", cidr="10.4.0.0/16").create(world.aws)
    assert len(faults.made("CreateVpc")) == 1


def test_a_pending_nat_gateway_is_waited_for_and_a_failed_one_tells_why(world: World, faults: Faults) -> None:
    def tell(**state: str) -> Any:
        return lambda answer: [gateway.update(state) for gateway in answer["NatGateways"]]

    reported: list[str] = []
    aws = world.session.at(world.address, reported.append)
    faults.change("DescribeNatGateways", tell(State="pending"), times=3)
    gateway = nat(world)
    id = gateway.create(aws)
    assert reported[:3] == ["pending"] * 3
    why = {"State": "failed", "FailureCode": "Gateway.NotAttached", "FailureMessage": "Network has no gateway"}
    faults.change("DescribeNatGateways", tell(**why), times=1)
    seen = gateway.describe(aws, id)
    assert seen is not None
    assert seen.failed == "Gateway.NotAttached: Network has no gateway"
    faults.change("DescribeNatGateways", tell(**why), times=1)
    with pytest.raises(NotSettled, match=r"nat_gateway .* Gateway.NotAttached: Network has no gateway"):
        nat(world).create(world.session.at("t.nat_gateway.other"))


def test_a_deleted_nat_gateway_that_is_still_visible_is_not_there(world: World, faults: Faults) -> None:
    gateway = nat(world)
    id = gateway.create(world.aws)

    def tell(state: str) -> Any:
        return lambda answer: [gateway.update(State=state) for gateway in answer["NatGateways"]]

    faults.change("DescribeNatGateways", tell("deleting"), times=2)
    before = len(faults.made("DescribeNatGateways"))
    faults.refuse("DeleteNatGateway", "NatGatewayNotFound", f"NatGateway {id} was not found")
    gateway.delete(world.aws, id)
    assert len(faults.made("DescribeNatGateways")) == before + 3
    faults.change("DescribeNatGateways", tell("deleted"), times=100)
    assert gateway.describe(world.aws, id) is None
    assert gateway.prefetch(world.aws, {world.address: id}) == {world.address: None}


def test_releasing_an_address_outlasts_a_misleading_auth_failure(world: World, faults: Faults) -> None:
    address = ElasticIp(name="busy")
    id = address.create(world.aws)
    said = "You do not have permission to access the specified resource."
    faults.refuse("ReleaseAddress", "AuthFailure", said, times=2)
    address.delete(world.aws, id)
    assert len(faults.made("ReleaseAddress")) == 3
    assert address.describe(world.aws, id) is None
    address.delete(world.aws, id)
    assert len(faults.made("ReleaseAddress")) == 3


def test_an_auth_failure_about_credentials_is_final(world: World, faults: Faults) -> None:
    address = ElasticIp(name="refused")
    id = address.create(world.aws)
    faults.refuse("ReleaseAddress", "AuthFailure", "AWS was not able to validate the provided access credentials")
    with pytest.raises(CredentialsError, match="not able to validate"):
        address.delete(world.aws, id)
    assert len(faults.made("ReleaseAddress")) == 1


def test_a_gateway_is_detached_once_no_address_is_mapped(world: World, faults: Faults) -> None:
    gateway = InternetGateway(name="busy", vpc=world.vpc)
    id = gateway.create(world.aws)
    faults.refuse(
        "DetachInternetGateway", "DependencyViolation", "Network has some mapped public address(es).", times=2
    )
    gateway.delete(world.aws, id)
    assert len(faults.made("DetachInternetGateway")) == 3
    assert gateway.describe(world.aws, id) is None


def test_a_gateway_that_is_detached_already_is_deleted(world: World, faults: Faults) -> None:
    gateway = InternetGateway(name="loose", vpc=world.vpc)
    id = gateway.create(world.aws)
    world.client("ec2").detach_internet_gateway(InternetGatewayId=id, VpcId=world.vpc)
    attached = [{"State": "available", "VpcId": world.vpc}]
    faults.change("DescribeInternetGateways", lambda answer: answer["InternetGateways"][0].update(Attachments=attached))
    gateway.delete(world.aws, id)
    assert gateway.describe(world.aws, id) is None


def test_routes_that_aws_owns_are_neither_seen_nor_touched(world: World, faults: Faults) -> None:
    routes = [{"destination": "0.0.0.0/0", "gateway": world.internet_gateway}]
    table = RouteTable(name="private", vpc=world.vpc, routes=routes)
    id = table.create(world.aws)
    s3 = f"com.amazonaws.{REGION}.s3"
    world.client("ec2").create_vpc_endpoint(
        VpcId=world.vpc, ServiceName=s3, RouteTableIds=[id], VpcEndpointType="Gateway"
    )
    seen = table.describe(world.aws, id)
    assert seen is not None
    assert table.compare(seen) == []
    bare = replace(table, routes=[])
    bare.update(world.aws, seen, frozenset({"routes"}))
    assert [call["DestinationCidrBlock"] for call in faults.made("DeleteRoute")] == ["0.0.0.0/0"]


def test_a_route_whose_destination_is_taken_is_replaced(world: World, faults: Faults) -> None:
    other = nat(world).create(world.session.at("t.nat_gateway.one"))
    routes = [{"destination": "0.0.0.0/0", "nat_gateway": other}]
    table = RouteTable(name="private", vpc=world.vpc, routes=routes)
    id = table.create(world.aws)
    again = replace(table, routes=[{"destination": "0.0.0.0/0", "gateway": world.internet_gateway}])
    seen = table.describe(world.aws, id)
    assert seen is not None
    again.update(world.aws, seen, frozenset({"routes"}))
    assert len(faults.made("ReplaceRoute")) == 1
    said = "The route identified by 0.0.0.0/0 already exists."
    faults.change("DescribeRouteTables", lambda answer: answer["RouteTables"][0]["Routes"].clear())
    faults.refuse("CreateRoute", "RouteAlreadyExists", said)
    table.update(world.aws, seen, frozenset({"routes"}))
    assert len(faults.made("ReplaceRoute")) == 2
    seen = table.describe(world.aws, id)
    assert seen is not None
    assert table.compare(seen) == []


def test_a_subnet_moves_from_another_table(world: World, faults: Faults) -> None:
    other = world.client("ec2").create_route_table(VpcId=world.vpc)["RouteTable"]["RouteTableId"]
    subnet = world.subnets[0]
    world.client("ec2").associate_route_table(RouteTableId=other, SubnetId=subnet)
    said = "the specified association for route table conflicts with an existing association"
    faults.refuse("AssociateRouteTable", "Resource.AlreadyAssociated", said)
    table = RouteTable(name="public", vpc=world.vpc, subnets=[subnet])
    id = table.create(world.aws)
    assert len(faults.made("ReplaceRouteTableAssociation")) == 1
    seen = table.describe(world.aws, id)
    assert seen is not None
    assert seen.fields["subnets"] == [subnet]


def test_an_endpoint_leaves_out_subnets_in_zones_without_the_service(world: World, faults: Faults) -> None:
    def only_first_zone(answer: dict[str, Any]) -> None:
        for service in answer["ServiceDetails"]:
            service["AvailabilityZones"] = world.zones[:1]
            service.pop("AvailabilityZoneIds", None)

    faults.change("DescribeVpcEndpointServices", only_first_zone, times=10)
    served, unserved = by_zone(world.aws, "sagemaker.api", world.subnets)
    assert (served, unserved) == (world.subnets[:1], world.subnets[1:])
    params = {"vpc": world.vpc, "service": "sagemaker.api", "security_groups": [world.security_group]}
    endpoint = VpcEndpoint(name="api", subnets=world.subnets, **params)
    id = endpoint.create(world.aws)
    assert faults.made("CreateVpcEndpoint")[0]["SubnetIds"] == world.subnets[:1]
    seen = endpoint.describe(world.aws, id)
    assert seen is not None
    assert endpoint.compare(seen) == []
    with pytest.raises(MlplatError, match="none of the subnets' zones"):
        VpcEndpoint(name="api", subnets=world.subnets[1:], **params).create(world.aws)


def test_what_a_bulk_call_lists_as_unsuccessful_is_an_error(world: World, faults: Faults) -> None:
    endpoint = VpcEndpoint(name="s3", vpc=world.vpc, service="s3", type="gateway", route_tables=[world.route_table])
    id = endpoint.create(world.aws)
    refused = {"ResourceId": id, "Error": {"Code": "OperationNotPermitted", "Message": "not this one"}}
    faults.change("DeleteVpcEndpoints", lambda answer: answer.update(Unsuccessful=[refused]))
    with pytest.raises(ApiError, match="OperationNotPermitted: not this one"):
        endpoint.delete(world.aws, id)


def test_a_flow_log_waits_for_a_role_that_cannot_be_assumed_yet(world: World, faults: Faults) -> None:
    params = {"vpc": world.vpc, "log_group": world.log_group.split(":")[-1], "role": world.role}
    faults.refuse("CreateFlowLogs", "InvalidParameter", "Unable to assume given IAM role", times=2)
    FlowLog(name="fresh", **params).create(world.aws)
    assert len(faults.made("CreateFlowLogs")) == 3


def test_other_groups_of_ours_forget_a_group_before_it_is_deleted(world: World, faults: Faults) -> None:
    first = group(world)
    id = first.create(world.aws)
    other = replace(group(world, ingress=[{**HTTPS, "group": id}, {**HTTPS, "cidr": "10.0.0.0/8"}]), name="other")
    second = other.create(world.session.at("t.security_group.other"))
    faults.refuse("DeleteSecurityGroup", "DependencyViolation", f"resource {id} has a dependent object", times=2)
    first.delete(world.aws, id)
    assert len(faults.made("DeleteSecurityGroup")) == 3
    seen = other.describe(world.session.at("t.security_group.other"), second)
    assert seen is not None
    assert seen.fields["ingress"] == [{**HTTPS, "cidr": "10.0.0.0/8"}]


def test_a_group_that_a_strangers_rules_refer_to_stays(world: World) -> None:
    mine = group(world)
    id = mine.create(world.aws)
    pair = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": id}]}
    world.client("ec2").authorize_security_group_ingress(GroupId=world.security_group, IpPermissions=[pair])
    with pytest.raises(MlplatError, match=rf"rules of {world.security_group} refer to it"):
        mine.delete(world.aws, id)
    assert mine.describe(world.aws, id) is not None


def test_network_interfaces_are_waited_for_before_a_group_is_deleted(world: World, faults: Faults) -> None:
    mine = group(world)
    id = mine.create(world.aws)
    ec2 = world.client("ec2")
    left = ec2.create_network_interface(SubnetId=world.subnets[0], Groups=[id])["NetworkInterface"][
        "NetworkInterfaceId"
    ]
    reported: list[str] = []

    def watch(status: str) -> None:
        reported.append(status)
        ec2.delete_network_interface(NetworkInterfaceId=left)

    mine.delete(world.session.at(world.address, watch), id)
    assert reported == [f"in use by {left}"]
    assert mine.describe(world.aws, id) is None


def test_a_rule_that_is_there_already_does_not_stop_the_others(world: World, faults: Faults) -> None:
    wanted = [{**HTTPS, "cidr": "10.0.0.0/8"}, {**HTTPS, "cidr": "172.16.0.0/12"}]
    said = "the specified rule already exists"
    faults.refuse("AuthorizeSecurityGroupIngress", "InvalidPermission.Duplicate", said, times=1)
    mine = group(world, ingress=wanted)
    id = mine.create(world.aws)
    assert [len(call["IpPermissions"]) for call in faults.made("AuthorizeSecurityGroupIngress")] == [2, 1, 1]
    seen = mine.describe(world.aws, id)
    assert seen is not None
    assert mine.compare(seen) == []


@pytest.mark.parametrize(
    "target", [{"cidr": "10.0.0.0/8"}, {"self": True}, {"prefix_list": f"com.amazonaws.{REGION}.s3"}]
)
def test_another_description_is_told_and_not_authorized_again(
    world: World, faults: Faults, target: dict[str, Any]
) -> None:
    mine = group(world, egress=[{**HTTPS, **target, "description": "before"}])
    id = mine.create(world.aws)
    told = replace(mine, egress=[{**HTTPS, **target, "description": "after"}])
    seen = mine.describe(world.aws, id)
    assert seen is not None
    assert [change.field for change in told.compare(seen)] == ["egress"]
    authorized = len(faults.made("AuthorizeSecurityGroupEgress"))
    told.update(world.aws, seen, frozenset({"egress"}))
    assert len(faults.made("AuthorizeSecurityGroupEgress")) == authorized
    seen = told.describe(world.aws, id)
    assert seen is not None
    assert told.compare(seen) == []


def test_a_prefix_list_that_does_not_exist_is_named(world: World) -> None:
    with pytest.raises(MlplatError, match=r"prefix list com\.amazonaws\.nowhere\.s3: there is none in us-east-1"):
        group(world, egress=[{**HTTPS, "prefix_list": "com.amazonaws.nowhere.s3"}]).create(world.aws)


def test_two_objects_of_one_address_are_not_chosen_between(world: World) -> None:
    address = ElasticIp(name="twice")
    ids = sorted(address.create(world.aws) for _ in range(2))
    with pytest.raises(MlplatError, match="2 objects carry its tags") as caught:
        address.describe(world.aws)
    assert all(id in caught.value.message for id in ids)
    seen = address.describe(world.aws, ids[1])
    assert seen is not None
    assert seen.id == ids[1]


def test_one_call_observes_all_addresses_and_lost_tags_cost_one_more(world: World, faults: Faults) -> None:
    aws = replace(world.session, namespace=f"many-{world.suffix}")
    ids = {f"t.elastic_ip.a{n}": ElasticIp(name=f"a{n}").create(aws.at(f"t.elastic_ip.a{n}")) for n in range(3)}
    before = len(faults.made("DescribeAddresses"))
    found = ElasticIp.prefetch(aws, {**ids, "t.elastic_ip.none": None})
    assert {address: seen and seen.id for address, seen in found.items()} == {**ids, "t.elastic_ip.none": None}
    assert len(faults.made("DescribeAddresses")) == before + 1
    world.client("ec2").delete_tags(Resources=[ids["t.elastic_ip.a1"]], Tags=[{"Key": "mlplat:namespace"}])
    found = ElasticIp.prefetch(aws, ids)
    assert {address: seen and seen.id for address, seen in found.items()} == ids
    assert len(faults.made("DescribeAddresses")) == before + 3


def test_another_namespaces_object_at_the_same_address_is_not_ours(world: World) -> None:
    ElasticIp(name="theirs").create(replace(world.session, namespace=f"their-{world.suffix}").at(world.address))
    assert ElasticIp(name="ours").describe(world.aws) is None


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("s3", f"com.amazonaws.{REGION}.s3"),
        ("sagemaker.api", f"com.amazonaws.{REGION}.sagemaker.api"),
        ("ecr.dkr", f"com.amazonaws.{REGION}.ecr.dkr"),
        ("sagemaker.notebook", f"aws.sagemaker.{REGION}.notebook"),
        ("sagemaker.experiments", f"aws.sagemaker.{REGION}.experiments"),
    ],
)
def test_services_have_short_names(short: str, full: str) -> None:
    assert full_name(short, REGION) == full
    assert short_name(full) == short
    assert full_name(full, REGION) == full
    assert short_name("cn.com.amazonaws.cn-north-1.sagemaker.api") == "sagemaker.api"


def test_zones_are_the_usable_ones_in_a_stable_order(world: World, faults: Faults) -> None:
    def shuffled(answer: dict[str, Any]) -> None:
        usable = {"State": "available", "ZoneType": "availability-zone", "OptInStatus": "opt-in-not-required"}
        answer["AvailabilityZones"] = [
            {**usable, "ZoneName": "us-east-1c"},
            {**usable, "ZoneName": "us-east-1-bos-1a", "ZoneType": "local-zone", "OptInStatus": "opted-in"},
            {**usable, "ZoneName": "us-east-1b", "OptInStatus": "opted-in"},
            {**usable, "ZoneName": "us-east-1a", "State": "impaired"},
            {**usable, "ZoneName": "us-east-1d", "OptInStatus": "not-opted-in"},
        ]

    faults.change("DescribeAvailabilityZones", shuffled, times=2)
    assert zones(world.aws, 2) == ("us-east-1b", "us-east-1c")
    with pytest.raises(UsageError, match=r"network.zones is 3, but us-east-1 has 2"):
        zones(world.aws, 3)
