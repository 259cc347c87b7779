"""The one way to AWS: a session with lazy clients, retries that never make duplicates, waits, and our errors.

boto3's own retries are off, because a repeated create makes a second object when the first answer was lost.
Reads are repeated freely; other calls only when AWS says that it did nothing (throttling) or when the
connection was never made. When the outcome of a call is unknown, `OutcomeUnknown` tells the reconciler to look.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import tenacity

from mlplat.errors import (
    ApiError,
    CredentialsError,
    Interrupted,
    MlplatError,
    OutcomeUnknown,
    PermissionDenied,
    WaitTimeout,
)

T = TypeVar("T")

READS = re.compile(r"(describe|get|list|head|batch_get|search|simulate|lookup)_|head_|search$")
"""Operations that change nothing, by boto3's method name."""

THROTTLED = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled",
        "RequestThrottledException", "TooManyRequestsException", "SlowDown", "PriorRequestNotComplete",
        "BandwidthLimitExceeded", "ProvisionedThroughputExceededException", "EC2ThrottledException",
    }
)  # fmt: skip
"""Codes that say "not now": the call did nothing and may be repeated. Mostly HTTP 400."""

NO_CREDENTIALS = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestExpired", "InvalidToken", "MissingAuthenticationToken",
    }
)  # fmt: skip

NO_PERMISSION = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AccessForbidden", "UnauthorizedOperation", "UnauthorizedAccess",
        "NotAuthorized",
    }
)  # fmt: skip
"""AccessForbidden is how the feature store's runtime says it."""

UNKNOWN_CALLER = re.compile(r"not able to validate the provided access credentials")
"""EC2's words with AuthFailure, which has other meanings too: no valid credentials, or a region not opted in to."""

_SAGEMAKER_ABSENT = (
    r"Could not find|RecordNotFound|Requested resource not found|does not exist|Cannot find Model Package Group"
)
ABSENT: Mapping[str, Sequence[tuple[str, str]]] = {
    "sagemaker": (("ValidationException", _SAGEMAKER_ABSENT), ("ResourceNotFound(Exception)?", "")),
    "ec2": ((r".*\.(NotFound|NotFoundException)|NatGatewayNotFound|InvalidFlowLogId.NotFound", ""),),
    "s3": ((r"NoSuch\w+|404|NotFound|(OwnershipControls|ServerSideEncryptionConfiguration)NotFoundError", ""),),
    "kms": (("NotFoundException", ""),),
    "iam": (("NoSuchEntity", ""),),
    "glue": (("EntityNotFoundException", ""),),
    "logs": (("ResourceNotFoundException", ""),),
}  # fmt: skip
"""What "not there" looks like, by service: (code, pattern in the message). Sources: ACK, AWS's recorded answers."""


class Quirk(NamedTuple):
    """A refusal that passes by itself: the code, and a pattern in the message."""

    code: str
    reason: str


FRESH_ROLE = (
    Quirk("ValidationException", r"Could not assume role|execution role ARN is invalid|Invalid S3Uri provided"),
    Quirk("InvalidParameterValueException", r"cannot be assumed"),
    Quirk("InvalidInputException", r"unable to assume provided role"),
    Quirk("InvalidParameterCombination|InvalidParameter|InvalidRequest", r"role|assume"),
)
"""A role made seconds ago isn't known everywhere yet. Source: terraform-provider-aws, internal/service/sagemaker."""

FRESH_PRINCIPAL = (
    Quirk("MalformedPolicyDocument|MalformedPolicyDocumentException|MalformedPolicy", r"[Ii]nvalid principal"),
)
"""A policy that names a role made seconds ago. Source: terraform-provider-aws, internal/service/kms, iam."""

BUSY_BUCKET = (Quirk("OperationAborted", ""),)
"""Sub-resources of one bucket written at once, or a bucket of that name deleted just now."""

IN_USE = (
    Quirk("DependencyViolation|InvalidGroup.InUse|InvalidIPAddress.InUse", ""),
    Quirk("AuthFailure", r"do not have permission"),
)
"""EC2 objects whose dependants (network interfaces of endpoints, NAT gateways) are still going away. ReleaseAddress
says "You do not have permission to access the specified resource."; other AuthFailures are about credentials."""


@dataclass(frozen=True)
class Session:
    """One account and region as mlplat sees it. `at(address)` gives the view that a resource kind works with."""

    namespace: str
    region: str
    endpoint_url: str | None = None
    profile: str | None = None
    credentials: tuple[str, str] | None = None
    """Access key id and secret, only for the local cloud; otherwise boto3 finds them as every AWS tool does."""
    max_connections: int = 32
    address: str = ""
    report: Callable[[str], None] = lambda _status: None
    """Tells the live view what the resource is waiting for."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when waits are to be given up (second Ctrl-C, `--timeout`)."""
    _shared: _Shared = field(default_factory=lambda: _Shared())

    def at(self, address: str, report: Callable[[str], None] | None = None) -> Session:
        """The same session for one address: its tags, its progress."""
        return replace(self, address=address, report=report or self.report)

    @property
    def tags(self) -> dict[str, str]:
        """The ownership tags of the address, to be set in the create call itself."""
        return {
            "ManagedBy": "mlplat",
            "mlplat:namespace": self.namespace,
            "mlplat:template": self.address.split(".", 1)[0],
            "mlplat:address": self.address,
        }

    @property
    def account(self) -> str:
        """The account id, from STS, asked once."""
        return str(self._shared.once("account", lambda: self.client("sts").get_caller_identity()["Account"]))

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`, ...: what ARNs of the region begin with."""
        boto = self._shared.once("boto", self._boto_session)
        return str(self._shared.once("partition", lambda: boto.get_partition_for_region(self.region)))

    def client(self, service: str) -> Client:
        """The client of a service, made when first asked for and shared by all threads."""
        return Client(self, service, self._shared.once(f"client:{service}", lambda: self._boto_client(service)))

    @property
    def uploads(self) -> Any:
        """A plain boto3 client of S3 for `upload_file`, with boto3's retries: a part sent twice is the same part."""
        return self._shared.once("uploads", lambda: self._boto_client("s3", attempts=6))

    def _boto_client(self, service: str, attempts: int = 1) -> Any:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=self.max_connections,
            connect_timeout=5,
            read_timeout=70,
            user_agent_extra="mlplat",
        )
        try:
            boto = self._shared.once("boto", self._boto_session)
            return boto.client(service, region_name=self.region, endpoint_url=self.endpoint_url, config=config)
        except BotoCoreError as error:
            raise _translate_local(error, service, "client") from error

    def _boto_session(self) -> Any:
        import boto3
        import botocore.session

        if self.credentials is None:
            return boto3.Session(profile_name=self.profile, region_name=self.region)
        # a stray AWS_PROFILE has no say in the local cloud, and no configuration file need exist
        core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        key, secret = self.credentials
        return boto3.Session(
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=self.region,
            botocore_session=core,
        )

    def find(self, read: Callable[[], T]) -> T | None:
        """What `read` answers, or None when AWS says in any of its ways that the object isn't there."""
        try:
            return read()
        except ApiError as error:
            if is_absent(error):
                return None
            raise

    @contextmanager
    def gone_is_fine(self) -> Iterator[None]:
        """Around a delete: already gone is success."""
        try:
            yield
        except ApiError as error:
            if not is_absent(error):
                raise

    def patiently(self, call: Callable[[], T], quirks: Sequence[Quirk], *, within: float = 120.0) -> T:
        """Repeat `call` while it fails with one of `quirks`, for at most `within` seconds."""
        return self._retrying(lambda error: _matches(error, quirks), within=within, first=0.25, most=10.0)(call)

    def wait(
        self,
        what: str,
        read: Callable[[], T],
        ready: Callable[[T], bool],
        *,
        within: float = 3600.0,
        every: float = 5.0,
    ) -> T:
        """Poll `read` until `ready`, faster at first and every `every` seconds later.

        Raises WaitTimeout after `within` seconds and Interrupted when the session is cancelled; both lose nothing.
        """
        deadline, pause = time.monotonic() + within, min(0.05, every)
        while True:
            value = read()
            if ready(value):
                return value
            if time.monotonic() + pause > deadline:
                raise WaitTimeout(f"waiting for {what}: not done after {within:.0f} s; nothing is lost, run it again")
            self.pause(pause)
            pause = min(pause * 1.6, every)

    def pause(self, seconds: float) -> None:
        """Sleep, but wake at once and stop when the session is cancelled."""
        if self.cancelled.wait(seconds):
            raise Interrupted(f"stopped while waiting for {self.address or 'AWS'}; run the same command again to go on")

    def _retrying(
        self, wanted: Callable[[BaseException], bool], *, within: float, first: float, most: float
    ) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(wanted),
            stop=tenacity.stop_after_delay(within),
            wait=tenacity.wait_exponential_jitter(multiplier=first, max=most, jitter=first),
            sleep=self.pause,
            reraise=True,
        )


class Client:
    """A boto3 client whose calls retry safely and raise our errors. Methods are boto3's, keywords only."""

    def __init__(self, session: Session, service: str, boto: Any) -> None:
        self._session, self._service, self.boto = session, service, boto

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self.boto, operation)
        repeatable = bool(READS.match(operation))

        def call(**params: Any) -> Any:
            return self._call(operation, repeatable, lambda: method(**params))

        return call

    def pages(self, operation: str, key: str, **params: Any) -> Iterator[Any]:
        """Every item under `key` of a paginated read."""
        paginator = self.boto.get_paginator(operation)
        send = paginator._method  # each page retried by itself: a generator that raised would end the list early
        paginator._method = lambda **page: self._call(operation, True, lambda: send(**page))
        for page in paginator.paginate(**params):
            yield from page.get(key) or ()

    def _call(self, operation: str, repeatable: bool, send: Callable[[], Any]) -> Any:
        def attempt() -> Any:
            with translated(self._service, operation, repeatable=repeatable):
                return send()

        patient = self._session._retrying(_is_throttled, within=120.0, first=0.2, most=8.0)
        brisk = self._session._retrying(_is_unsent, within=10.0, first=0.1, most=3.0)
        return patient(brisk, attempt)


class _Unsent(ApiError):
    """The connection was never made, or a read got no usable answer: the call may be repeated."""


@contextmanager
def translated(service: str, operation: str, *, repeatable: bool) -> Iterator[None]:
    """Turn whatever botocore raises into our errors; `repeatable` calls can't have an unknown outcome."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except S3UploadFailedError as error:  # what upload_file makes of S3's answer
        if not isinstance(error.__context__, ClientError):
            raise
        raise _translate_answer(error.__context__, service, operation, repeatable) from error
    except ClientError as error:
        raise _translate_answer(error, service, operation, repeatable) from error
    except BotoCoreError as error:
        raise _translate_local(error, service, operation, repeatable=repeatable) from error


def is_absent(error: BaseException) -> bool:
    """Whether AWS means "there is no such object". Codes and messages are matched together, by service."""
    if not isinstance(error, ApiError):
        return False
    return any(
        re.fullmatch(code, error.code) and re.search(reason, error.reason)
        for code, reason in ABSENT.get(error.service, ())
    )


def tag_list(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most services take them; KMS says TagKey and TagValue."""
    return [{key: k, value: v} for k, v in sorted(tags.items())]


def tag_map(tags: Sequence[Mapping[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """The way back from `tag_list`."""
    return {each[key]: each[value] for each in tags or ()}


def _matches(error: BaseException, quirks: Sequence[Quirk]) -> bool:
    return isinstance(error, ApiError) and any(
        re.fullmatch(q.code, error.code) and re.search(q.reason, error.reason) for q in quirks
    )


def _is_unsent(error: BaseException) -> bool:
    return isinstance(error, _Unsent)


def _is_throttled(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.code in THROTTLED


def _translate_answer(error: Any, service: str, operation: str, repeatable: bool) -> MlplatError:
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
    if about["code"] in NO_PERMISSION:
        return PermissionDenied(**about, hint="aws sts get-caller-identity")
    if about["code"] not in THROTTLED and status >= 500 and status != 501:
        return _Unsent(**about) if repeatable else OutcomeUnknown(**about)
    return ApiError(**about)


def _translate_local(error: Any, service: str, operation: str, *, repeatable: bool = True) -> MlplatError:
    from botocore import exceptions as bc

    if isinstance(error, bc.NoCredentialsError | bc.PartialCredentialsError | bc.TokenRetrievalError | bc.SSOError):
        return CredentialsError(f"calling {service} {operation}: {error}", hint="aws configure")
    if isinstance(error, bc.ProfileNotFound):
        return CredentialsError(f"calling {service} {operation}: {error}", hint="aws configure list-profiles")
    about: dict[str, Any] = {
        "service": service,
        "operation": operation,
        "code": type(error).__name__,
        "reason": str(error),
    }
    if isinstance(error, bc.EndpointConnectionError | bc.ConnectTimeoutError | bc.ProxyConnectionError):
        return _Unsent(**about)
    if isinstance(error, bc.HTTPClientError | bc.IncompleteReadError | bc.ResponseStreamingError):
        return _Unsent(**about) if repeatable else OutcomeUnknown(**about)
    return ApiError(**about)


class _Shared:
    """What every view of a session shares: things made once, whichever thread asks first."""

    def __init__(self) -> None:
        self._lock, self._made = threading.RLock(), dict[str, Any]()

    def once(self, key: str, make: Callable[[], T]) -> T:
        if key not in self._made:
            with self._lock:
                if key not in self._made:
                    self._made[key] = make()
        return self._made[key]  # type: ignore[no-any-return]
