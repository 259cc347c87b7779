"""SNS: a topic that exists is not made again otherwise, and mail is sent to nobody who hasn't confirmed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud import wire
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

log = logging.getLogger(__name__)

PENDING = "PendingConfirmation"
ATTRIBUTES = {"Policy": "policy", "KmsMasterKeyId": "kms_master_key_id", "DisplayName": "display_name"}
"""Attributes of a topic by moto's names."""


@before("sns", "CreateTopic")
def a_topic_is_made_once(asked: Asked) -> None:
    """API reference: with the same attributes and tags the answer is the topic that is there. Else it is refused."""
    request, backend = asked.request, asked.backend()
    topic = backend.topics.get(asked.cloud.arn(request["Name"], "sns"))
    if topic is None:
        return
    differs = any(
        _plain(value) != _plain(getattr(topic, ATTRIBUTES[name]))
        for name, value in request.get("Attributes", {}).items()
        if name in ATTRIBUTES
    )
    tags = {each["Key"]: each["Value"] for each in request.get("Tags", ())}
    for what, different in (("Attributes", differs), ("Tags", bool(tags) and tags != topic._tags)):
        if different:
            text = f"Invalid parameter: {what} Reason: Topic already exists with different {what.lower()}"
            raise AwsError("InvalidParameter", text)


@after("sns", "Subscribe")
def mail_waits_to_be_confirmed(asked: Asked, reply: Reply) -> Reply | None:
    """API reference. Here nobody gets mail: the token is what the subscription's ARN ends in."""
    request, backend = asked.request, asked.backend()
    if request["Protocol"] not in ("email", "email-json"):
        return None
    made = next(each for each in backend.subscriptions.values() if _is(each, request))
    if "asked" not in made.attributes:
        made.attributes |= {"asked": "true", PENDING: "true", "ConfirmationWasAuthenticated": "false"}
        token = made.arn.rpartition(":")[2]
        log.info("%s would be asked to confirm: --topic-arn %s --token %s", made.endpoint, made.topic.arn, token)
    if request.get("ReturnSubscriptionArn") or not _is_pending(made):
        return reply
    return wire.answer(asked.route, {"SubscriptionArn": "pending confirmation"})


@before("sns", "ConfirmSubscription")
def whoever_has_the_token_confirms(asked: Asked) -> Reply | None:
    """moto takes any token."""
    request = asked.request
    arn = f"{request['TopicArn']}:{request['Token']}"
    made = asked.backend().subscriptions.get(arn)
    if made is None or "asked" not in made.attributes:
        return None
    made.attributes |= {PENDING: "false", "ConfirmationWasAuthenticated": "true"}
    return wire.answer(asked.route, {"SubscriptionArn": arn})


@after("sns", "ListSubscriptions", "ListSubscriptionsByTopic")
def one_that_waits_has_no_arn(asked: Asked, reply: Reply) -> Reply | None:
    """API reference, Subscription."""
    waiting = {each.arn for each in asked.backend().subscriptions.values() if _is_pending(each)}
    body = reply.body.decode()
    for arn in waiting:
        body = body.replace(f">{arn}<", f">{PENDING}<").replace(f'"{arn}"', f'"{PENDING}"')
    return Reply(reply.status, reply.headers, body.encode()) if waiting else None


@before("sns", "Unsubscribe")
def what_waits_cannot_be_taken_back(asked: Asked) -> None:
    """As SNS answers to what is no ARN."""
    if asked.request["SubscriptionArn"].count(":") < 5:
        text = "Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements, not 1"
        raise AwsError("InvalidParameter", text)


def _is(made: Any, request: Mapping[str, Any]) -> bool:
    return (made.topic.arn, made.protocol, made.endpoint) == (
        request["TopicArn"],
        request["Protocol"],
        request.get("Endpoint"),
    )


def _is_pending(made: Any) -> bool:
    return bool(made.attributes.get("asked") == made.attributes.get(PENDING) == "true")


def _plain(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
