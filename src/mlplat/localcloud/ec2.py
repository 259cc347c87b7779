"""EC2's network as AWS has it, where moto is laxer: what is in use stays, filters filter, one token makes one object.

Expected differences from plain moto, each with AWS's rule: EC2 API reference (Errors, filters, "Ensuring idempotency"),
and the wording that AWS was recorded with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import urls
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.availability_zones_and_regions import Zone
from moto.ec2.models.security_groups import GroupedSecurityRuleView, SecurityGroup, SecurityGroupRule
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ec2.responses import EC2Response
from moto.ec2.utils import generic_filter

IDEMPOTENT = ("create_nat_gateway", "create_route_table", "create_vpc_endpoint", "create_flow_logs")
"""The network's creates that take a ClientToken."""


def install() -> None:
    """Put this in the place of moto's EC2, before its first backend is made."""
    Zone.opt_in_status = "opt-in-not-required"
    VPCEndPoint.vpc_endpoint_id = property(lambda endpoint: endpoint.id)  # what a filter of that name looks at
    SecurityGroupRule.__init__ = _with_description(SecurityGroupRule.__init__)
    SecurityGroupRule.__eq__ = _is_same_rule
    SecurityGroup._flattened_rules = lambda _group, rules: _folded(rules)
    ec2_backends.backend = Network
    urls.url_paths["{0}/"] = NetworkResponse.dispatch


class Network(EC2Backend):
    """One account's network in one region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        self.tokens: dict[tuple[str, str], Any] = {}
        super().__init__(region_name, account_id)

    @property
    def _url_module(self) -> Any:
        return urls

    # NAT gateways and addresses

    def describe_nat_gateways(self, filters: Any, nat_gateway_ids: list[str] | None) -> list[Any]:
        """moto looks at no tags here."""
        found = super().describe_nat_gateways(filters, nat_gateway_ids)
        tags = {name: values for name, values in (filters or {}).items() if name.startswith("tag")}
        return list(generic_filter(tags, found))

    def create_nat_gateway(self, *args: Any, **kwargs: Any) -> Any:
        """Without an internet gateway in the VPC it is accepted and fails."""
        gateway = super().create_nat_gateway(*args, **kwargs)
        if gateway.connectivity_type != "private" and not self._gateways(gateway.vpc_id):
            gateway.state, gateway.failure_code = "failed", "Gateway.NotAttached"
            gateway.failure_message = f"Network {gateway.vpc_id} has no Internet gateway attached"
            self._let_go(gateway)
        return gateway

    def delete_nat_gateway(self, nat_gateway_id: str) -> Any:
        """Its address is free again, its interface is gone."""
        if nat_gateway_id not in self.nat_gateways:
            raise EC2ClientError("NatGatewayNotFound", f"The Nat Gateway {nat_gateway_id} was not found")
        gateway = super().delete_nat_gateway(nat_gateway_id)
        self._let_go(gateway)
        return gateway

    def _let_go(self, gateway: Any) -> None:
        for address in self.addresses:
            if address.eni is gateway._eni:
                self.disassociate_address(address=address.public_ip)
        self.enis.pop(gateway._eni.id, None)

    def release_address(self, address: str | None = None, allocation_id: str | None = None) -> None:
        """Not while it is associated."""
        for each in self.addresses:
            if each.association_id and allocation_id is not None and each.allocation_id == allocation_id:
                raise EC2ClientError("InvalidIPAddress.InUse", f"Address {each.public_ip} is in use.")
        super().release_address(address, allocation_id)

    # Gateways, routes, subnets, the VPC

    def detach_internet_gateway(self, internet_gateway_id: str, vpc_id: str) -> None:
        """Not while NAT gateways have public addresses in the VPC."""
        gateway = self.get_internet_gateway(internet_gateway_id)
        if gateway.vpc and gateway.vpc.id == vpc_id and any(each.vpc_id == vpc_id for each in self._mapped()):
            raise DependencyViolationError(
                f"Network {vpc_id} has some mapped public address(es). "
                "Please unmap those public address(es) before detaching the gateway."
            )
        super().detach_internet_gateway(internet_gateway_id, vpc_id)

    def delete_internet_gateway(self, internet_gateway_id: str) -> Any:
        """Not while it is attached."""
        if self.get_internet_gateway(internet_gateway_id).vpc:
            raise _dependencies("internetGateway", internet_gateway_id)
        return super().delete_internet_gateway(internet_gateway_id)

    def create_route(self, *args: Any, **kwargs: Any) -> Any:
        """A NAT gateway must be there."""
        nat = kwargs.get("nat_gateway_id")
        if nat is not None and (nat not in self.nat_gateways or self.nat_gateways[nat].state == "deleted"):
            raise EC2ClientError("InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat}' does not exist")
        return super().create_route(*args, **kwargs)

    def delete_subnet(self, subnet_id: str) -> Any:
        """Not while a network interface is in it."""
        if any(eni.subnet.id == subnet_id for eni in self.enis.values()):
            raise _dependencies("subnet", subnet_id)
        return super().delete_subnet(subnet_id)

    def delete_vpc(self, vpc_id: str) -> Any:
        """Not while a gateway, an endpoint or a group of somebody's making is in it."""
        groups = [group for group in self.groups.get(vpc_id, {}).values() if group.name != "default"]
        if groups or self._gateways(vpc_id) or any(each.vpc_id == vpc_id for each in self._endpoints()):
            raise _dependencies("vpc", vpc_id)
        return super().delete_vpc(vpc_id)

    def _gateways(self, vpc_id: str) -> list[Any]:
        return [each for each in self.internet_gateways.values() if each.vpc and each.vpc.id == vpc_id]

    def _mapped(self) -> list[Any]:
        return [each for each in self.nat_gateways.values() if each.state == "available"]

    # Endpoints

    def create_vpc_endpoint(self, vpc_id: str, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """The service must exist, a route table takes one gateway endpoint a service, a VPC one private name."""
        self.describe_vpc_endpoint_services([service_name], [], 1000, None, self.region_name)
        same = [each for each in self._endpoints() if (each.vpc_id, each.service_name) == (vpc_id, service_name)]
        if (kwargs.get("endpoint_type") or "Gateway").lower() == "gateway":
            for table in kwargs.get("route_table_ids") or ():
                _refuse_second_gateway(table, same)
        elif kwargs.get("private_dns_enabled") and any(each.private_dns_enabled for each in same):
            short = service_name.split(".")[-1]
            raise EC2ClientError(
                "InvalidParameter",
                "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
                f"{short}.{self.region_name}.amazonaws.com in the VPC {vpc_id}",
            )
        return super().create_vpc_endpoint(vpc_id, service_name, *args, **kwargs)

    def modify_vpc_endpoint(self, vpc_id: str, *args: Any, **kwargs: Any) -> None:
        """The routes of a gateway endpoint go along with its tables."""
        endpoint = self.get_vpc_end_point(vpc_id)
        before, prefix_list = set(endpoint.route_table_ids), endpoint.destination_prefix_list_id
        super().modify_vpc_endpoint(vpc_id, *args, **kwargs)
        if prefix_list is not None:
            for table in set(endpoint.route_table_ids) - before:
                self.create_route(table, None, gateway_id=vpc_id, destination_prefix_list_id=prefix_list)
            for table in before - set(endpoint.route_table_ids):
                self.delete_route(table, prefix_list)

    def _endpoints(self) -> list[Any]:
        return [each for each in self.vpc_end_points.values() if each.state != "deleted"]

    # Security groups

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        """Not while rules of other groups, endpoints or network interfaces use it."""
        if group_id is not None and group_id in set(self._groups_in_use()):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        super().delete_security_group(name, group_id)

    def _sg_update_description(self, security_rule: Any, rule: Any) -> None:
        """Of prefix lists too."""
        super()._sg_update_description(security_rule, rule)
        if rule.prefix_list_id and security_rule.prefix_list_description:
            rule.prefix_list_description = security_rule.prefix_list_description

    def _groups_in_use(self) -> Iterator[str]:
        for group in (each for groups in self.groups.values() for each in groups.values()):
            for rule in (*group.ingress_rules, *group.egress_rules):
                if rule.source_group.get("GroupId") not in (None, group.id):
                    yield rule.source_group["GroupId"]
        for endpoint in self._endpoints():
            yield from endpoint.security_group_ids
        for eni in self.enis.values():
            yield from (group.id for group in eni.group_set)


class NetworkResponse(EC2Response):
    """EC2's operations, with those of the network that moto carries out by halves."""

    def modify_vpc_endpoint(self) -> ActionResult:
        """With private DNS, which moto leaves as it was."""
        answer = super().modify_vpc_endpoint()
        enabled = self._get_bool_param("PrivateDnsEnabled")
        if enabled is not None:
            self.ec2_backend.get_vpc_end_point(self._get_param("VpcEndpointId")).private_dns_enabled = enabled
        return answer

    def delete_vpc_endpoints(self) -> ActionResult:
        """What isn't there is listed, in an answer of 200."""
        asked = self._get_param("VpcEndpointIds", [])
        there = {each.id for each in self.ec2_backend._endpoints()}
        self.ec2_backend.delete_vpc_endpoints(vpce_ids=[id for id in asked if id in there])
        absent = [_unsuccessful("InvalidVpcEndpoint.NotFound", id) for id in asked if id not in there]
        return ActionResult({"Unsuccessful": absent})


def _idempotent(operation: str) -> Callable[[NetworkResponse], ActionResult]:
    def send(response: NetworkResponse) -> ActionResult:
        token = response._get_param("ClientToken")
        made = response.ec2_backend.tokens
        if token is None or (operation, token) not in made:
            answer = getattr(EC2Response, operation)(response)
            made |= {(operation, token): answer} if token is not None else {}
            return answer
        return made[operation, token]

    return send


for _operation in IDEMPOTENT:
    setattr(NetworkResponse, _operation, _idempotent(_operation))


def _with_description(original: Callable[..., None]) -> Callable[..., None]:
    """moto forgets the description of a rule that names a prefix list."""

    def init(rule: Any, *args: Any, **kwargs: Any) -> None:
        original(rule, *args, **kwargs)
        prefix_list = args[7] if len(args) > 7 else kwargs.get("prefix_list_id")
        rule.prefix_list_description = (prefix_list or {}).get("Description")

    return init


def _folded(rules: Sequence[Any]) -> list[GroupedSecurityRuleView]:
    """The rules of one protocol and port range in one permission."""
    views: dict[tuple[Any, ...], GroupedSecurityRuleView] = {}
    for rule in rules:
        head = (rule.from_port, rule.to_port, rule.ip_protocol)
        view = views.setdefault(head, GroupedSecurityRuleView(*head))
        if rule.ip_range:
            view.all_ip_ranges.append(rule.ip_range)
        if rule.source_group:
            view.source_groups.append(rule.source_group)
        if rule.prefix_list_id:
            told = {"Description": rule.prefix_list_description} if rule.prefix_list_description else {}
            view.prefix_list_ids.append({"PrefixListId": rule.prefix_list_id, **told})
    return list(views.values())


def _is_same_rule(rule: SecurityGroupRule, other: object) -> bool:
    """Descriptions don't tell rules apart."""
    return isinstance(other, SecurityGroupRule) and _rule(rule) == _rule(other)


def _rule(rule: SecurityGroupRule) -> tuple[Any, ...]:
    ports = () if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
    cidr = (rule.ip_range.get("CidrIp"), rule.ip_range.get("CidrIpv6"))
    return rule.ip_protocol, ports, cidr, rule.source_group.get("GroupId"), rule.prefix_list_id


def _refuse_second_gateway(table: str, endpoints: Sequence[Any]) -> None:
    for endpoint in endpoints:
        if table in endpoint.route_table_ids:
            raise EC2ClientError(
                "RouteAlreadyExists",
                f"route table {table} already has a route with destination-prefix-list-id "
                f"{endpoint.destination_prefix_list_id}",
            )


def _unsuccessful(code: str, id: str) -> dict[str, Any]:
    message = f"The Vpc Endpoint Id '{id}' does not exist"
    return {"ResourceId": id, "Error": {"Code": code, "Message": message}}


def _dependencies(kind: str, id: str) -> DependencyViolationError:
    return DependencyViolationError(f"The {kind} '{id}' has dependencies and cannot be deleted.")
