"""The VPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Observed
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged

ATTRIBUTES = {"dns_support": "EnableDnsSupport", "dns_hostnames": "EnableDnsHostnames"}
"""Our fields and AWS's attributes, in the order in which they can be switched on."""


@dataclass(frozen=True, kw_only=True)
class Vpc(Tagged):
    """A VPC with one IPv4 block.

    The DNS attributes are not in DescribeVpcs and can be changed one a call only; private DNS names of interface
    endpoints need both (VPC user guide, "DNS attributes"). CreateVpc has no client token. The default security
    group, the main route table and the default network ACL come and go with the VPC.
    Outputs: `id`, `cidr`.
    """

    kind: ClassVar[str] = "vpc"
    immutable: ClassVar[frozenset[str]] = frozenset({"cidr"})
    listing: ClassVar[Listing] = Listing("describe_vpcs", "Vpcs", "VpcId", "vpc-id", "vpc")

    cidr: str
    dns_support: bool = True
    dns_hostnames: bool = True

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """The block, and the two attributes from a call each."""
        ec2, fields = aws.client("ec2"), {"cidr": raw["CidrBlock"]}
        for name, attribute in ATTRIBUTES.items():
            spelled = attribute[0].lower() + attribute[1:]
            answer = ec2.describe_vpc_attribute(VpcId=raw["VpcId"], Attribute=spelled)
            fields[name] = answer[attribute]["Value"]
        return fields

    @classmethod
    def seen_outputs(cls, raw: Raw) -> dict[str, Any]:
        """`cidr`."""
        return {"cidr": raw["CidrBlock"]}

    def create(self, aws: Session) -> str:
        """A new VPC has DNS support and no DNS hostnames; what differs from that is set after it."""
        made = aws.client("ec2").create_vpc(CidrBlock=self.cidr, TagSpecifications=self.tag_specifications(aws))
        id = self.settle(aws, str(made["Vpc"]["VpcId"]))
        if not self.dns_support:
            self._set(aws, id, "dns_support")
        if self.dns_hostnames:
            self._set(aws, id, "dns_hostnames")
        return id

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """One attribute a call."""
        super().update(aws, seen, changed)
        for name in ATTRIBUTES:
            if name in changed:
                self._set(aws, seen.id, name)

    def delete(self, aws: Session, id: str) -> None:
        """Refused while anything is left in it."""
        with aws.gone_is_fine():
            aws.client("ec2").delete_vpc(VpcId=id)

    def _set(self, aws: Session, id: str, name: str) -> None:
        value = {ATTRIBUTES[name]: {"Value": getattr(self, name)}}
        aws.client("ec2").modify_vpc_attribute(VpcId=id, **value)
