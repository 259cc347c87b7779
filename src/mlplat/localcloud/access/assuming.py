"""AssumeRole: the role must be there, and what limits the session is kept with it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from mlplat.localcloud import iam, policies
from mlplat.localcloud.access import callers
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

MOST_POLICIES = 10
"""PolicyArns of one session (API reference of AssumeRole)."""


@before("sts", "AssumeRole")
def a_role_that_is_there(asked: Asked) -> None:
    """One that isn't there is refused as one that doesn't let the caller in; roles of other accounts are believed."""
    role = asked.request["RoleArn"]
    if f":iam::{asked.cloud.account}:role/" not in role:
        return
    known = {each.arn: each for each in list(asked.backend("iam").roles.values())}
    fresh = asked.cloud.host.freshness.hides(f"assuming {role}")
    if role not in known or fresh or not _lets_the_account_in(asked, known[role]):
        text = f"User: {_caller(asked)} is not authorized to perform: sts:AssumeRole on resource: {role}"
        raise AwsError("AccessDenied", text, 403)


@before("sts", "AssumeRole")
def session_policies_are_policies(asked: Asked) -> None:
    """API reference of AssumeRole: MalformedPolicyDocument; the wording is not verified."""
    given = asked.request.get("PolicyArns", ())
    try:
        documents = [json.loads(asked.request["Policy"])] if "Policy" in asked.request else []
    except ValueError:
        documents = [None]
    if any(not isinstance(each, dict) or "Statement" not in each for each in documents):
        raise AwsError("MalformedPolicyDocument", "This policy contains invalid Json")
    if len(given) > MOST_POLICIES:
        raise AwsError("PackedPolicyTooLarge", f"At most {MOST_POLICIES} managed session policies can be given.")
    for each in given:
        if iam.managed(asked.cloud, each["arn"]) is None:
            raise AwsError("MalformedPolicyDocument", f"Policy {each['arn']} does not exist or is not attachable.")


@after("sts", "AssumeRole")
def the_session_is_limited(asked: Asked, reply: Reply) -> None:
    """User guide, "Session policies" and "Pass session tags": by documents and tags that moto doesn't keep."""
    found = re.search(rb"<AccessKeyId>(\w+)</AccessKeyId>", reply.body)
    session: Any = asked.backend().get_assumed_role_from_access_key(found[1].decode()) if found else None
    if session is not None:
        arns = [each["arn"] for each in asked.request.get("PolicyArns", ())]
        session.session_policies = {arn: iam.managed(asked.cloud, arn) for arn in arns}
        session.session_tags = {each["Key"]: each["Value"] for each in asked.request.get("Tags", ())}


def _lets_the_account_in(asked: Asked, role: Any) -> bool:
    """The local cloud's own key may do everything, but no policy of its own opens a role: its trust policy does.

    Only where IAM is enforced. Sessions and users have been looked at before (`enforcement`).
    """
    if not asked.cloud.host.enforce_iam or callers.of(asked.route.access_key, asked.cloud) is not None:
        return True
    document = json.loads(unquote(role.assume_role_policy_document))
    account = asked.cloud.account
    names = (account, f"arn:{asked.cloud.partition}:iam::{account}:root")
    return any(policies.lets_in(document, each, "sts:AssumeRole", "*", {}) for each in names)


def _caller(asked: Asked) -> str:
    caller = callers.of(asked.route.access_key, asked.cloud)
    return caller.arn if caller else f"arn:{asked.cloud.partition}:iam::{asked.cloud.account}:root"
