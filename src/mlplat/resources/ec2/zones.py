"""Availability zones: the ones that a platform can be laid out over."""

from __future__ import annotations

from mlplat.aws import Session
from mlplat.errors import UsageError


def zones(aws: Session, count: int) -> tuple[str, ...]:
    """The first `count` zone names of the region, in the order of their names, which an account never sees change.

    Local and wavelength zones and zones that the account has not opted in to are left out.
    """
    answer = aws.client("ec2").describe_availability_zones()
    usable = sorted(
        each["ZoneName"]
        for each in answer["AvailabilityZones"]
        if each["State"] == "available"
        and each.get("ZoneType", "availability-zone") == "availability-zone"
        and each.get("OptInStatus", "opt-in-not-required") in ("opt-in-not-required", "opted-in")
    )
    if len(usable) < count:
        raise UsageError(
            f"network.zones is {count}, but {aws.region} has {len(usable)} availability zones for this account",
            hint=f"aws ec2 describe-availability-zones --region {aws.region}",
        )
    return tuple(usable[:count])
