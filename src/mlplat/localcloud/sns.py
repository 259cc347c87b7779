"""SNS: a topic that exists is not made again otherwise, and mail is sent to nobody who hasn't confirmed."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud import wire
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

log = logging.getLogger(__name__)

PENDING = "PendingConfirmation"
PROTOCOLS = ("http", "https", "email", "email-json", "sms", "sqs", "application", "lambda", "firehose")
ARNS = {"sqs": "SQS endpoint ARN", "lambda": "Lambda endpoint ARN", "firehose": "Firehose endpoint ARN"}
_MAIL = re.compile(r"[^@\s]+@[^@\s]+")
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


@before("sns", "Subscribe")
def an_endpoint_fits_its_protocol(asked: Asked) -> None:
    """API reference of Subscribe; texts as recorded from AWS's answers."""
    protocol, endpoint = asked.request["Protocol"], asked.request.get("Endpoint", "")
    if protocol not in PROTOCOLS:
        text = f"Invalid parameter: Amazon SNS does not support this protocol string: {protocol}"
        raise AwsError("InvalidParameter", text)
    if protocol in ("http", "https") and not endpoint.startswith(f"{protocol}://"):
        raise AwsError("InvalidParameter", "Invalid parameter: Endpoint must match the specified protocol")
    if protocol in ("email", "email-json") and not _MAIL.fullmatch(endpoint):
        raise AwsError("InvalidParameter", "Invalid parameter: Email address")
    if protocol in ARNS and not endpoint.startswith("arn:"):
        raise AwsError("InvalidParameter", f"Invalid parameter: {ARNS[protocol]}")


@before("sns", "CreateTopic", "SetTopicAttributes")
def a_topics_policy_is_json(asked: Asked) -> None:
    """API reference of SetTopicAttributes; the text as AWS's users quote it."""
    given = dict(asked.request.get("Attributes") or {})
    if asked.request.get("AttributeName") == "Policy":
        given["Policy"] = asked.request.get("AttributeValue", "")
    if given.get("Policy") and not isinstance(_plain(given["Policy"]), dict):
        raise AwsError("InvalidParameter", "Invalid parameter: Policy Error: null")


@before("sns", "Publish")
def a_message_says_something(asked: Asked) -> None:
    """API reference of Publish; the text is recorded from AWS's answers."""
    if not asked.request.get("Message"):
        raise AwsError("InvalidParameter", "Invalid parameter: Empty message")


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
