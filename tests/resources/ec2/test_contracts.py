from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.resources.contract import KindContract, World, statement

from mlplat.resources import (
    DefaultSecurityGroup,
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

HTTPS = {"protocol": "tcp", "from_port": 443, "to_port": 443}


class TestVpc(KindContract):
    def desired(self, world: World) -> Vpc:
        return Vpc(name=f"vpc-{world.suffix}", cidr="10.1.0.0/16", dns_hostnames=True)

    def changes(self, world: World) -> dict[str, Any]:
        return {"name": f"other-{world.suffix}", "cidr": "10.2.0.0/16", "dns_hostnames": False, "dns_support": False}


class TestSubnet(KindContract):
    def desired(self, world: World) -> Subnet:
        name, zone = f"subnet-{world.suffix}", world.zones[0]
        return Subnet(name=name, vpc=world.vpc, cidr="10.9.8.0/24", zone=zone, public_ip_on_launch=True)

    def changes(self, world: World) -> dict[str, Any]:
        return {"zone": world.zones[1], "cidr": "10.9.9.0/24", "vpc": "vpc-other", "public_ip_on_launch": False}


class TestInternetGateway(KindContract):
    def desired(self, world: World) -> InternetGateway:
        return InternetGateway(name=f"gateway-{world.suffix}", vpc=world.vpc)

    def changes(self, world: World) -> dict[str, Any]:
        return {"name": f"other-{world.suffix}", "vpc": "vpc-other"}


class TestElasticIp(KindContract):
    def desired(self, world: World) -> ElasticIp:
        return ElasticIp(name=f"address-{world.suffix}")

    def changes(self, world: World) -> dict[str, Any]:
        return {"name": f"other-{world.suffix}"}


class TestNatGateway(KindContract):
    def desired(self, world: World) -> NatGateway:
        assert world.internet_gateway
        allocation = world.client("ec2").allocate_address(Domain="vpc")["AllocationId"]
        return NatGateway(name=f"nat-{world.suffix}", subnet=world.subnets[0], allocation=allocation)

    def changes(self, world: World) -> dict[str, Any]:
        return {"subnet": world.subnets[1], "allocation": "eipalloc-other"}


class TestRouteTable(KindContract):
    def desired(self, world: World) -> RouteTable:
        routes = [{"destination": "0.0.0.0/0", "gateway": world.internet_gateway}]
        return RouteTable(name=f"table-{world.suffix}", vpc=world.vpc, routes=routes, subnets=world.subnets)

    def changes(self, world: World) -> dict[str, Any]:
        gateway = world.internet_gateway
        return {
            "vpc": "vpc-other",
            "routes": [
                {"destination": "192.168.0.0/16", "gateway": gateway},
                {"destination": "172.16.0.0/12", "gateway": gateway},
            ],
            "subnets": world.subnets[1:],
        }


class TestGatewayEndpoint(KindContract):
    def desired(self, world: World) -> VpcEndpoint:
        return VpcEndpoint(
            name=f"s3-{world.suffix}",
            vpc=world.vpc,
            service="s3",
            type="gateway",
            route_tables=[world.route_table],
            policy=allowing("s3:*"),
        )

    def changes(self, world: World) -> dict[str, Any]:
        table = world.client("ec2").create_route_table(VpcId=world.vpc)["RouteTable"]["RouteTableId"]
        return {"route_tables": [table], "service": "dynamodb", "policy": allowing("s3:Get*")}


def allowing(action: str) -> Mapping[str, Any]:
    """A policy by which everybody may do something through an endpoint."""
    return statement(Principal="*", Action=action, Resource="*")


class TestInterfaceEndpoint(KindContract):
    def desired(self, world: World) -> VpcEndpoint:
        return VpcEndpoint(
            name=f"api-{world.suffix}",
            vpc=world.vpc,
            service="sagemaker.api",
            subnets=world.subnets,
            security_groups=[world.security_group],
            private_dns=True,
        )

    def changes(self, world: World) -> dict[str, Any]:
        params = {"GroupName": f"endpoint-{world.suffix}", "Description": "another", "VpcId": world.vpc}
        other = world.client("ec2").create_security_group(**params)["GroupId"]
        return {"subnets": world.subnets[:1], "security_groups": [other], "private_dns": False, "type": "gateway"}


class TestSecurityGroup(KindContract):
    def desired(self, world: World) -> SecurityGroup:
        return SecurityGroup(
            name=f"workloads-{world.suffix}",
            vpc=world.vpc,
            description="Training jobs and endpoints",
            ingress=[{"protocol": "-1", "self": True, "description": "distributed jobs"}],
            egress=[
                {"protocol": "-1", "self": True},
                {**HTTPS, "group": world.security_group},
                {**HTTPS, "prefix_list": "com.amazonaws.us-east-1.s3", "description": "S3"},
            ],
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "name": f"other-{world.suffix}",
            "description": "something else",
            "ingress": [
                {"protocol": "-1", "self": True, "description": "told in other words"},
                {**HTTPS, "cidr": "10.1.0.0/16"},
                {"protocol": "udp", "from_port": 53, "to_port": 54, "cidr": "2001:db8::/32"},
            ],
            "egress": [{**HTTPS, "cidr": "0.0.0.0/0"}],
        }


class TestDefaultSecurityGroup(KindContract):
    def desired(self, world: World) -> DefaultSecurityGroup:
        return DefaultSecurityGroup(name=f"default-{world.suffix}", vpc=world.vpc)

    def changes(self, world: World) -> dict[str, Any]:
        return {"name": f"other-{world.suffix}", "vpc": "vpc-other"}


class TestFlowLog(KindContract):
    def desired(self, world: World) -> FlowLog:
        trust = {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam, name = world.client("iam"), f"flow-logs-{world.suffix}"
        names = [role["RoleName"] for role in iam.list_roles()["Roles"]]
        if name not in names:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        role = iam.get_role(RoleName=name)["Role"]["Arn"]
        return FlowLog(name=f"log-{world.suffix}", vpc=world.vpc, log_group=world.log_group.split(":")[-1], role=role)

    def changes(self, world: World) -> dict[str, Any]:
        return {"traffic": "REJECT", "log_group": "/other", "vpc": "vpc-other", "role": world.role}
