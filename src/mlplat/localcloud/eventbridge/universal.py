"""Universal targets of EventBridge Scheduler: any operation of any service.

`arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution`, with the request as the target's Input.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud import iam, policies
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import permissions
from mlplat.localcloud.eventbridge.targets import Sender

log = logging.getLogger(__name__)

PREFIX = "arn:aws:scheduler:::aws-sdk:"


def call(cloud: Cloud, sender: Sender, target: Mapping[str, Any]) -> None:
    """Call the operation in the background, when the schedule's role allows it."""
    cloud.later(lambda: _call(cloud, sender, target), 0)


def _call(cloud: Cloud, sender: Sender, target: Mapping[str, Any]) -> None:
    from botocore import xform_name

    service, action = target["Arn"].removeprefix(PREFIX).split(":")
    operation, role = action[0].upper() + action[1:], sender.role or ""
    allowed = permissions.assumes(cloud, sender.service, sender.arn, role) and (
        policies.decide(iam.documents(cloud, role), f"{service}:{operation}", "*", {}).outcome != "explicitDeny"
    )
    if not allowed:
        log.warning("%s: %s can't call %s:%s", sender.arn, role, service, operation)
        return
    try:
        getattr(cloud.aws(service), xform_name(operation))(**json.loads(target.get("Input") or "{}"))
    except Exception as error:  # whatever the client says: there is nobody to tell but the log
        log.warning("%s could not call %s:%s: %s", sender.arn, service, operation, error)
