"""Route tables, with their routes and subnet associations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.errors import ApiError
from mlplat.resources.base import Observed, Ref
from mlplat.resources.ec2.routes import TARGETS, destination_of, seen_routes
from mlplat.resources.ec2.tagged import Listing, Raw, Tagged, filter_list, repeatable


@dataclass(frozen=True, kw_only=True)
class RouteTable(Tagged):
    """A route table: exactly these routes, exactly these subnets.

    `routes` are `{destination, gateway}` or `{destination, nat_gateway}`; `subnets` are ids. Routes that AWS owns are
    left alone: the local one, and those that a gateway endpoint adds and takes away itself. RouteAlreadyExists means
    that the destination is taken: it is replaced. A subnet has one explicit association at a time
    (Resource.AlreadyAssociated): it is moved.
    Outputs: `id`.
    """

    kind: ClassVar[str] = "route_table"
    immutable: ClassVar[frozenset[str]] = frozenset({"vpc"})
    listing: ClassVar[Listing] = Listing(
        "describe_route_tables", "RouteTables", "RouteTableId", "route-table-id", "route-table"
    )

    vpc: str | Ref
    routes: Sequence[Mapping[str, str | Ref]] = ()
    subnets: Sequence[str | Ref] = ()

    @classmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """Routes that somebody made, and explicit associations."""
        return {"vpc": raw["VpcId"], "routes": seen_routes(raw), "subnets": sorted(_associations(raw))}

    def desired(self) -> dict[str, Any]:
        """Routes by destination, subnets in order."""
        return super().desired() | {
            "routes": sorted((dict(route) for route in self.routes), key=lambda route: str(route["destination"])),
            "subnets": sorted(self.subnets, key=str),
        }

    def create(self, aws: Session) -> str:
        """The table, its routes, its associations."""

        def send(token: str) -> Any:
            tags = self.tag_specifications(aws)
            return aws.client("ec2").create_route_table(VpcId=self.vpc, ClientToken=token, TagSpecifications=tags)

        made = repeatable(aws, send)
        id = self.settle(aws, str(made["RouteTable"]["RouteTableId"]))
        self._route(aws, id, {})
        self._associate(aws, id, {})
        return id

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Only what differs from what is there now."""
        super().update(aws, seen, changed)
        for raw in self.read(aws, {self.listing.id_filter: [seen.id]}) if changed & {"routes", "subnets"} else ():
            self._route(aws, seen.id, {route["destination"]: route for route in seen_routes(raw)})
            self._associate(aws, seen.id, _associations(raw))

    def delete(self, aws: Session, id: str) -> None:
        """Associations first: a table in use is not deleted."""
        for raw in self.read(aws, {self.listing.id_filter: [id]}):
            for association in _associations(raw).values():
                _disassociate(aws, association)
        with aws.gone_is_fine():
            aws.client("ec2").delete_route_table(RouteTableId=id)

    def _route(self, aws: Session, id: str, present: Mapping[str, Mapping[str, str]]) -> None:
        """Add and replace first, then take away: traffic that stays allowed is never cut."""
        wanted: dict[str, Any] = {str(route["destination"]): route for route in self.routes}
        for destination, route in wanted.items():
            if dict(route) != present.get(destination):
                _put_route(aws, id, route, replace=destination in present)
        for destination in present.keys() - wanted.keys():
            with aws.gone_is_fine():
                aws.client("ec2").delete_route(RouteTableId=id, **destination_of(destination))

    def _associate(self, aws: Session, id: str, present: Mapping[str, str]) -> None:
        for subnet in self.subnets:
            if subnet not in present:
                _put_association(aws, id, str(subnet))
        for subnet in present.keys() - set(self.subnets):
            _disassociate(aws, present[str(subnet)])


def _associations(raw: Raw) -> dict[str, str]:
    """Subnet -> association id, without the implicit one of a main table and those going away."""
    return {
        each["SubnetId"]: each["RouteTableAssociationId"]
        for each in raw.get("Associations", ())
        if each.get("SubnetId")
        and each.get("AssociationState", {}).get("State", "associated") in ("associated", "associating")
    }


def _put_route(aws: Session, id: str, route: Mapping[str, Any], *, replace: bool) -> None:
    target = {key: route[field] for field, key in TARGETS.items() if field in route}
    params = {"RouteTableId": id, **destination_of(str(route["destination"])), **target}
    ec2 = aws.client("ec2")
    try:
        (ec2.replace_route if replace else ec2.create_route)(**params)
    except ApiError as error:
        if error.code != "RouteAlreadyExists":
            raise
        ec2.replace_route(**params)


def _put_association(aws: Session, id: str, subnet: str) -> None:
    ec2 = aws.client("ec2")
    try:
        ec2.associate_route_table(RouteTableId=id, SubnetId=subnet)
    except ApiError as error:
        if error.code != "Resource.AlreadyAssociated":
            raise
        tables = ec2.pages(
            "describe_route_tables", "RouteTables", Filters=filter_list({"association.subnet-id": [subnet]})
        )
        for association in [_associations(table)[subnet] for table in tables]:
            ec2.replace_route_table_association(AssociationId=association, RouteTableId=id)


def _disassociate(aws: Session, association: str) -> None:
    with aws.gone_is_fine():
        aws.client("ec2").disassociate_route_table(AssociationId=association)
