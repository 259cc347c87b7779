"""EventBridge's refusals: schedules that it can't read, and schedules on other buses than its own."""

from __future__ import annotations

import re

from mlplat.localcloud import schedules
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before


@before("events", "PutRule")
def a_schedule_can_be_read(asked: Asked) -> None:
    """User guide, "Schedule expressions using rate or cron"; the text is recorded from AWS's answers."""
    expression = asked.request.get("ScheduleExpression")
    if not expression:
        return
    if asked.request.get("EventBusName", "default").rpartition("/")[2] != "default":
        raise AwsError("ValidationException", "ScheduleExpression is supported only on the default event bus.")
    if not schedules.is_valid(expression):
        raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.")


@before("events", "PutTargets")
def a_pipeline_is_started_with_a_role(asked: Asked) -> None:
    """API reference of PutTargets: SageMaker has no policies of resources; the text is recorded for other targets."""
    for target in asked.request.get("Targets", ()):
        if re.match(r"arn:aws[\w-]*:sagemaker:", target["Arn"]) and "RoleArn" not in target:
            raise AwsError("ValidationException", f"RoleArn is required for target {target['Arn']}.")
