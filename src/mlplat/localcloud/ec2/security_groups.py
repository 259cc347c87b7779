"""Security group rules as EC2 keeps them: a description tells rules apart nowhere, and is kept everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moto.ec2.models.security_groups import GroupedSecurityRuleView, SecurityGroup, SecurityGroupRule


def register() -> None:
    """Put this in the place of moto's, which forgets what was told of a prefix list."""
    SecurityGroupRule.__init__ = _with_description(SecurityGroupRule.__init__)
    SecurityGroupRule.__eq__ = _is_same_rule
    SecurityGroup._flattened_rules = lambda _group, rules: _folded(rules)


class ToldSecurityGroups:
    """UpdateSecurityGroupRuleDescriptions of rules that name prefix lists."""

    def _sg_update_description(self, security_rule: Any, rule: Any) -> None:
        super()._sg_update_description(security_rule, rule)  # type: ignore[misc]
        if rule.prefix_list_id and security_rule.prefix_list_description:
            rule.prefix_list_description = security_rule.prefix_list_description


def _with_description(original: Callable[..., None]) -> Callable[..., None]:
    def init(rule: Any, *args: Any, **kwargs: Any) -> None:
        original(rule, *args, **kwargs)
        prefix_list = args[7] if len(args) > 7 else kwargs.get("prefix_list_id")
        rule.prefix_list_description = (prefix_list or {}).get("Description")

    return init


def _is_same_rule(rule: SecurityGroupRule, other: object) -> bool:
    """A rule is there once, whatever it is said to be for: told otherwise, it is InvalidPermission.Duplicate."""
    return isinstance(other, SecurityGroupRule) and _identity(rule) == _identity(other)


def _identity(rule: SecurityGroupRule) -> tuple[Any, ...]:
    ports = () if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
    cidr = (rule.ip_range.get("CidrIp"), rule.ip_range.get("CidrIpv6"))
    return rule.ip_protocol, ports, cidr, rule.source_group.get("GroupId"), rule.prefix_list_id


def _folded(rules: Sequence[Any]) -> list[GroupedSecurityRuleView]:
    """The rules of one protocol and port range in one permission."""
    views: dict[tuple[Any, ...], GroupedSecurityRuleView] = {}
    for rule in rules:
        head = (rule.from_port, rule.to_port, rule.ip_protocol)
        view = views.setdefault(head, GroupedSecurityRuleView(*head))
        if rule.ip_range:
            view.all_ip_ranges.append(rule.ip_range)
        if rule.source_group:
            view.source_groups.append(rule.source_group)
        if rule.prefix_list_id:
            told = {"Description": rule.prefix_list_description} if rule.prefix_list_description else {}
            view.prefix_list_ids.append({"PrefixListId": rule.prefix_list_id, **told})
    return list(views.values())
