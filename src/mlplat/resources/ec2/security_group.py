"""Security groups, with their rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.errors import MlplatError
from mlplat.resources.base import Observed, Ref
from mlplat.resources.ec2.interfaces import wait_for_interfaces
from mlplat.resources.ec2.rules import bring, normal, observed
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged

REFERRING = {"ingress": "ip-permission.group-id", "egress": "egress.ip-permission.group-id"}


@dataclass(frozen=True, kw_only=True)
class SecurityGroup(Tagged):
    """A security group: exactly these rules.

    A rule is `{protocol, from_port, to_port, cidr | group | prefix_list | self, description}` (see rules.py).
    A new group lets everything out; that rule goes unless it is declared. Name and description can't be changed;
    another description is no reason to take the group away from all that uses it, so it is not compared.
    Deleting is refused (DependencyViolation, "has a dependent object") while another group's rules refer to it and
    while network interfaces are in it; those of endpoints and SageMaker jobs outlive their owners by minutes
    (terraform-provider-aws#34397, #26090).
    Outputs: `id`.
    """

    kind: ClassVar[str] = "security_group"
    immutable: ClassVar[frozenset[str]] = frozenset({"name", "vpc"})
    create_only: ClassVar[frozenset[str]] = frozenset({"description"})
    listing: ClassVar[Listing] = Listing(
        "describe_security_groups", "SecurityGroups", "GroupId", "group-id", "security-group"
    )

    vpc: str | Ref
    description: str
    ingress: Sequence[Mapping[str, Any]] = ()
    egress: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """The rules in normal form."""
        rules = observed(aws, raw)
        return {"name": raw["GroupName"], "vpc": raw["VpcId"], "description": raw["Description"], **rules}

    def desired(self) -> dict[str, Any]:
        """The rules in normal form."""
        return super().desired() | {"ingress": normal(self.ingress), "egress": normal(self.egress)}

    def create(self, aws: Session) -> str:
        """The group, then exactly its rules."""
        params = {"GroupName": self.name, "Description": self.description, "VpcId": self.vpc}
        tags = self.tag_specifications(aws)
        made = aws.client("ec2").create_security_group(**params, TagSpecifications=tags)
        id = self.settle(aws, str(made["GroupId"]))
        self._bring_rules(aws, id)
        return id

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Rules and tags; nothing else can change."""
        super().update(aws, seen, changed)
        if changed & {"ingress", "egress"}:
            self._bring_rules(aws, seen.id)

    def delete(self, aws: Session, id: str) -> None:
        """Take it out of the rules of our other groups, wait for its interfaces, delete."""
        for direction, by in REFERRING.items():
            for raw in self.read(aws, {by: [id]}):
                _forget(aws, raw, direction, id)
        wait_for_interfaces(aws, "group-id", id)
        with aws.gone_is_fine():
            aws.client("ec2").delete_security_group(GroupId=id)

    def _bring_rules(self, aws: Session, id: str) -> None:
        for raw in self.read(aws, {self.listing.id_filter: [id]}):
            present = observed(aws, raw)
            bring(aws, id, "ingress", self.ingress, present["ingress"])
            bring(aws, id, "egress", self.egress, present["egress"])


def _forget(aws: Session, other: Raw, direction: str, id: str) -> None:
    """Take the rules that refer to `id` out of another group of ours; somebody else's is not touched."""
    if other["GroupId"] == id:
        return
    if {"Key": "mlplat:namespace", "Value": aws.namespace} not in other.get("Tags", ()):
        raise MlplatError(
            f"deleting security_group {id}: rules of {other['GroupId']} refer to it, and that group isn't ours",
            hint=f"aws ec2 describe-security-groups --group-ids {other['GroupId']}",
        )
    rules = observed(aws, other)[direction]
    bring(aws, other["GroupId"], direction, [rule for rule in rules if rule.get("group") != id], rules)
