"""Internet gateways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.errors import ApiError
from mlplat.resources.base import Ref
from mlplat.resources.ec2.tagged import FRESH, Listing, Raw, Tagged, release


@dataclass(frozen=True, kw_only=True)
class InternetGateway(Tagged):
    """An internet gateway attached to a VPC.

    Made and attached in two calls; one that was never attached counts as failed and is made again. Detaching is
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
        attached = _attached(raw)
        return {"vpc": attached[0]} if attached else {}

    @classmethod
    def failure(cls, raw: Raw) -> str | None:
        return None if _attached(raw) else "it is not attached to a VPC"

    def create(self, aws: Session) -> str:
        ec2 = aws.client("ec2")
        made = ec2.create_internet_gateway(TagSpecifications=self.tag_specifications(aws))
        id = str(made["InternetGateway"]["InternetGatewayId"])
        aws.patiently(lambda: ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=self.vpc), FRESH)
        return self.settle(aws, id)

    def delete(self, aws: Session, id: str) -> None:
        ec2 = aws.client("ec2")
        for raw in self.read(aws, {self.listing.id_filter: [id]}):
            for vpc in _attached(raw):
                _detach(aws, id, vpc)
        release(aws, lambda: ec2.delete_internet_gateway(InternetGatewayId=id), within=300.0)


def _attached(raw: Raw) -> list[str]:
    return [each["VpcId"] for each in raw.get("Attachments", ()) if each.get("State") not in ("detaching", "detached")]


def _detach(aws: Session, id: str, vpc: str) -> None:
    try:
        release(aws, lambda: aws.client("ec2").detach_internet_gateway(InternetGatewayId=id, VpcId=vpc))
    except ApiError as error:
        if error.code != "Gateway.NotAttached":
            raise
