"""Whether an alarm may publish to a topic: by the policy of the topic, and of the key that encrypts it.

CloudWatch user guide, "Notifying users on alarm changes": the default policy of a topic lets alarms of its own account
in; the default key for SNS (`alias/aws/sns`) lets none in, because its policy can't be changed.
"""

from __future__ import annotations

import json

from mlplat.localcloud import kms, policies
from mlplat.localcloud.cloud import Cloud

SERVICE = "cloudwatch.amazonaws.com"


class NotAllowed(Exception):
    """The text says what is missing."""


def check(cloud: Cloud, alarm: str, arn: str) -> None:
    """Raises NotAllowed; a topic that isn't there is refused by publishing to it."""
    from moto.kms.models import kms_backends
    from moto.sns.models import sns_backends

    topic = sns_backends[cloud.account][cloud.region].topics.get(arn)
    if topic is None:
        return
    source = {"aws:sourcearn": [alarm], "aws:sourceaccount": [cloud.account]}
    owner = {"aws:sourceowner": [cloud.account]}
    if not policies.lets_in(json.loads(topic.policy), SERVICE, "sns:Publish", arn, {**source, **owner}):
        raise NotAllowed(f"Resource: {alarm} is not authorized to perform: SNS:Publish on resource: {arn}")
    if not topic.kms_master_key_id:
        return
    key = kms.find_key(kms_backends[cloud.account][cloud.region], topic.kms_master_key_id)
    document = json.loads(key.policy) if key is not None else {}
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        if key is None or not policies.lets_in(document, SERVICE, action, key.arn, source):
            raise NotAllowed(f"{SERVICE} is not authorized to perform: {action} on {topic.kms_master_key_id}")
