"""IAM's additions: SimulatePrincipalPolicy from the real policies, and no delete of a policy that is attached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud import policies
from mlplat.localcloud.cloud import ACCOUNT, Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before


def register() -> None:
    """Let moto look for an access key only in the IAMs that there are: it would make one for every partition."""
    from moto.iam import models

    models.get_account_id_from = lambda access_key: issuer(access_key) or ACCOUNT


def issuer(access_key: str) -> str | None:
    """The account whose IAM or STS has issued this key (CreateAccessKey, AssumeRole); None when none has."""
    from moto.iam.models import iam_backends

    for account, backends in list(iam_backends.items()):
        if any(access_key in backend.access_keys for backend in list(backends.values())):
            return str(account)
    return None


@before("iam", "DeletePolicy")
def an_attached_policy_stays(asked: Asked) -> None:
    """API reference of DeletePolicy: detach it from users, groups and roles first."""
    policy = asked.backend().managed_policies.get(asked.request["PolicyArn"])
    if policy is not None and policy.attachment_count > 0:
        raise AwsError("DeleteConflict", "Cannot delete a policy attached to entities.", 409)


class PolicySimulation:
    """SimulatePrincipalPolicy, which the SageMaker SDK asks before it lets a role run anything."""

    service = "iam"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def simulate_principal_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Each action on each resource, by the policies of the user, group or role. Not paginated."""
        found = documents(self._cloud, request["PolicySourceArn"])
        found |= {f"PolicyInputList.{i}": json.loads(d) for i, d in enumerate(request.get("PolicyInputList", ()), 1)}
        entries = request.get("ContextEntries", ())
        context = {each["ContextKeyName"].lower(): each["ContextKeyValues"] for each in entries}
        limit = boundary(self._cloud, request["PolicySourceArn"])
        results = [
            _limited(
                _result(action, resource, policies.decide(found, action, resource, context)),
                None if limit is None else policies.decide(limit, action, resource, context).outcome,
            )
            for action in request["ActionNames"]
            for resource in request.get("ResourceArns") or ["*"]
        ]
        return {"EvaluationResults": results, "IsTruncated": False}


def documents(cloud: Cloud, arn: str) -> dict[str, Mapping[str, Any]]:
    """The policies of a user (with its groups), group or role, inline and attached. Raises NoSuchEntity."""
    from moto.iam.models import iam_backends

    backend = iam_backends[cloud.account][cloud.partition]
    kind, _, name = arn.rpartition(":")[2].partition("/")
    collections = {"role": backend.roles, "user": backend.users, "group": backend.groups}
    found = [each for each in list(collections.get(kind, {}).values()) if each.arn == arn]
    if not found:
        raise AwsError("NoSuchEntity", f"The {kind} with name {name.rpartition('/')[2]} cannot be found.", 404)
    entities = found + ([g for g in backend.groups.values() if found[0] in g.users] if kind == "user" else [])
    return {name: document for entity in entities for name, document in _policies_of(entity)}


def managed(cloud: Cloud, arn: str) -> Mapping[str, Any] | None:
    """The document of a managed policy, as its default version has it; None when there is no such policy."""
    from moto.iam.models import iam_backends

    policy = iam_backends[cloud.account][cloud.partition].managed_policies.get(arn)
    return None if policy is None else _read(_default_version(policy))


def boundary(cloud: Cloud, arn: str) -> dict[str, Mapping[str, Any]] | None:
    """The permissions boundary of a role, by its ARN; None when it has none."""
    from moto.iam.models import iam_backends

    roles = list(iam_backends[cloud.account][cloud.partition].roles.values())
    found = next((each.permissions_boundary_arn for each in roles if each.arn == arn), None)
    return {found: managed(cloud, found) or {}} if found else None


def _policies_of(entity: Any) -> list[tuple[str, Mapping[str, Any]]]:
    inline = [(name, text) for name, text in entity.policies.items()]
    attached = [(policy.arn, _default_version(policy)) for policy in entity.managed_policies.values()]
    return [(name, _read(text)) for name, text in [*inline, *attached]]


def _read(text: Any) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(text) if isinstance(text, str) else text
    return document


def _default_version(policy: Any) -> Any:
    return next(version.document for version in policy.versions if version.is_default)


def _result(action: str, resource: str, decision: policies.Decision) -> dict[str, Any]:
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision.outcome,
        "MatchedStatements": [{"SourcePolicyId": name} for name in decision.matched],
        "MissingContextValues": sorted(decision.missing) if decision.outcome != "allowed" else [],
    }


def _limited(result: dict[str, Any], by_boundary: str | None) -> dict[str, Any]:
    """API reference, EvaluationResult: what a boundary doesn't allow is denied, and the result says so."""
    if by_boundary is None:
        return result
    allowed = by_boundary == "allowed"
    if by_boundary == "explicitDeny" or (not allowed and result["EvalDecision"] == "allowed"):
        result["EvalDecision"] = by_boundary
    return {**result, "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": allowed}}
