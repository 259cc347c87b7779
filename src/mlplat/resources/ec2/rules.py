"""Security group rules: one normal form for what is declared and what AWS answers, and the way from one to the other.

A rule is `{protocol, from_port, to_port, cidr | group | prefix_list | self, description}`: protocol `-1` means all
and has no ports, `self` is true, `prefix_list` is a name (`com.amazonaws.us-east-1.s3`), `description` is optional.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from mlplat.aws import Session
from mlplat.errors import ApiError, MlplatError
from mlplat.resources.ec2.tagged import Raw, filter_list

Rule = Mapping[str, Any]

PROTOCOLS = {"all": "-1", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
"""AWS answers these four by name whichever way they were given (API reference, IpPermission)."""

DIRECTIONS = {"ingress": "IpPermissions", "egress": "IpPermissionsEgress"}


def normal(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The same rules in one form and order, each once."""
    by_key = {_key(rule): rule for rule in map(_normal_rule, rules)}
    return [by_key[key] for key in sorted(by_key)]


def observed(aws: Session, group: Raw) -> dict[str, list[dict[str, Any]]]:
    """`ingress` and `egress` of a group as AWS describes it, in normal form."""
    names = _prefix_list_names(aws, group)
    return {
        direction: normal(
            rule for permission in group.get(key, ()) for rule in _rules(permission, group["GroupId"], names)
        )
        for direction, key in DIRECTIONS.items()
    }


def bring(aws: Session, group: str, direction: str, wanted: Iterable[Rule], present: Iterable[Rule]) -> None:
    """Make `wanted` the exact set: add first, then take away, so that what stays allowed is never cut."""
    want, have = ({_key(rule): rule for rule in normal(rules)} for rules in (wanted, present))
    new = [want[key] for key in want if key not in have]
    old = [have[key] for key in have if key not in want]
    told = [want[key] for key in want if key in have and want[key] != have[key]]
    ids = _prefix_list_ids(aws, [*new, *old, *told])
    ec2 = aws.client("ec2")
    for verb, rules in (("authorize", new), ("revoke", old)):
        call = getattr(ec2, f"{verb}_security_group_{direction}")
        _each(aws, call, group, [_permission(rule, group, ids) for rule in rules])
    if told:  # authorizing a rule again with another description is refused as a duplicate
        call = getattr(ec2, f"update_security_group_rule_descriptions_{direction}")
        call(GroupId=group, IpPermissions=[_permission(rule, group, ids) for rule in told])


def _each(aws: Session, call: Callable[..., Any], group: str, permissions: Sequence[Raw]) -> None:
    """All in one call; if one of them is there (or gone) already AWS refuses them all, and they go one by one."""
    if not permissions:
        return
    try:
        call(GroupId=group, IpPermissions=permissions)
    except ApiError as error:
        if error.code not in ("InvalidPermission.Duplicate", "InvalidPermission.NotFound"):
            raise
        for permission in permissions if len(permissions) > 1 else ():
            _each(aws, call, group, [permission])


def _key(rule: Rule) -> tuple[tuple[str, str], ...]:
    """What makes a rule this rule: all of it but the description."""
    return tuple(sorted((name, str(value)) for name, value in rule.items() if name != "description"))


def _normal_rule(rule: Rule) -> dict[str, Any]:
    protocol = str(rule.get("protocol", "tcp")).lower()
    clean: dict[str, Any] = {"protocol": PROTOCOLS.get(protocol, protocol)}
    if clean["protocol"] != "-1":
        clean |= {"from_port": rule["from_port"], "to_port": rule.get("to_port", rule["from_port"])}
    if isinstance(cidr := rule.get("cidr"), str):
        clean["cidr"] = str(ipaddress.ip_network(cidr, strict=False))
    rest = ("group", "prefix_list", "self", "description") + (() if "cidr" in clean else ("cidr",))
    return clean | {name: rule[name] for name in rest if rule.get(name)}


def _permission(rule: Rule, group: str, prefix_list_ids: Mapping[str, str]) -> dict[str, Any]:
    """A rule in normal form as EC2's calls take it."""
    ports = {"FromPort": rule["from_port"], "ToPort": rule["to_port"]} if "from_port" in rule else {}
    told = {"Description": rule["description"]} if "description" in rule else {}
    return {"IpProtocol": rule["protocol"], **ports, **_target(rule, group, prefix_list_ids, told)}


def _target(rule: Rule, group: str, prefix_list_ids: Mapping[str, str], told: Rule) -> dict[str, Any]:
    if "cidr" in rule:
        six = ":" in rule["cidr"]
        return {"Ipv6Ranges" if six else "IpRanges": [{"CidrIpv6" if six else "CidrIp": rule["cidr"], **told}]}
    if "prefix_list" in rule:
        return {"PrefixListIds": [{"PrefixListId": prefix_list_ids[rule["prefix_list"]], **told}]}
    return {"UserIdGroupPairs": [{"GroupId": group if rule.get("self") else rule["group"], **told}]}


def _rules(permission: Raw, group: str, prefix_list_names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """EC2 folds all rules of one protocol and port range into one permission; this unfolds them."""
    base: dict[str, Any] = {"protocol": permission["IpProtocol"]}
    if permission["IpProtocol"] != "-1":
        base |= {"from_port": permission.get("FromPort", -1), "to_port": permission.get("ToPort", -1)}
    for pair in permission.get("UserIdGroupPairs", ()):
        target = {"self": True} if pair.get("GroupId") == group else {"group": pair.get("GroupId")}
        yield base | target | _description(pair)
    for each in permission.get("IpRanges", ()):
        yield base | {"cidr": each["CidrIp"]} | _description(each)
    for each in permission.get("Ipv6Ranges", ()):
        yield base | {"cidr": each["CidrIpv6"]} | _description(each)
    for each in permission.get("PrefixListIds", ()):
        id = each["PrefixListId"]
        yield base | {"prefix_list": prefix_list_names.get(id, id)} | _description(each)


def _description(raw: Raw) -> dict[str, str]:
    return {"description": raw["Description"]} if raw.get("Description") else {}


def _prefix_list_names(aws: Session, group: Raw) -> dict[str, str]:
    permissions = [permission for key in DIRECTIONS.values() for permission in group.get(key, ())]
    ids = {each["PrefixListId"] for permission in permissions for each in permission.get("PrefixListIds", ())}
    return {id: name for name, id in _prefix_lists(aws, "prefix-list-id", ids).items()}


def _prefix_list_ids(aws: Session, rules: Iterable[Rule]) -> dict[str, str]:
    names = {rule["prefix_list"] for rule in rules if "prefix_list" in rule}
    by_id = {name: name for name in names if name.startswith("pl-")}
    found = _prefix_lists(aws, "prefix-list-name", names - by_id.keys()) | by_id
    if missing := names - found.keys():
        raise MlplatError(
            f"looking for prefix list {', '.join(sorted(missing))}: there is none in {aws.region}",
            hint=f"aws ec2 describe-managed-prefix-lists --region {aws.region}",
        )
    return found


def _prefix_lists(aws: Session, by: str, values: Collection[str]) -> dict[str, str]:
    """Name -> id, AWS's own lists among them."""
    if not values:
        return {}
    lists = aws.client("ec2").pages(
        "describe_managed_prefix_lists", "PrefixLists", Filters=filter_list({by: sorted(values)})
    )
    return {each["PrefixListName"]: each["PrefixListId"] for each in lists}
