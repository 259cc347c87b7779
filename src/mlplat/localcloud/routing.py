"""Which service and operation a request is for, and who sends it: by its signature, then by botocore's model.

The signature's scope names the service, but SageMaker's data planes (`sagemaker-runtime`,
`sagemaker-featurestore-runtime`, `sagemaker-metrics`) all sign as `sagemaker`: their paths tell them apart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from moto.core.request import Request

SIGNED_AS = {
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "elasticloadbalancing": "elbv2",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
    "email": "ses",
    "sagemaker-mlflow": "sagemaker",
}
"""Signing names that differ from botocore's service names (of the services that mlplat or its users meet)."""

SAGEMAKER_PATHS = (
    (re.compile(r"/endpoints/[^/]+/(async-)?invocations"), "sagemaker-runtime"),
    (re.compile(r"/FeatureGroup/|/BatchGetRecord$|/BatchWriteRecord$"), "sagemaker-featurestore-runtime"),
    (re.compile(r"/BatchPutMetrics$|/BatchGetMetrics$"), "sagemaker-metrics"),
)

_AUTHORIZATION = re.compile(r"AWS4-\S+ Credential=(?P<scope>[^,\s]+)")
_SIGV2 = re.compile(r"AWS (?P<key>[^:]+):")
_RPC = re.compile(r"/service/[^/]+/operation/(?P<operation>\w+)$")

DATA_PLANES = frozenset({"sagemaker-runtime", "sagemaker-featurestore-runtime"})
"""Services that are asked thousands of times a second, and speak JSON over REST only, whatever a body's type is."""

MOST_MATCHED = 10_000
FORM = "application/x-www-form-urlencoded"

READS = re.compile(r"(Describe|Get|List|Head|BatchGet|Search|Simulate|Lookup|Filter|Select|Test)[A-Z]")
"""Operations that change nothing. Invoking and assuming a role change nothing either (see `Route.access`)."""
_READS_TOO = frozenset({"InvokeEndpoint", "InvokeEndpointWithResponseStream", "AssumeRole", "Search", "Decrypt"})


@dataclass(frozen=True)
class Route:
    """Where a request goes. `service` is botocore's name; None when nobody can tell."""

    request: Request
    service: str | None
    signing_name: str
    region: str
    access_key: str | None
    operation: Any = None
    """moto's OperationModel, None when the model has no such operation."""
    uri_params: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    """Of S3's requests empty: theirs is read by whoever stores it."""
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What has been found out about the request already, so that it is parsed once."""

    @property
    def operation_name(self) -> str:
        """The operation as the model names it, or as the request does."""
        if self.operation is not None:
            return str(self.operation.name)
        target = self.request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        rpc = _RPC.match(self.request.path)
        action = "" if self.service == "s3" else self.request.values.get("Action", "")
        return target or (rpc["operation"] if rpc else action) or f"{self.request.method} {self.request.path}"

    @property
    def access(self) -> str:
        """`read` or `write`."""
        name = self.operation_name
        return "read" if READS.match(name) or name in _READS_TOO or name.startswith(("GET ", "HEAD ")) else "write"


def route(environ: dict[str, Any]) -> Route:
    """Read the signature and match the operation. The body of everything but S3 is read and put back."""
    request = Request(environ, populate_request=False)  # or each would hold the other, and the body
    access_key, region, signing_name = _credential(request)
    service = _service(signing_name, request)
    body = b"" if service == "s3" else _body(request)
    operation, uri_params = _match(service, request)
    return Route(request, service, signing_name, region, access_key, operation, uri_params, body)


def _body(request: Request) -> bytes:
    """The request's body, there to be read again; a form is kept by the request, which reads its fields from it."""
    environ = request.environ
    given = environ["wsgi.input"]
    if isinstance(given, io.BytesIO) and not environ.get("CONTENT_TYPE", "").startswith(FORM):
        return given.getvalue()
    body: bytes = request.get_data(cache=True)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _credential(request: Request) -> tuple[str | None, str, str]:
    """Access key, region and signing name, from the header or from a presigned URL."""
    header = request.environ.get("HTTP_AUTHORIZATION", "")
    scope = _AUTHORIZATION.match(header)
    text = scope["scope"] if scope else request.args.get("X-Amz-Credential", "")
    parts = text.split("/")
    if len(parts) >= 5:  # an access key has no slash; SigV4A scopes, without region, are not supported
        return parts[0], parts[-3], parts[-2].lower()
    older = _SIGV2.match(header)
    key = older["key"] if older else request.args.get("AWSAccessKeyId")
    return key, "us-east-1", "s3"


def _service(signing_name: str, request: Request) -> str | None:
    if signing_name == "s3":
        return "s3control" if request.path.startswith("/v20180820/") else "s3"
    if signing_name == "sagemaker" and "HTTP_X_AMZ_TARGET" not in request.environ:
        return next((name for path, name in SAGEMAKER_PATHS if path.match(request.path)), "sagemaker")
    service = SIGNED_AS.get(signing_name, signing_name)
    return service if _is_known(service) else None


@cache
def _is_known(service: str) -> bool:
    from botocore.exceptions import UnknownServiceError
    from moto.core.utils import get_service_model

    try:
        get_service_model(service)
    except UnknownServiceError:
        return False
    return True


def _match(service: str | None, request: Request) -> tuple[Any, Mapping[str, Any]]:
    """The operation; for data planes, whose paths tell all of it, as it was found before."""
    if service not in DATA_PLANES:
        return _found(service, request)
    place = (service, request.method, request.environ.get("RAW_URI", ""))
    if place not in _MATCHED:
        if len(_MATCHED) >= MOST_MATCHED:
            _MATCHED.clear()
        _MATCHED[place] = _found(service, request)
    return _MATCHED[place]


def _found(service: str | None, request: Request) -> tuple[Any, Mapping[str, Any]]:
    from moto.core.routing import NotFound, get_service_router
    from moto.core.utils import get_service_model

    if service is None:
        return None, {}
    model, router = get_service_model(service), get_service_router(service)
    try:
        chosen = router._get_router(str(model.protocol)) if service in DATA_PLANES else router
        operation, params = chosen.match(request)
    except (NotFound, NotImplementedError):
        rpc = _RPC.match(request.path)
        known = rpc and rpc["operation"] in model.operation_names
        return (model.operation_model(rpc["operation"]) if rpc and known else None), {}
    return operation, params


_MATCHED: dict[tuple[str | None, str, str], tuple[Any, Mapping[str, Any]]] = {}
