"""A VPC's default security group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Observed, Ref
from mlplat.resources.ec2.rules import bring, observed
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged


@dataclass(frozen=True, kw_only=True)
class DefaultSecurityGroup(Tagged):
    """The group that AWS makes with every VPC, emptied of its rules (Security Hub control EC2.2).

    It can be neither made nor deleted: `create` takes the one that is there and tags it, `delete` only gives up the
    tags and leaves it empty, and it goes with its VPC. Without our tags it counts as not there.
    Outputs: `id`.
    """

    kind: ClassVar[str] = "default_security_group"
    immutable: ClassVar[frozenset[str]] = frozenset({"vpc"})
    listing: ClassVar[Listing] = Listing(
        "describe_security_groups", "SecurityGroups", "GroupId", "group-id", "security-group"
    )

    vpc: str | Ref

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """Its rules show as changes."""
        return {"vpc": raw["VpcId"], **observed(aws, raw)}

    def desired(self) -> dict[str, Any]:
        """No rules."""
        return super().desired() | {"ingress": [], "egress": []}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """By tags alone: taken over is what carries them."""
        return super().describe(aws)

    @classmethod
    def prefetch(cls, aws: Session, ids: Mapping[str, str | None]) -> Mapping[str, Observed | None]:
        """By tags alone, too."""
        return super().prefetch(aws, dict.fromkeys(ids))

    def create(self, aws: Session) -> str:
        """Take the one that came with the VPC, and empty it."""
        by = {"vpc-id": [str(self.vpc)], "group-name": ["default"]}
        groups = aws.wait(f"default group of {self.vpc}", lambda: self.read(aws, by), bool, within=120.0, every=2.0)
        id = str(groups[0]["GroupId"])
        aws.patiently(lambda: aws.client("ec2").create_tags(Resources=[id], Tags=self.all_tags(aws)))
        self._empty(aws, groups[0])
        return id

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Empty it again."""
        super().update(aws, seen, changed)
        for raw in self.read(aws, {self.listing.id_filter: [seen.id]}):
            self._empty(aws, raw)

    def delete(self, aws: Session, id: str) -> None:
        """Give up the tags; AWS deletes the group with its VPC."""
        with aws.gone_is_fine():
            aws.client("ec2").delete_tags(Resources=[id], Tags=[{"Key": tag["Key"]} for tag in self.all_tags(aws)])

    def _empty(self, aws: Session, raw: Raw) -> None:
        for direction, rules in observed(aws, raw).items():
            bring(aws, raw["GroupId"], direction, (), rules)
