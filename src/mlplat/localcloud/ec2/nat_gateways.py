"""NAT gateways that take their time, and fail late: pending, available or failed, deleting, deleted."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud import background
from mlplat.localcloud.errors import AwsError

KNOWN_FILTERS = frozenset({"nat-gateway-id", "vpc-id", "subnet-id", "state"})
"""Filters that moto applies; the others are applied here."""


class StrictNatGateways:
    """What moto does at once. API reference: NatGateway, "The state of the NAT gateway"."""

    def create_nat_gateway(
        self, subnet_id: str, allocation_id: str | None, tags: Any = None, connectivity_type: str | None = None
    ) -> Any:
        """Pending first. What is wrong with the network or the address shows later, as state failed."""
        failure = self._failure(subnet_id, allocation_id, connectivity_type or "public")
        taken = failure is not None and failure[0] == "Resource.AlreadyAssociated"
        nat = super().create_nat_gateway(  # type: ignore[misc]
            subnet_id, None if taken else allocation_id, tags, connectivity_type or "public"
        )
        nat.state = "pending"
        background.later(self, lambda: self._settle(nat, failure))
        return nat

    def delete_nat_gateway(self, nat_gateway_id: str) -> Any:
        """Deleting, then deleted. Its routes stay; its address stays allocated and is free again at the end."""
        nat = self._nat(nat_gateway_id)
        if nat.state not in ("deleting", "deleted"):
            nat.state = "deleting"
            background.later(self, lambda: self._remove(nat))
        return nat

    def describe_nat_gateways(self, filters: Any, nat_gateway_ids: list[str] | None) -> list[Any]:
        """By id, each of which must be there, and by any filter, tags among them."""
        from moto.ec2.utils import generic_filter

        for nat_id in nat_gateway_ids or ():
            self._nat(nat_id)
        found = super().describe_nat_gateways(filters, nat_gateway_ids)  # type: ignore[misc]
        rest = {name: value for name, value in (filters or {}).items() if name not in KNOWN_FILTERS}
        return list(generic_filter(rest, found))

    def _nat(self, nat_id: str) -> Any:
        nat = self.nat_gateways.get(nat_id)  # type: ignore[attr-defined]
        if nat is None:
            raise AwsError("NatGatewayNotFound", f"The Nat Gateway {nat_id} was not found")
        return nat

    def _failure(self: Any, subnet_id: str, allocation_id: str | None, kind: str) -> tuple[str, str] | None:
        """User guide, "Troubleshoot NAT gateways": the codes; the messages as quoted there."""
        vpc_id = self.get_subnet(subnet_id).vpc_id
        if kind == "private":
            return None
        if not allocation_id:
            raise AwsError("MissingParameter", "The request must contain the parameter AllocationId")
        if self.address_by_allocation([allocation_id])[0].association_id:
            return "Resource.AlreadyAssociated", f"Elastic IP address [{allocation_id}] is already associated"
        if not any(gateway.vpc and gateway.vpc.id == vpc_id for gateway in self.internet_gateways.values()):
            return "Gateway.NotAttached", f"Network {vpc_id} has no Internet gateway attached"
        return None

    def _settle(self, nat: Any, failure: tuple[str, str] | None) -> None:
        if nat.state != "pending":
            return
        if failure is None:
            nat.state = "available"
        else:
            nat.failure_code, nat.failure_message = failure
            self._release(nat)
            nat.state = "failed"

    def _remove(self, nat: Any) -> None:
        self._release(nat)
        nat.state = "deleted"

    def _release(self: Any, nat: Any) -> None:
        """Give the address and the network interface back."""
        for address in list(self.addresses):
            if address.eni is not None and address.eni.id == nat._eni.id:
                self.disassociate_address(association_id=address.association_id)
        self.enis.pop(nat._eni.id, None)
