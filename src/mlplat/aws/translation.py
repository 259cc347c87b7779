"""What botocore raises, as our errors, and what AWS means by them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlplat.aws.final import final
from mlplat.aws.throttling import throttles
from mlplat.errors import ApiError, CredentialsError, MlplatError, OutcomeUnknown

NO_CREDENTIALS = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestExpired", "InvalidToken", "MissingAuthenticationToken",
    }
)  # fmt: skip

UNKNOWN_CALLER = re.compile(r"not able to validate the provided access credentials")
"""EC2's words with AuthFailure, which has other meanings too: no valid credentials, or a region not opted in to."""

_SAGEMAKER_ABSENT = (
    r"Could not find|RecordNotFound|Requested resource not found|does not exist"
    r"|Cannot find (Model Package Group|resource policy)"
)
ABSENT: Mapping[str, Sequence[tuple[str, str]]] = {
    "sagemaker": (("ValidationException", _SAGEMAKER_ABSENT), ("ResourceNotFound(Exception)?", "")),
    "ec2": ((r".*\.(NotFound|NotFoundException)|NatGatewayNotFound|InvalidFlowLogId.NotFound", ""),),
    "s3": ((r"NoSuch\w+|404|NotFound|(OwnershipControls|ServerSideEncryptionConfiguration)NotFoundError", ""),),
    "kms": (("NotFoundException", ""),),
    "iam": (("NoSuchEntity", ""),),
    "glue": (("EntityNotFoundException", ""),),
    "logs": (("ResourceNotFoundException", ""),),
    "events": (("ResourceNotFoundException", ""),),
    "athena": (("InvalidRequestException", r"WorkGroup .*is not found"),),
    "cloudwatch": (("ResourceNotFound(Exception)?|DashboardNotFoundError", ""),),
    "sns": (("(Resource)?NotFound(Exception)?", ""),),
}  # fmt: skip
"""What "not there" looks like, by service: (code, pattern in the message). Sources: ACK, AWS's recorded answers."""


class Unsent(ApiError):
    """The connection was never made, or a read got no usable answer: the call may be repeated."""


@contextmanager
def translated(service: str, operation: str, *, repeatable: bool, region: str | None = None) -> Iterator[None]:
    """Turn whatever botocore raises into our errors; `repeatable` calls can't have an unknown outcome."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except S3UploadFailedError as error:  # what upload_file makes of S3's answer
        if not isinstance(error.__context__, ClientError):
            raise
        raise _translate_answer(error.__context__, service, operation, repeatable, region) from error
    except ClientError as error:
        raise _translate_answer(error, service, operation, repeatable, region) from error
    except BotoCoreError as error:
        raise translate_local(error, service, operation, repeatable=repeatable) from error


def is_absent(error: BaseException) -> bool:
    """Whether AWS means "there is no such object". Codes and messages are matched together, by service."""
    if not isinstance(error, ApiError):
        return False
    return any(
        re.fullmatch(code, error.code) and re.search(reason, error.reason)
        for code, reason in ABSENT.get(error.service, ())
    )


def is_unsent(error: BaseException) -> bool:
    """Whether nothing can have been done by the call."""
    return isinstance(error, Unsent)


def _translate_answer(error: Any, service: str, operation: str, repeatable: bool, region: str | None) -> MlplatError:
    answer, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    about: dict[str, Any] = {
        "service": service,
        "operation": operation,
        "code": str(answer.get("Code", "Unknown")),
        "reason": str(answer.get("Message", "") or "no message"),
        "status": status,
        "request_id": meta.get("RequestId"),
    }
    unknown = about["code"] == "AuthFailure" and UNKNOWN_CALLER.search(about["reason"])
    if about["code"] in NO_CREDENTIALS or unknown:
        return CredentialsError(
            f"calling {service} {operation}: AWS does not accept the credentials: {about['code']}: {about['reason']}",
            hint="aws sts get-caller-identity",
        )
    if throttles(service, about["code"], about["reason"]):
        return ApiError(**about)
    if refused := final(about, region):
        return refused
    if status >= 500 and status != 501:
        return Unsent(**about) if repeatable else OutcomeUnknown(**about)
    return ApiError(**about)


def translate_local(error: Any, service: str, operation: str, *, repeatable: bool = True) -> MlplatError:
    """What went wrong before AWS answered: credentials, connection, parameters."""
    from botocore import exceptions as bc

    if isinstance(error, bc.NoCredentialsError | bc.PartialCredentialsError):
        return CredentialsError(f"calling {service} {operation}: {error}", hint="aws configure")
    if isinstance(error, bc.TokenRetrievalError | bc.SSOError):
        return CredentialsError(f"calling {service} {operation}: {error}", hint="aws sso login")
    if isinstance(error, bc.ProfileNotFound):
        return CredentialsError(f"calling {service} {operation}: {error}", hint="aws configure list-profiles")
    about: dict[str, Any] = {
        "service": service,
        "operation": operation,
        "code": type(error).__name__,
        "reason": str(error),
    }
    if isinstance(error, bc.EndpointConnectionError | bc.ConnectTimeoutError):
        return Unsent(**about, hint=f"curl -sSI {shlex.quote(error.kwargs['endpoint_url'])}")
    if isinstance(error, bc.ProxyConnectionError):
        return Unsent(**about, hint="env | grep -i proxy")
    if isinstance(error, bc.HTTPClientError | bc.IncompleteReadError | bc.ResponseStreamingError):
        return Unsent(**about) if repeatable else OutcomeUnknown(**about)
    return ApiError(**about)
