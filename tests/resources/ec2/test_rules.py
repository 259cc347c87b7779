from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplat.resources.base import Ref
from mlplat.resources.ec2.rules import _permission, _rules, normal

HTTPS = {"protocol": "tcp", "from_port": 443, "to_port": 443}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"protocol": "all", "self": True}, {"protocol": "-1", "self": True}),
        ({"protocol": "-1", "from_port": 0, "to_port": 0, "group": "sg-1"}, {"protocol": "-1", "group": "sg-1"}),
        ({"protocol": "TCP", "from_port": 443, "cidr": "10.0.0.0/8"}, {**HTTPS, "cidr": "10.0.0.0/8"}),
        ({"protocol": "6", "from_port": 443, "cidr": "10.1.2.3/8"}, {**HTTPS, "cidr": "10.0.0.0/8"}),
        ({**HTTPS, "cidr": "2001:DB8:0::/32", "description": ""}, {**HTTPS, "cidr": "2001:db8::/32"}),
        ({**HTTPS, "prefix_list": "pl-1", "self": False}, {**HTTPS, "prefix_list": "pl-1"}),
        ({**HTTPS, "group": Ref("t.security_group.x", "id")}, {**HTTPS, "group": Ref("t.security_group.x", "id")}),
    ],
)
def test_a_rule_has_one_form(rule: dict[str, Any], expected: dict[str, Any]) -> None:
    assert normal([rule]) == [expected]


targets = st.one_of(
    st.builds(lambda n: {"cidr": f"10.{n}.0.0/16"}, st.integers(0, 255)),
    st.builds(lambda n: {"cidr": f"2001:db8:{n:x}::/48"}, st.integers(0, 9999)),
    st.sampled_from([{"group": "sg-a"}, {"group": "sg-b"}, {"self": True}, {"prefix_list": "com.amazonaws.r.s3"}]),
)
ports = st.integers(0, 65535).map(lambda port: {"from_port": port, "to_port": port})
heads = st.one_of(
    st.just({"protocol": "-1"}),
    st.builds(lambda name, span: {"protocol": name, **span}, st.sampled_from(["tcp", "udp"]), ports),
)
notes = st.sampled_from([{}, {"description": "why"}])
rules = st.builds(lambda head, target, note: {**head, **target, **note}, heads, targets, notes)


@given(st.lists(rules, max_size=8))
def test_normal_form_is_reached_once_and_knows_no_order(some: list[dict[str, Any]]) -> None:
    unlike = {str({**rule, "description": None}): rule for rule in some}
    assert normal(normal(some)) == normal(some)
    assert normal(reversed(list(unlike.values()))) == normal(unlike.values())


@given(rules)
def test_a_rule_survives_the_way_to_ec2_and_back(rule: dict[str, Any]) -> None:
    (clean,) = normal([rule])
    permission = _permission(clean, "sg-own", {"com.amazonaws.r.s3": "pl-9"})
    assert normal(_rules(permission, "sg-own", {"pl-9": "com.amazonaws.r.s3"})) == [clean]


def test_one_permission_of_ec2_unfolds_into_its_rules() -> None:
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "UserIdGroupPairs": [{"GroupId": "sg-own", "UserId": "1"}, {"GroupId": "sg-other", "Description": "why"}],
        "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        "Ipv6Ranges": [],
        "PrefixListIds": [{"PrefixListId": "pl-unknown"}],
    }
    assert list(_rules(permission, "sg-own", {})) == [
        {**HTTPS, "self": True},
        {**HTTPS, "group": "sg-other", "description": "why"},
        {**HTTPS, "cidr": "10.0.0.0/8"},
        {**HTTPS, "prefix_list": "pl-unknown"},
    ]
