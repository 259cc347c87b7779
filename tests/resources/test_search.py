"""What a namespace owns: every kind is found by its tags alone, and can be described with nothing known of it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

import mlplat.resources
from mlplat.errors import ApiError
from mlplat.resources import Alarm, Bucket, Dashboard, LogGroup, Role, Topic, Vpc
from mlplat.resources.base import KINDS
from mlplat.resources.search import blank, disown, owned

assert mlplat.resources
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}

METRIC = {"namespace": "N", "name": "Errors", "dimensions": {}, "statistic": "Sum"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_can_be_looked_for_with_nothing_known_of_it(cloud: Any, kind: str) -> None:
    ids = {"vpc": "vpc-0123456789abcdef0", "kms_key": str(uuid.uuid4()), "bucket_object": "absent-bucket/key"}
    aws = cloud.session(f"search-{uuid.uuid4().hex[:6]}").at(f"t.{kind}.x")
    id = ids.get(kind, f"absent-{uuid.uuid4().hex[:6]}")
    assert blank(kind, id).describe(aws, id) is None


def test_found_by_tags_and_let_go(cloud: Any) -> None:
    namespace = f"search-{uuid.uuid4().hex[:6]}"
    session = cloud.session(namespace)
    made = {
        "t.vpc.main": Vpc(name="x", cidr="10.8.0.0/16"),
        "t.bucket.raw": Bucket(name=f"mlplat-{namespace}-raw"),
        "t.log_group.jobs": LogGroup(name=f"/a/b/{namespace}"),
        "t.role.work": Role(name=f"mlplat-{namespace}-work-us-east-1", trust=TRUST),
        "t.topic.alarms": Topic(name=f"mlplat-{namespace}-alarms"),
        "t.alarm.errors": Alarm(name=f"mlplat-{namespace}-errors", metrics=[METRIC], threshold=1.0),
        "t.dashboard.all": Dashboard(name=f"mlplat-{namespace}-all-us-east-1", widgets=[]),
    }
    ids = {address: resource.create(session.at(address)) for address, resource in made.items()}
    there = owned(session)
    assert {each.address: (each.kind, each.id) for each in there} == {
        address: (address.split(".")[1], id) for address, id in ids.items()
    }
    for each in there:
        seen = blank(each.kind, each.id).describe(session.at(each.address), each.id)
        assert seen is not None
        assert seen.id == each.id
    assert owned(cloud.session(f"{namespace}-2")) == []
    disown(session, [each.arn for each in there])
    assert owned(session) == []
    with pytest.raises(ApiError, match="does not exist"):
        disown(session, ["arn:aws:ec2:us-east-1:123456789012:vpc/vpc-0absent"])


def test_a_role_of_another_region_is_another_platforms(cloud: Any) -> None:
    namespace = f"search-{uuid.uuid4().hex[:6]}"
    Role(name=f"mlplat-{namespace}-work-us-east-1", trust=TRUST).create(cloud.session(namespace).at("t.role.work"))
    assert owned(cloud.session(namespace, region="eu-west-1")) == []
