"""Whether a target lets the sender in: by its own policy, or by the role that the rule or schedule gives.

User guide, "Using resource-based policies for Amazon EventBridge": without one, AWS drops the event and counts a
FailedInvocation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud import iam, policies, trust
from mlplat.localcloud.cloud import Cloud

ACTIONS = {
    "lambda": "lambda:InvokeFunction",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
    "sagemaker": "sagemaker:StartPipelineExecution",
    "events": "events:PutEvents",
    "logs": "logs:PutLogEvents",
}
BY_ROLE = frozenset({"sagemaker"})
"""Services without policies on their resources: a role is needed. (Buses of the same account need none.)"""


class NotAllowed(Exception):
    """The text says what is missing."""


def check(cloud: Cloud, service: str, sender: str, role: str | None, arn: str) -> None:
    """Raises NotAllowed."""
    kind = arn.split(":")[2]
    action = ACTIONS[kind]
    if role is not None:
        _check_role(cloud, service, sender, role, action, arn)
    elif kind in BY_ROLE:
        raise NotAllowed(f"a target in SageMaker needs a RoleArn that allows {action}")
    elif kind != "events":
        document = _policy(cloud, kind, arn)
        context = {"aws:sourcearn": [sender], "aws:sourceaccount": [cloud.account]}
        if not policies.lets_in(document, service, action, arn, context):
            raise NotAllowed(f"the policy of {arn} does not allow {service} to {action} for {sender}")


def assumes(cloud: Cloud, service: str, sender: str, role: str) -> bool:
    """Whether the role lets the service in for a rule, or for a schedule, for which its group's ARN is told.

    Scheduler user guide, "Confused deputy prevention".
    """
    kind, _, rest = sender.rpartition(":")[2].partition("/")
    group = cloud.arn(f"schedule-group/{rest.partition('/')[0]}", "scheduler")
    return trust.lets_in(cloud, role, service, group if kind == "schedule" else sender)


def _check_role(cloud: Cloud, service: str, sender: str, role: str, action: str, arn: str) -> None:
    if not assumes(cloud, service, sender, role):
        raise NotAllowed(f"{service} can't assume {role}")
    if policies.decide(iam.documents(cloud, role), action, arn, {}).outcome != "allowed":
        raise NotAllowed(f"{role} is not authorized to perform {action} on {arn}")


def _policy(cloud: Cloud, kind: str, arn: str) -> Mapping[str, Any]:
    """The policy of the target itself; an empty one when it has none or isn't there."""
    from moto.awslambda.models import lambda_backends
    from moto.logs.models import logs_backends
    from moto.sns.models import sns_backends
    from moto.sqs.models import sqs_backends

    name, place = arn.rpartition(":")[2], (cloud.account, cloud.region)
    if kind == "lambda":
        functions = lambda_backends[place[0]][place[1]].list_functions()
        found = next((each for each in functions if each.function_arn == arn.split(":$")[0]), None)
        return {"Statement": found.policy.statements if found else []}
    if kind == "sns":
        topic = sns_backends[place[0]][place[1]].topics.get(arn)
        return _read(topic.policy if topic else None)
    if kind == "sqs":
        queue = sqs_backends[place[0]][place[1]].queues.get(name)
        return _read(queue.policy if queue else None)
    documents = [_read(each.policy_document) for each in logs_backends[place[0]][place[1]].resource_policies.values()]
    return {"Statement": [one for each in documents for one in policies.listed(each.get("Statement"))]}


def _read(policy: Any) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(policy) if isinstance(policy, str) and policy else policy or {}
    return document
