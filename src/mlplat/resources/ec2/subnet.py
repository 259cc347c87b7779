"""Subnets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Observed, Ref
from mlplat.resources.ec2.interfaces import wait_for_interfaces
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged


@dataclass(frozen=True, kw_only=True)
class Subnet(Tagged):
    """A subnet in one availability zone.

    CreateSubnet takes no client token and knows nothing of public addresses: MapPublicIpOnLaunch is set after it.
    Network interfaces that SageMaker and interface endpoints leave behind hold a subnet for minutes after their
    owners are gone (DependencyViolation).
    Outputs: `id`, `arn`, `zone`.
    """

    kind: ClassVar[str] = "subnet"
    immutable: ClassVar[frozenset[str]] = frozenset({"vpc", "cidr", "zone"})
    listing: ClassVar[Listing] = Listing("describe_subnets", "Subnets", "SubnetId", "subnet-id", "subnet")

    vpc: str | Ref
    cidr: str
    zone: str
    public_ip_on_launch: bool = False

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """All of it is in DescribeSubnets."""
        return {
            "vpc": raw["VpcId"],
            "cidr": raw["CidrBlock"],
            "zone": raw["AvailabilityZone"],
            "public_ip_on_launch": raw["MapPublicIpOnLaunch"],
        }

    @classmethod
    def seen_outputs(cls, raw: Raw) -> dict[str, Any]:
        """`arn` and `zone`."""
        return {"arn": raw["SubnetArn"], "zone": raw["AvailabilityZone"]}

    def create(self, aws: Session) -> str:
        """The subnet, then whether it gives out public addresses."""
        params = {"VpcId": self.vpc, "CidrBlock": self.cidr, "AvailabilityZone": self.zone}
        tags = self.tag_specifications(aws)
        made = aws.client("ec2").create_subnet(**params, TagSpecifications=tags)
        id = self.settle(aws, str(made["Subnet"]["SubnetId"]))
        if self.public_ip_on_launch:
            self._map_public_ip(aws, id)
        return id

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """MapPublicIpOnLaunch is all that can change."""
        super().update(aws, seen, changed)
        if "public_ip_on_launch" in changed:
            self._map_public_ip(aws, seen.id)

    def delete(self, aws: Session, id: str) -> None:
        """Wait for network interfaces that are still going away."""
        wait_for_interfaces(aws, "subnet-id", id)
        with aws.gone_is_fine():
            aws.client("ec2").delete_subnet(SubnetId=id)

    def _map_public_ip(self, aws: Session, id: str) -> None:
        value = {"Value": self.public_ip_on_launch}
        aws.client("ec2").modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch=value)
