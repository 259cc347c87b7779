"""NAT gateways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Ref
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged, repeatable


@dataclass(frozen=True, kw_only=True)
class NatGateway(Tagged):
    """A public NAT gateway.

    Made and deleted in minutes, asynchronously; what is wrong with it shows later as state failed with a
    FailureCode (Gateway.NotAttached: the VPC had no internet gateway yet). Failed and deleted ones stay visible for
    about an hour. Deleting it leaves its routes (as black holes) and its address behind.
    Outputs: `id`.
    """

    kind: ClassVar[str] = "nat_gateway"
    immutable: ClassVar[frozenset[str]] = frozenset({"subnet", "allocation"})
    listing: ClassVar[Listing] = Listing(
        "describe_nat_gateways", "NatGateways", "NatGatewayId", "nat-gateway-id", "natgateway", filters="Filter"
    )

    subnet: str | Ref
    allocation: str | Ref

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """The subnet, and the allocation of its first address."""
        primary = [each for each in raw.get("NatGatewayAddresses", ()) if each.get("IsPrimary", True)]
        return {"subnet": raw["SubnetId"], "allocation": primary[0].get("AllocationId") if primary else None}

    @classmethod
    def failure(cls, raw: Raw) -> str | None:
        """FailureCode and FailureMessage."""
        if raw["State"] != "failed":
            return None
        return f"{raw.get('FailureCode', 'failed')}: {raw.get('FailureMessage', 'no reason given')}"

    def create(self, aws: Session) -> str:
        """Wait until available; failed raises NotSettled with the reason."""

        def send(token: str) -> Any:
            return aws.client("ec2").create_nat_gateway(
                SubnetId=self.subnet,
                AllocationId=self.allocation,
                ConnectivityType="public",
                ClientToken=token,
                TagSpecifications=self.tag_specifications(aws),
            )

        made = repeatable(aws, send)
        return self.settle(aws, str(made["NatGateway"]["NatGatewayId"]))

    def delete(self, aws: Session, id: str) -> None:
        """Wait until it reads deleted: only then is its address free."""
        with aws.gone_is_fine():
            aws.client("ec2").delete_nat_gateway(NatGatewayId=id)
        self.read(aws, {self.listing.id_filter: [id]})
