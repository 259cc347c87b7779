"""Requests checked as AWS checks them, before anybody handles them: by botocore's own model of the service.

Each service has its own code for a request that breaks the model; where its answers are not known, the request is
not checked here. What a JSON service doesn't know it ignores (Smithy's AWS JSON protocols: unknown members are
ignored); EC2 and S3 refuse it. `docs/local-cloud.md` lists what could not be verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from mlplat.localcloud import wire
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.routing import Route
from mlplat.localcloud.validation import ec2, s3
from mlplat.localcloud.validation.constraints import Constraints, Fault
from mlplat.localcloud.validation.wording import sentence

CODES = {
    "apigateway": "ValidationException",
    "application-autoscaling": "ValidationException",
    "athena": "InvalidRequestException",
    "cloudwatch": "ValidationError",
    "events": "ValidationException",
    "glue": "ValidationException",
    "iam": "ValidationError",
    "kms": "ValidationException",
    "lambda": "ValidationException",
    "logs": "InvalidParameterException",
    "pricing": "InvalidParameterException",
    "resourcegroupstaggingapi": "InvalidParameterException",
    "sagemaker": "ValidationException",
    "sagemaker-featurestore-runtime": "ValidationError",
    "sagemaker-metrics": "ValidationException",
    "sagemaker-runtime": "ValidationError",
    "scheduler": "ValidationException",
    "service-quotas": "IllegalArgumentException",
    "sns": "ValidationError",
    "sts": "ValidationError",
}
"""By service. Recorded from AWS: apigateway, cloudwatch, events, iam, kms, lambda, logs, sns, sts (localstack's
snapshot tests), glue (boto3 issue 3229), sagemaker (its SDK's issues). By their models' errors only: the others."""

OWN_WORDS: dict[str, Callable[[Route, Sequence[Fault]], AwsError | None]] = {"ec2": ec2.refusal, "s3": s3.refusal}
"""Services that answer in words of their own."""


def check(route: Route) -> None:
    """Raises what AWS answers to a request that its model doesn't allow."""
    service, operation = route.service, route.operation
    if operation is None or operation.input_shape is None or not (service in CODES or service in OWN_WORDS):
        return
    request = wire.parse(route)
    faults = constraints(str(service)).faults(request, operation.input_shape)
    if service in OWN_WORDS:
        refusal = OWN_WORDS[str(service)](route, faults)
        if refusal is not None:
            raise refusal
    elif faults:
        within = f"{operation.name[:1].lower()}{operation.name[1:]}Input" if service == "apigateway" else ""
        raise AwsError(_code(str(service), operation), sentence(faults, within=within, secretive=service == "iam"))
    elif service == "sagemaker":
        _check_tags(request)


def _check_tags(request: Mapping[str, Any]) -> None:
    """SageMaker's API reference, Tag, and the tagging guide: aws: is reserved. The wording is not verified."""
    if any(each["Key"].lower().startswith("aws:") for each in request.get("Tags") or ()):
        raise AwsError("ValidationException", "Tag keys that start with aws: are reserved for AWS.")


@cache
def constraints(_service: str) -> Constraints:
    """The compiled model of a service."""
    return Constraints()


def _code(service: str, operation: Any) -> str:
    """Newer operations of CloudWatch Logs have another error for it than the older ones (recorded answers)."""
    if service == "logs" and "InvalidParameterException" not in {each.name for each in operation.error_shapes}:
        return "ValidationException"
    return CODES[service]
