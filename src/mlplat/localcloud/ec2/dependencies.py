"""What EC2 doesn't delete, detach or release because something still uses it, and routes to what isn't there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlplat.localcloud.ec2.vpc_endpoints import GONE
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before


def violation(message: str) -> AwsError:
    """DependencyViolation."""
    return AwsError("DependencyViolation", message)


class StrictDependencies:
    """The codes and texts are those that AWS answers with (terraform-provider-aws, recorded answers)."""

    def delete_subnet(self: Any, subnet_id: str) -> Any:
        """Not while a network interface or a NAT gateway lives in it."""
        self.get_subnet(subnet_id)
        if any(eni.subnet.id == subnet_id for eni in list(self.enis.values())) or subnet_id in set(self._nat_subnets()):
            raise violation(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        for table in self.route_tables.values():
            for association in [id for id, target in table._associations.items() if target == subnet_id]:
                del table._associations[association]
        return super().delete_subnet(subnet_id)  # type: ignore[misc]

    def delete_vpc(self: Any, vpc_id: str) -> Any:
        """Not while anything but its defaults is in it."""
        self.get_vpc(vpc_id)
        groups = [group for group in self.groups.get(vpc_id, {}).values() if group.name != "default"]
        gateways = [igw for igw in self.internet_gateways.values() if igw.vpc and igw.vpc.id == vpc_id]
        endpoints = [each for each in self.vpc_end_points.values() if each.vpc_id == vpc_id and each.state != "deleted"]
        tables = [
            table for table in self.route_tables.values() if table.vpc_id == vpc_id and not table.main_association_id
        ]
        subnets = self.describe_subnets(filters={"vpc-id": [vpc_id]})
        if groups or gateways or endpoints or tables or subnets:
            raise violation(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        return super().delete_vpc(vpc_id)  # type: ignore[misc]

    def delete_internet_gateway(self: Any, internet_gateway_id: str) -> None:
        """Not while it is attached."""
        if self.get_internet_gateway(internet_gateway_id).vpc:
            raise violation(f"The internetGateway '{internet_gateway_id}' has dependencies and cannot be deleted.")
        super().delete_internet_gateway(internet_gateway_id)  # type: ignore[misc]

    def detach_internet_gateway(self: Any, internet_gateway_id: str, vpc_id: str) -> None:
        """Not while public addresses are mapped in the VPC."""
        mapped = [each.eni for each in self.addresses if each.eni is not None and each.association_id]
        if any(eni.subnet.vpc_id == vpc_id for eni in mapped):
            raise violation(
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway."
            )
        super().detach_internet_gateway(internet_gateway_id, vpc_id)  # type: ignore[misc]

    def delete_security_group(self: Any, name: str | None = None, group_id: str | None = None) -> Any:
        """Not while an interface carries it or a rule of another group names it."""
        group = self.get_security_group_by_name_or_id(group_id or name)
        if group is not None and (self._carries(group.id) or self._is_named(group.id)):
            raise violation(f"resource {group.id} has a dependent object")
        return super().delete_security_group(name=name, group_id=group_id)  # type: ignore[misc]

    def release_address(self: Any, address: str | None = None, allocation_id: str | None = None) -> None:
        """Not while it is associated; and one that has been released belongs to nobody we know."""
        released = self.__dict__.setdefault("_released_allocations", set())
        if allocation_id in released:
            raise AwsError("AuthFailure", "You do not have permission to access the specified resource.")
        found = self.address_by_allocation([allocation_id]) if allocation_id else self.address_by_ip([address])
        if found[0].association_id:
            # the code is confirmed, the wording is not
            raise AwsError("InvalidIPAddress.InUse", f"Address {found[0].public_ip} is in use.")
        released.add(found[0].allocation_id)
        super().release_address(address=address, allocation_id=allocation_id)  # type: ignore[misc]

    def create_route(self: Any, route_table_id: str, *args: Any, **kwargs: Any) -> Any:
        """Only to a NAT gateway that is there."""
        self._check_nat(kwargs.get("nat_gateway_id"))
        return super().create_route(route_table_id, *args, **kwargs)  # type: ignore[misc]

    def replace_route(self: Any, route_table_id: str, *args: Any, **kwargs: Any) -> Any:
        """Only to a NAT gateway that is there."""
        self._check_nat(kwargs.get("nat_gateway_id"))
        return super().replace_route(route_table_id, *args, **kwargs)  # type: ignore[misc]

    def _check_nat(self: Any, nat_id: str | None) -> None:
        nat = self.nat_gateways.get(nat_id) if nat_id else None
        if nat_id and (nat is None or nat.state == "deleted"):
            raise AwsError("InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat_id}' does not exist")

    def _nat_subnets(self: Any) -> Iterator[str]:
        return (nat.subnet_id for nat in self.nat_gateways.values() if nat.state not in ("deleted", "failed"))

    def _carries(self: Any, group_id: str) -> bool:
        on_interfaces = any(group_id in {each.id for each in eni.group_set if each} for eni in list(self.enis.values()))
        endpoints = [each for each in self.vpc_end_points.values() if each.state not in GONE]
        return on_interfaces or any(group_id in each.security_group_ids for each in endpoints)

    def _is_named(self: Any, group_id: str) -> bool:
        groups = [group for groups in list(self.groups.values()) for group in list(groups.values())]
        for group in (each for each in groups if each.id != group_id):
            for rule in [*group.ingress_rules, *group.egress_rules]:
                if rule.source_group.get("GroupId") == group_id:
                    return True
        return False


@before("ec2", "DeleteSecurityGroup")
def the_default_group_stays(asked: Asked) -> None:
    """API reference of DeleteSecurityGroup; it goes with its VPC."""
    group = asked.backend().get_security_group_by_name_or_id(asked.request.get("GroupId") or asked.request["GroupName"])
    if group is not None and group.name == "default":
        message = f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
        raise AwsError("CannotDelete", message)
