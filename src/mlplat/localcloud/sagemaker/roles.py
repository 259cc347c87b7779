"""Execution roles as SageMaker sees them when an object is made: the role must exist and let SageMaker assume it."""

from __future__ import annotations

from mlplat.localcloud import trust
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import invalid

SERVICE = "sagemaker.amazonaws.com"


def check_role(cloud: Cloud, arn: str, source: str = "*") -> None:
    """Refuse a role that isn't there or doesn't trust SageMaker, in AWS's words. Don't hold the cloud's lock.

    `source` is what SageMaker works for (`training-job/churn`). Jobs tell their own ARN, inference tells the account's
    `arn:aws:sagemaker:R:A:*` (developer guide, "Cross-service confused deputy prevention"); for what that page doesn't
    speak of, notebooks and feature groups, the latter is taken.
    """
    if not trust.lets_in(cloud, arn, SERVICE, cloud.arn(source)) or not arn.startswith("arn:"):
        raise invalid(
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal '{SERVICE}' to "
            "assume the role."
        )
