"""Calls that the pipelines service makes in the name of a pipeline's role, and what their refusals mean for a step."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.pipelines import retrying
from mlplat.localcloud.pipelines.retrying import Failure


class Failed(Exception):
    """An attempt at a step has failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def call(cloud: Cloud, operation: str, /, service: str = "sagemaker", **request: Any) -> dict[str, Any]:
    """The answer. Raises Failed, with AWS's words."""
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError, ClientError

    action = f"{service}:{operation}"
    try:
        answer: dict[str, Any] = getattr(cloud.aws(service), xform_name(operation))(**request)
        return answer
    except ClientError as error:
        about = error.response["Error"]
        raise Failed(retrying.of_call(action, about["Code"], about["Message"])) from error
    except BotoCoreError as error:
        raise Failed(retrying.of_call(action, "ParamValidation", str(error))) from error
