"""The decision: a request of a role's session, or of a user, is answered only when the policies allow it.

IAM user guide, "Policy evaluation logic", for one account: an explicit Deny wins, in the caller's policies, in what
limits it (permissions boundary, session policies) or in the resource's policy; then one Allow is enough, of the
caller's policies within the limits, or of the resource's. A KMS key, and a role that is to be assumed, must allow by
their own policies, or leave it to IAM. Left out: organisations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from mlplat.localcloud import iam, kms, policies
from mlplat.localcloud.access import callers, needs
from mlplat.localcloud.access.callers import Caller
from mlplat.localcloud.access.needs import ANY, Need
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.policies import Context, Document
from mlplat.localcloud.routing import Route

GUARDED = ("kms:", "sts:AssumeRole")
"""Actions that nobody may do whom the resource's own policy doesn't let in."""

IDENTITY = "identity-based policy"


def check(route: Route, cloud: Cloud) -> None:
    """Raise the service's AccessDenied unless the caller is allowed all that the request needs."""
    caller = callers.of(route.access_key, cloud)
    if caller is None or route.operation is None:
        return
    own = iam.documents(cloud, caller.principal)
    for need in needs.of(route, cloud):
        if why := refusal(own, need, caller, cloud):
            raise denied(route, caller, need, why)


def refusal(own: Mapping[str, Document], need: Need, caller: Caller, cloud: Cloud) -> str | None:
    """Why the need is refused, in AWS's words; None when it is allowed."""
    context, by_kind = _context(need, caller, cloud), {IDENTITY: own, **caller.limits}
    if need.resources == (ANY,):
        return _refused_anywhere(by_kind, need, context)
    outcomes = {kind: _outcome(documents, need, context) for kind, documents in by_kind.items()}
    for kind, outcome in outcomes.items():
        if outcome == "explicitDeny":
            return f"with an explicit deny in {_a(kind)}"
    by_resource = _of_resource(need, caller, context, cloud)
    if by_resource == "explicitDeny":
        return "with an explicit deny in a resource-based policy"
    if by_resource == "direct":
        return None
    if need.action.startswith(GUARDED) and by_resource == "implicitDeny":
        return f"because no resource-based policy allows the {need.action} action"
    given = "allowed" if by_resource == "allowed" else outcomes[IDENTITY]
    lacking = next((kind for kind, each in {**outcomes, IDENTITY: given}.items() if each != "allowed"), None)
    return lacking and _nobody_allows(lacking, need.action)


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


def _a(kind: str) -> str:
    return f"an {kind}" if kind == IDENTITY else f"a {kind}"


def _nobody_allows(kind: str, action: str) -> str:
    return f"because no {kind} allows the {action} action"


def _context(need: Need, caller: Caller, cloud: Cloud) -> Context:
    """Condition keys of the request. It never leaves this machine, which is as good as TLS."""
    now = cloud.now()
    return {
        "aws:securetransport": ["true"],
        "aws:sourceip": ["127.0.0.1"],
        "aws:currenttime": [now.strftime("%Y-%m-%dT%H:%M:%SZ")],
        "aws:epochtime": [str(int(now.timestamp()))],
        "aws:viaawsservice": ["false"],
        "aws:principalarn": [caller.principal],
        "aws:principalaccount": [cloud.account],
        "aws:resourceaccount": [cloud.account],
        "aws:requestedregion": [cloud.region],
        **_tags_of(need.resources[0], cloud),
        **caller.context,
        **need.context,
    }


def _tags_of(resource: str, cloud: Cloud) -> Context:
    """Of SageMaker's objects; each under both names (service authorization reference)."""
    tags = cloud.tags.get(resource, {})
    return {f"{prefix}:resourcetag/{key}".lower(): [v] for key, v in tags.items() for prefix in ("aws", "sagemaker")}


def _outcome(documents: Mapping[str, Document], need: Need, context: Context) -> str:
    """One of the resources is enough, and one explicit Deny too much."""
    found = [policies.decide(documents, need.action, each, context).outcome for each in need.resources]
    return next((each for each in ("explicitDeny", "allowed") if each in found), "implicitDeny")


def _refused_anywhere(by_kind: Mapping[str, Mapping[str, Document]], need: Need, context: Context) -> str | None:
    """For actions whose resource can't be told: allowed on some, and not denied on all."""
    for kind, documents in by_kind.items():
        denying = {name: {**each, "Statement": _denying(each)} for name, each in documents.items()}
        if policies.decide(denying, need.action, "*", context).outcome == "explicitDeny":
            return f"with an explicit deny in {_a(kind)}"
    lacking = next((kind for kind, documents in by_kind.items() if not _somewhere(documents, need.action)), None)
    return lacking and _nobody_allows(lacking, need.action)


def _denying(document: Document) -> list[Document]:
    """Statements that deny whatever the resource is."""
    statements = policies.listed(document.get("Statement"))
    return [
        each for each in statements if each.get("Effect") == "Deny" and "*" in policies.listed(each.get("Resource"))
    ]


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
    """What the resource's own policy says; None when it has none, or leaves it to IAM by trusting the account.

    `direct`: it names the user or the session itself, which then needs no other policy (user guide, "Policy evaluation
    for requests within a single account").
    """
    document = _policy(need, cloud)
    if document is None:
        return None

    def decided(*principals: str) -> str:
        statements = policies.listed(document.get("Statement"))
        about = {**document, "Statement": [each for each in statements if _names(each, principals)]}
        return policies.decide({"policy": about}, need.action, need.resources[0], context).outcome

    account = (cloud.account, f"arn:{cloud.partition}:iam::{cloud.account}:root")
    outcome = decided("*", caller.arn, caller.principal, *account)
    if outcome != "allowed":
        return outcome
    if decided(caller.arn) == "allowed":
        return "direct"
    if decided("*", caller.principal) == "allowed":
        return "allowed"
    return None


def _names(statement: Document, principals: tuple[str, ...]) -> bool:
    named: Any = statement.get("Principal", statement.get("NotPrincipal", {}))
    found = ["*"] if named == "*" else policies.listed(named.get("AWS")) if isinstance(named, Mapping) else []
    return bool(set(principals) & set(found)) is ("NotPrincipal" not in statement)


def _policy(need: Need, cloud: Cloud) -> Document | None:
    from moto.iam.models import iam_backends
    from moto.kms.models import kms_backends
    from moto.s3.models import s3_backends

    resource = need.resources[0]
    if need.action.startswith("s3:"):
        bucket = s3_backends[cloud.account][cloud.partition].buckets.get(resource.partition(":::")[2].partition("/")[0])
        text = bucket.policy if bucket is not None else None
        return json.loads(text) if text else None
    if need.action.startswith("kms:"):
        key = kms.find_key(kms_backends[cloud.account][cloud.region], resource)
        return json.loads(key.policy) if key is not None else None
    if need.action == "sts:AssumeRole":
        roles = list(iam_backends[cloud.account][cloud.partition].roles.values())
        role = next((each for each in roles if each.arn == resource), None)
        return json.loads(unquote(role.assume_role_policy_document)) if role is not None else None
    return None
