"""What EC2 refuses of security groups and their rules: names, texts, ports, protocols (API reference of each)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before

ALLOWED = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
LONGEST = 255
PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6")
HIGHEST_PORT = 65535
_TEXT = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*")

CHANGES = (
    "AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress", "UpdateSecurityGroupRuleDescriptionsIngress",
    "UpdateSecurityGroupRuleDescriptionsEgress",
)  # fmt: skip


@before("ec2", "CreateSecurityGroup")
def names_and_descriptions_are_plain_text(asked: Asked) -> None:
    """API reference of CreateSecurityGroup; the words on descriptions as AWS's users quote them."""
    name = asked.request.get("GroupName", "")
    if name == "default":
        raise AwsError("InvalidGroup.Reserved", "The name 'default' is reserved")  # the wording is not verified
    if name.startswith("sg-"):
        text = f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
        raise AwsError("InvalidParameterValue", text)
    for what, member in (("name", "GroupName"), ("description", "Description")):
        _check(f"security group {what}", asked.request.get(member, ""))


@before("ec2", *CHANGES)
def rules_can_be_read(asked: Asked) -> None:
    """API reference, IpPermission; the words on ports and protocols are not verified."""
    for permission in _permissions(asked):
        _check_ports(permission)
        for source in _sources(permission):
            _check("rule description", source.get("Description", ""))
            _check_block(source)


def _check(what: str, text: str) -> None:
    if len(text) > LONGEST or not _TEXT.fullmatch(text):
        raise AwsError(
            "InvalidParameterValue",
            f"Invalid {what}. Valid {what.split()[-1]}s are strings less than 256 characters from the following set:  "
            f"{ALLOWED}",
        )


def _check_ports(permission: dict[str, Any]) -> None:
    protocol, first, last = (permission.get(each) for each in ("IpProtocol", "FromPort", "ToPort"))
    if protocol is None or protocol == "-1":
        return
    if not protocol.isdigit() and protocol.lower() not in PROTOCOLS:
        raise AwsError("InvalidParameterValue", f"Invalid value '{protocol}' for IP protocol. Unknown protocol.")
    if protocol.lower() not in ("tcp", "udp", "6", "17") or first is None or last is None:
        return
    for port in (first, last):
        if not 0 <= port <= HIGHEST_PORT:
            raise AwsError("InvalidParameterValue", f"Invalid value '{port}' for portRange. TCP/UDP port out of range")
    if first > last:
        raise AwsError("InvalidParameterValue", f"Invalid TCP/UDP port range ({first}:{last})")


def _check_block(source: dict[str, Any]) -> None:
    for member, kind in (("CidrIp", ipaddress.IPv4Network), ("CidrIpv6", ipaddress.IPv6Network)):
        if (block := source.get(member)) is not None:
            try:
                kind(block, strict=False)
            except ValueError:
                raise AwsError("InvalidParameterValue", f"CIDR block {block} is malformed") from None


def _permissions(asked: Asked) -> Iterator[dict[str, Any]]:
    """Those of the list, and the one that is spelled out in the request's own members."""
    yield from asked.request.get("IpPermissions", ())
    yield asked.request


def _sources(permission: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for member in ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"):
        yield from permission.get(member, ())
    if "CidrIp" in permission:
        yield {"CidrIp": permission["CidrIp"]}
