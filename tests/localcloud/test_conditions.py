"""Statements read as IAM reads them: variables, wildcards, dates, addresses, and keys that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from mlplat.localcloud import policies

CONTEXT = {
    "aws:username": ["ann"],
    "aws:principaltag/team": ["churn*"],
    "aws:currenttime": ["2026-11-23T10:00:00Z"],
    "aws:sourceip": ["10.1.2.3"],
    "aws:tagkeys": ["a", "b"],
    "s3:max-keys": ["10"],
}


def decided(resource: str = "*", asked: str = "arn:aws:s3:::b/ann/x", version: str = "2012-10-17", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": "s3:Get*", "Resource": resource, **more}
    return policies.decide({"p": {"Version": version, "Statement": statement}}, "s3:getobject", asked, CONTEXT).outcome


@pytest.mark.parametrize(
    ("resource", "asked", "outcome"),
    [
        ("arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/ann/x", "allowed"),
        ("arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/bob/x", "implicitDeny"),
        ("arn:aws:s3:::b/${aws:PrincipalTag/team}", "arn:aws:s3:::b/churn*", "allowed"),
        ("arn:aws:s3:::b/${aws:PrincipalTag/team}", "arn:aws:s3:::b/churning", "implicitDeny"),
        ("arn:aws:s3:::b/${aws:PrincipalTag/none}/*", "arn:aws:s3:::b//x", "implicitDeny"),
        ("arn:aws:s3:::b/${aws:PrincipalTag/none, 'all'}/*", "arn:aws:s3:::b/all/x", "allowed"),
        ("arn:aws:s3:::b/${aws:TagKeys}/*", "arn:aws:s3:::b/a/x", "implicitDeny"),
        ("arn:aws:s3:::b/${*}", "arn:aws:s3:::b/*", "allowed"),
        ("arn:aws:s3:::b/${*}", "arn:aws:s3:::b/x", "implicitDeny"),
    ],
)
def test_variables_in_resources(resource: str, asked: str, outcome: str) -> None:
    assert decided(resource, asked) == outcome


def test_the_older_version_has_no_variables() -> None:
    assert decided("arn:aws:s3:::b/${aws:username}/*", version="2008-10-17") == "implicitDeny"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"StringEquals": {"aws:username": "${aws:username}"}}, True),
        ({"StringLike": {"aws:username": "${aws:PrincipalTag/none}"}}, False),
        ({"StringNotLike": {"aws:username": "a*"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2026-11-23T11:00:00+00:00"}}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "1795428000"}}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "soon"}}, False),
        ({"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.0.0.0/8"]}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}, False),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, True),
        ({"NumericNotEquals": {"s3:max-keys": "10"}}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b", "c"]}}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["c"]}}, False),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, False),
        ({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}, True),
        ({"Null": {"aws:PrincipalOrgID": "true"}}, True),
        ({"NoSuchOperator": {"aws:username": "ann"}}, False),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    assert decided(Condition=condition) == ("allowed" if holds else "implicitDeny")
