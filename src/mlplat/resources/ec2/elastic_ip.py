"""Elastic IP addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged


@dataclass(frozen=True, kw_only=True)
class ElasticIp(Tagged):
    """A public IPv4 address for a NAT gateway.

    After a NAT gateway reads deleted, ReleaseAddress still answers a misleading AuthFailure "You do not have
    permission to access the specified resource." for a while (kubernetes/kops#1604), and it answers the same for
    an address that has been released: so each attempt looks first.
    Outputs: `id` (the allocation), `public_ip`.
    """

    kind: ClassVar[str] = "elastic_ip"
    listing: ClassVar[Listing] = Listing(
        "describe_addresses", "Addresses", "AllocationId", "allocation-id", "elastic-ip", paged=False
    )

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """Nothing of it is declared."""
        return {}

    @classmethod
    def seen_outputs(cls, raw: Raw) -> dict[str, Any]:
        """`public_ip`."""
        return {"public_ip": raw["PublicIp"]}

    def create(self, aws: Session) -> str:
        """Allocate it."""
        made = aws.client("ec2").allocate_address(Domain="vpc", TagSpecifications=self.tag_specifications(aws))
        return self.settle(aws, str(made["AllocationId"]))

    def delete(self, aws: Session, id: str) -> None:
        """Release it, looking before each attempt."""

        def attempt() -> None:
            if self.read(aws, {self.listing.id_filter: [id]}):
                aws.client("ec2").release_address(AllocationId=id)

        with aws.gone_is_fine():
            aws.patiently(attempt)
