"""VPC endpoints: private ways to AWS services."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list, tag_map
from mlplat.resources.base import Observed, Ref
from mlplat.resources.ec2.services import by_zone, full_name, short_name
from mlplat.resources.ec2.tagged import (
    Listing,
    Raw,
    Tagged,
    repeatable,
    unsuccessful,
)
from mlplat.resources.policy import Document, canonical

UNSERVED = "mlplat:unserved-subnets"
"""Tag: the declared subnets whose zone the service isn't offered in, so that they don't show as missing."""

FAILED = frozenset({"failed", "rejected", "expired"})
SETTINGS = ("private_dns", "policy")
LISTS = {"route_tables": "RouteTableIds", "subnets": "SubnetIds", "security_groups": "SecurityGroupIds"}


@dataclass(frozen=True, kw_only=True)
class VpcEndpoint(Tagged):
    """A gateway endpoint (S3: free, in route tables) or an interface endpoint (an address in each subnet).

    `service` is short: "s3", "sagemaker.api" (com.amazonaws.REGION.sagemaker.api), "sagemaker.notebook",
    "sagemaker.studio", "sagemaker.experiments" (aws.sagemaker.REGION.notebook). A service is not offered in every
    zone, and a subnet in another is refused: those are left out, after asking DescribeVpcEndpointServices. Pending and
    deleting take minutes; private DNS needs both DNS attributes of the VPC; DeleteVpcEndpoints answers 200 and lists
    what failed.
    Outputs: `id`.
    """

    kind: ClassVar[str] = "vpc_endpoint"
    immutable: ClassVar[frozenset[str]] = frozenset({"vpc", "service", "type"})
    holds: ClassVar[frozenset[str]] = frozenset({"subnets", "security_groups"})
    listing: ClassVar[Listing] = Listing(
        "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", "vpc-endpoint-id", "vpc-endpoint"
    )

    vpc: str | Ref
    service: str
    type: str = "interface"
    route_tables: Sequence[str | Ref] | None = None
    subnets: Sequence[str | Ref] | None = None
    security_groups: Sequence[str | Ref] | None = None
    private_dns: bool | None = None
    policy: Document | None = None

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """Subnets left out for their zone count as there."""
        present, unserved = _present(raw), tag_map(raw.get("Tags")).get(UNSERVED, "").split()
        return {
            "vpc": raw["VpcId"],
            "service": short_name(raw["ServiceName"]),
            "type": raw["VpcEndpointType"].lower(),
            **present,
            "subnets": sorted({*present["subnets"], *unserved}),
            "private_dns": raw.get("PrivateDnsEnabled", False),
            "policy": canonical(json.loads(raw["PolicyDocument"])) if raw.get("PolicyDocument") else None,
        }

    @classmethod
    def failure(cls, raw: Raw) -> str | None:
        """The error of an endpoint that was rejected, expired or failed."""
        if raw["State"].lower() not in FAILED:
            return None
        return str(raw.get("LastError", {}).get("Message") or raw.get("FailureReason") or raw["State"])

    def desired(self) -> dict[str, Any]:
        """Sets in order, the service by its short name, the policy in one form."""
        declared = super().desired()
        lists = {name: sorted(declared[name], key=str) for name in LISTS if name in declared}
        policy = {"policy": canonical(self.policy)} if self.policy is not None else {}
        return declared | lists | policy | {"service": short_name(self.service)}

    def create(self, aws: Session) -> str:
        """In the zones where the service is offered."""
        params: dict[str, Any] = {"VpcId": self.vpc, "ServiceName": full_name(self.service, aws.region)}
        params |= {"VpcEndpointType": self.type.capitalize(), "TagSpecifications": self.tag_specifications(aws)}
        if self.subnets is not None:
            params["SubnetIds"], unserved = by_zone(aws, self.service, self.subnets)
            params["TagSpecifications"][0]["Tags"] += _tag(unserved)
        params |= {LISTS[name]: list(getattr(self, name) or ()) for name in ("route_tables", "security_groups")}
        params = {key: value for key, value in params.items() if value} | self._settings(frozenset(SETTINGS))
        made = repeatable(aws, lambda token: aws.client("ec2").create_vpc_endpoint(ClientToken=token, **params))
        return self.settle(aws, str(made["VpcEndpoint"]["VpcEndpointId"]))

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Add and remove what differs from what is there now, in one call."""
        super().update(aws, seen, changed)
        params = self._settings(changed)
        wanted = {name: list(getattr(self, name)) for name in LISTS if name in changed}
        if "subnets" in changed:
            wanted["subnets"], unserved = by_zone(aws, self.service, self.subnets or ())
            aws.client("ec2").create_tags(Resources=[seen.id], Tags=_tag(unserved))
        for raw in self.read(aws, {self.listing.id_filter: [seen.id]}) if wanted else ():
            for name, ids in wanted.items():
                present = _present(raw)[name]
                params[f"Add{LISTS[name]}"] = [id for id in ids if id not in present]
                params[f"Remove{LISTS[name]}"] = [id for id in present if id not in ids]
        if params := {key: value for key, value in params.items() if value != []}:
            aws.client("ec2").modify_vpc_endpoint(VpcEndpointId=seen.id, **params)
            self.read(aws, {self.listing.id_filter: [seen.id]})

    def delete(self, aws: Session, id: str) -> None:
        """Wait until it reads deleted: its network interfaces hold subnets and groups."""
        with aws.gone_is_fine():
            unsuccessful(aws.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[id]), "delete_vpc_endpoints")
        self.read(aws, {self.listing.id_filter: [id]})

    def _settings(self, changed: frozenset[str]) -> dict[str, Any]:
        params: dict[str, Any] = {}
        if "private_dns" in changed and self.private_dns is not None:
            params["PrivateDnsEnabled"] = self.private_dns
        if "policy" in changed and self.policy is not None:
            params["PolicyDocument"] = json.dumps(self.policy)
        return params


def _present(raw: Raw) -> dict[str, list[str]]:
    return {
        "route_tables": sorted(raw.get("RouteTableIds", ())),
        "subnets": sorted(raw.get("SubnetIds", ())),
        "security_groups": sorted(group["GroupId"] for group in raw.get("Groups", ())),
    }


def _tag(unserved: list[str]) -> list[dict[str, str]]:
    return tag_list({UNSERVED: " ".join(unserved)})
