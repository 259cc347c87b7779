"""The decision: a request of a role's session, or of a user, is answered only when the policies allow it.

IAM user guide, "Policy evaluation logic", for one account: an explicit Deny wins, in the caller's policies or in the
resource's; then one Allow is enough, in either. A KMS key must allow by its own policy, or leave it to IAM.
Left out: permission boundaries, session policies, organisations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud import iam, kms, policies
from mlplat.localcloud.access import needs
from mlplat.localcloud.access.needs import ANY, Need
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.policies import Context, Document
from mlplat.localcloud.routing import Route


@dataclass(frozen=True)
class Caller:
    """Who asks: `arn` as AWS calls it, `principal` whose policies count."""

    arn: str
    principal: str


def check(route: Route, cloud: Cloud) -> None:
    """Raise the service's AccessDenied unless the caller is allowed all that the request needs."""
    caller = caller_of(route, cloud)
    if caller is None or route.operation is None:
        return
    own = iam.documents(cloud, caller.principal)
    for need in needs.of(route, cloud):
        if why := refusal(own, need, caller, cloud):
            raise denied(route, caller, need, why)


def caller_of(route: Route, cloud: Cloud) -> Caller | None:
    """The session or user that the access key is of; None for the local cloud's own key, which may do everything."""
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    key = route.access_key
    if key == cloud.host.access_key:
        return None
    session = sts_backends[cloud.account][cloud.partition].get_assumed_role_from_access_key(key)
    if session is not None:
        return Caller(session.arn, session.role_arn)
    for user in list(iam_backends[cloud.account][cloud.partition].users.values()):
        if any(each.access_key_id == key for each in user.access_keys):
            return Caller(user.arn, user.arn)
    return None


def refusal(own: Mapping[str, Document], need: Need, caller: Caller, cloud: Cloud) -> str | None:
    """Why the need is refused, in AWS's words; None when it is allowed."""
    context = _context(need, caller, cloud)
    if need.resources == (ANY,):
        return None if _somewhere(own, need.action) else _nobody_allows(need.action)
    outcomes = [policies.decide(own, need.action, each, context).outcome for each in need.resources]
    if "explicitDeny" in outcomes:
        return "with an explicit deny in an identity-based policy"
    of_resource = _of_resource(need, caller, context, cloud)
    if of_resource == "explicitDeny":
        return "with an explicit deny in a resource-based policy"
    if need.action.startswith("kms:") and of_resource == "implicitDeny":
        return f"because no resource-based policy allows the {need.action} action"
    if "allowed" in outcomes or of_resource == "allowed":
        return None
    return _nobody_allows(need.action)


def denied(route: Route, caller: Caller, need: Need, why: str) -> AwsError:
    """In the service's own shape."""
    resource = "" if need.resources == (ANY,) else f" on resource: {_quoted(route, need.resources[0])}"
    text = f"User: {caller.arn} is not authorized to perform: {need.action}{resource} {why}"
    protocol = route.operation.service_model.protocol
    if route.service == "ec2":
        return AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {text}", 403)
    if route.service == "s3" or protocol == "query":
        return AwsError("AccessDenied", text, 403)
    return AwsError("AccessDeniedException", text, 403 if protocol == "rest-json" else 400)


def _quoted(route: Route, resource: str) -> str:
    return f'"{resource}"' if route.service == "s3" else resource


def _nobody_allows(action: str) -> str:
    return f"because no identity-based policy allows the {action} action"


def _context(need: Need, caller: Caller, cloud: Cloud) -> Context:
    """Condition keys of the request. It never leaves this machine, which is as good as TLS."""
    return {
        "aws:securetransport": ["true"],
        "aws:principalarn": [caller.principal],
        "aws:principalaccount": [cloud.account],
        "aws:resourceaccount": [cloud.account],
        "aws:requestedregion": [cloud.region],
        **need.context,
    }


def _somewhere(own: Mapping[str, Document], action: str) -> bool:
    """Whether the action is allowed on any resource at all."""
    for document in own.values():
        for statement in policies.listed(document.get("Statement")):
            resources = policies.listed(statement.get("Resource")) or ["*"]
            if statement.get("Effect") == "Allow" and any(
                policies.concerns(statement, action, each) for each in resources
            ):
                return True
    return False


def _of_resource(need: Need, caller: Caller, context: Context, cloud: Cloud) -> str | None:
    """What the resource's own policy says; None when it has none. A key's that trusts the account leaves it to IAM."""
    document = _policy(need, cloud)
    if document is None:
        return None
    statements = [
        each
        for each in policies.listed(document.get("Statement"))
        if _is_about(each, caller, cloud, root=need.action.startswith("kms:"))
    ]
    decided = policies.decide({"policy": {"Statement": statements}}, need.action, need.resources[0], context).outcome
    if decided == "allowed" and need.action.startswith("kms:"):
        direct = [each for each in statements if _is_about(each, caller, cloud, root=False)]
        by_itself = policies.decide({"policy": {"Statement": direct}}, need.action, need.resources[0], context)
        return "allowed" if by_itself.outcome == "allowed" else None
    return decided


def _is_about(statement: Document, caller: Caller, cloud: Cloud, *, root: bool) -> bool:
    named: Any = statement.get("Principal", {})
    if named == "*":
        return True
    found = policies.listed(named.get("AWS")) if isinstance(named, Mapping) else []
    wanted = {"*", caller.arn, caller.principal}
    if root:
        wanted |= {cloud.account, f"arn:{cloud.partition}:iam::{cloud.account}:root"}
    return bool(wanted & set(found))


def _policy(need: Need, cloud: Cloud) -> Document | None:
    from moto.kms.models import kms_backends
    from moto.s3.models import s3_backends

    if need.action.startswith("s3:"):
        name = need.resources[0].partition(":::")[2].partition("/")[0]
        bucket = s3_backends[cloud.account][cloud.partition].buckets.get(name)
        text = bucket.policy if bucket is not None else None
        return json.loads(text) if text else None
    if need.action.startswith("kms:"):
        key = kms.find_key(kms_backends[cloud.account][cloud.region], need.resources[0])
        return json.loads(key.policy) if key is not None else None
    return None
