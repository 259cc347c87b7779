"""Who asks: users, and sessions of roles, with what their policies can speak of and what limits them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlplat.localcloud import iam
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.conditions import Context
from mlplat.localcloud.policies import Document

BOUNDARY, SESSION = "permissions boundary", "session policy"
"""What AWS calls the policies that limit and give nothing (user guide, "Policy evaluation logic")."""


@dataclass(frozen=True)
class Caller:
    """`arn` as AWS calls it, `principal` whose policies count, `limits` by what they are."""

    arn: str
    principal: str
    context: Context
    limits: Mapping[str, Mapping[str, Document]] = field(default_factory=dict)

    @property
    def is_session(self) -> bool:
        """Whether it acts as a role."""
        return self.arn != self.principal


def of(access_key: str | None, cloud: Cloud) -> Caller | None:
    """The session or user that the key is of; None for the local cloud's own key, which may do everything."""
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    if access_key is None or access_key == cloud.host.access_key:
        return None
    session = sts_backends[cloud.account][cloud.partition].get_assumed_role_from_access_key(access_key)
    if session is not None:
        return _session(session, cloud)
    for user in list(iam_backends[cloud.account][cloud.partition].users.values()):
        if any(each.access_key_id == access_key for each in user.access_keys):
            told = {"aws:principaltype": ["User"], "aws:userid": [user.id], "aws:username": [user.name]}
            return Caller(user.arn, user.arn, {**told, **_tags(_as_map(user.tags))})
    return None


def _session(session: Any, cloud: Cloud) -> Caller:
    from moto.iam.models import iam_backends

    backend = iam_backends[cloud.account][cloud.partition]
    role = next((each for each in list(backend.roles.values()) if each.arn == session.role_arn), None)
    tags = {**_as_map(getattr(role, "tags", ())), **getattr(session, "session_tags", {})}
    told = {"aws:principaltype": ["AssumedRole"], "aws:userid": [session.user_id], **_tags(tags)}
    limits: dict[str, Mapping[str, Document]] = {}
    if (boundary := iam.boundary(cloud, session.role_arn)) is not None:
        limits[BOUNDARY] = boundary
    given = getattr(session, "session_policies", {})
    if session.policy:
        given = {**given, "Policy": json.loads(session.policy)}
    if given:
        limits[SESSION] = given
    return Caller(session.arn, session.role_arn, told, limits)


def _as_map(tags: Any) -> dict[str, str]:
    """Tags as moto keeps them: of roles a map or a list, by the way they were set."""
    if isinstance(tags, Mapping):
        return {key: each["Value"] if isinstance(each, Mapping) else each for key, each in tags.items()}
    return {each["Key"]: each["Value"] for each in tags or ()}


def _tags(tags: Mapping[str, str]) -> dict[str, list[str]]:
    return {f"aws:principaltag/{key}".lower(): [value] for key, value in tags.items()}
