"""Internet gateways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.errors import ApiError
from mlplat.resources.base import Change, Observed, Ref
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged


@dataclass(frozen=True, kw_only=True)
class InternetGateway(Tagged):
    """An internet gateway attached to a VPC.

    Made and attached in two calls; one that was left unattached is attached by an update. Detaching is
    refused with DependencyViolation while public addresses are mapped in the VPC, so NAT gateways and elastic
    addresses go first; Gateway.NotAttached means that it is done.
    Outputs: `id`.
    """

    kind: ClassVar[str] = "internet_gateway"
    immutable: ClassVar[frozenset[str]] = frozenset({"vpc"})
    listing: ClassVar[Listing] = Listing(
        "describe_internet_gateways",
        "InternetGateways",
        "InternetGatewayId",
        "internet-gateway-id",
        "internet-gateway",
    )

    vpc: str | Ref

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """`vpc` only while it is attached."""
        attached = _attached(raw)
        return {"vpc": attached[0]} if attached else {}

    def compare(self, seen: Observed) -> list[Change]:
        """One that was never attached is attached now; one attached elsewhere is made again."""
        unattached = [] if "vpc" in seen.fields else [Change("attachment", None, self.vpc)]
        return super().compare(seen) + unattached

    def create(self, aws: Session) -> str:
        """Make it, then attach it."""
        ec2 = aws.client("ec2")
        made = ec2.create_internet_gateway(TagSpecifications=self.tag_specifications(aws))
        id = str(made["InternetGateway"]["InternetGatewayId"])
        self._attach(aws, id)
        return self.settle(aws, id)

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Attach it, if a run died between the two calls."""
        super().update(aws, seen, changed)
        if "attachment" in changed:
            self._attach(aws, seen.id)

    def delete(self, aws: Session, id: str) -> None:
        """Detach, then delete."""
        ec2 = aws.client("ec2")
        for raw in self.read(aws, {self.listing.id_filter: [id]}):
            for vpc in _attached(raw):
                _detach(aws, id, vpc)
        with aws.gone_is_fine():
            ec2.delete_internet_gateway(InternetGatewayId=id)

    def _attach(self, aws: Session, id: str) -> None:
        aws.client("ec2").attach_internet_gateway(InternetGatewayId=id, VpcId=self.vpc)


def _attached(raw: Raw) -> list[str]:
    return [each["VpcId"] for each in raw.get("Attachments", ()) if each.get("State") not in ("detaching", "detached")]


def _detach(aws: Session, id: str, vpc: str) -> None:
    try:
        with aws.gone_is_fine():
            aws.client("ec2").detach_internet_gateway(InternetGatewayId=id, VpcId=vpc)
    except ApiError as error:
        if error.code != "Gateway.NotAttached":
            raise
