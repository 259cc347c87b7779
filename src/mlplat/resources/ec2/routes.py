"""Routes: what AWS answers, in the form in which they are declared, `{destination, gateway | nat_gateway}`."""

from __future__ import annotations

from mlplat.resources.ec2.tagged import Raw

TARGETS = {"gateway": "GatewayId", "nat_gateway": "NatGatewayId"}


def seen_routes(raw: Raw) -> list[dict[str, str]]:
    """The routes that somebody made, by destination; one with a target we don't know shows as `target`."""
    routes = [_seen_route(each) for each in raw.get("Routes", ()) if not _is_aws_own(each)]
    return sorted(routes, key=lambda route: route["destination"])


def _seen_route(raw: Raw) -> dict[str, str]:
    destination = raw.get("DestinationCidrBlock") or raw.get("DestinationIpv6CidrBlock")
    route = {"destination": str(destination or raw.get("DestinationPrefixListId"))}
    for field, key in TARGETS.items():
        if raw.get(key):
            return route | {field: str(raw[key])}
    targets = [raw[key] for key in raw if key.endswith("Id") and key != "DestinationPrefixListId"]
    return route | {"target": str(targets[0]) if targets else "none"}


def _is_aws_own(raw: Raw) -> bool:
    if raw.get("Origin") in ("CreateRouteTable", "EnableVgwRoutePropagation") or raw.get("GatewayId") == "local":
        return True
    return str(raw.get("GatewayId", "")).startswith("vpce-")


def destination_of(destination: str) -> dict[str, str]:
    """The destination as EC2's calls take it: an IPv4 block, an IPv6 block or a prefix list."""
    if destination.startswith("pl-"):
        return {"DestinationPrefixListId": destination}
    return {"DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock": destination}
