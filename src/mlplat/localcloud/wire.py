"""From the wire and back, by botocore's model: moto's parsers and serializers, used for any service's operations."""

from __future__ import annotations

import gzip
import io
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.core.model import OperationModel
from moto.core.parse import RequestParserError
from moto.core.request import Request, determine_request_protocol
from moto.core.serialize import DefaultAttributePicker, get_serializer_class
from moto.core.utils import get_service_model

from mlplat.localcloud import json_answers, json_requests, parsers
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.json_requests import Malformed, aware
from mlplat.localcloud.routing import DATA_PLANES, Route

log = logging.getLogger(__name__)

warnings.filterwarnings("ignore", message=r".*does not match an error shape.*")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def parse(route: Route) -> dict[str, Any]:
    """The request's members in the names of the model; times are aware, blobs are bytes. Read once for a request.

    Of an upload to S3 only what is in the path, the query and the headers: its body is for whoever stores it.
    """
    if "members" not in route.memo:
        try:
            parsed, unknown = _parsed(route)
        except Malformed as error:
            raise _malformed(route, str(error)) from error
        except (RequestParserError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise _malformed(route, "The request can not be read") from error
        route.memo["members"] = {name: value for name, value in parsed.items() if value is not None}
        route.memo["unknown"] = unknown
    return dict(route.memo["members"])


def _parsed(route: Route) -> tuple[dict[str, Any], tuple[str, ...]]:
    protocol = _protocol(route.operation.service_model, route.request)
    read = json_requests.reader(route.operation, protocol)
    if read is not None:
        return read(route.request, route.uri_params, _body(route)), ()
    parser = parsers.PROTOCOLS[protocol](route.operation, timestamp_parser=aware)
    parsed: dict[str, Any] = parser.parse(_dissected(route, in_form=protocol in ("query", "ec2")))
    return parsed, getattr(parser, "unknown", ())


def _protocol(model: Any, request: Request) -> str:
    """What the request is written in, by its content type where the service leaves the choice."""
    if model.service_name in DATA_PLANES:
        return str(model.protocol)
    return str(determine_request_protocol(model, request.content_type))


def unknown_parameters(route: Route) -> tuple[str, ...]:
    """Parameters of a parsed request to EC2 that the operation doesn't have."""
    unknown: tuple[str, ...] = route.memo["unknown"]
    return unknown


def has_document(operation: Any) -> bool:
    """Whether a REST request's body is described by the model, and not content of any size, or nobody's business."""
    shape = operation.input_shape
    payload = shape.serialization.get("payload")
    return payload is not None and shape.members[payload].type_name != "blob"


def _dissected(route: Route, *, in_form: bool) -> dict[str, Any]:
    request = route.request
    return {
        "method": request.method,
        "values": request.values if in_form else request.args,
        "headers": request.headers,
        "body": _body(route),
        "url_path": request.path,
        "url_params": dict(route.uri_params),
    }


def _body(route: Route) -> bytes:
    request = route.request
    if route.service == "s3" and not has_document(route.operation):
        return b""
    body = route.body
    if route.service == "s3":
        body = request.get_data(cache=True)
        request.environ["wsgi.input"] = io.BytesIO(body)  # moto reads it again
    return gzip.decompress(body) if request.environ.get("HTTP_CONTENT_ENCODING") == "gzip" else body


def _malformed(route: Route, text: str) -> AwsError:
    """What a service answers to a request that it can't read (the codes of each are documented, not all words)."""
    if route.service == "s3":
        message = "The XML you provided was not well-formed or did not validate against our published schema"
        return AwsError("MalformedXML", message)
    own = {"ec2": "InvalidParameterValue", "lambda": "InvalidRequestContentException"}
    protocol = route.operation.service_model.metadata.get("protocol")
    code = own.get(str(route.service), "MalformedInput" if protocol == "query" else "SerializationException")
    return AwsError(code, text)


def answer(route: Route, result: Mapping[str, Any] | None) -> Reply:
    """The result in the service's protocol: only members of the output shape, and no empty structures."""
    operation = route.operation
    protocol = _protocol(operation.service_model, route.request)
    write = json_answers.writer(operation, protocol)
    if write is not None:
        return Reply(*write(result or {}))
    shape = operation.output_shape
    members = pruned(result or {}, shape) if shape else {}
    made = _serializer(operation, protocol).serialize(members or {})
    headers = {name: str(value) for name, value in made["headers"].items()}
    return Reply(_status(shape, members) or made["status_code"], headers, _bytes(made["body"]))


def _status(shape: Any, members: Mapping[str, Any]) -> int | None:
    """The status of an operation that answers with one of several, as Lambda's Invoke."""
    located = shape.members.items() if shape is not None else ()
    return next(
        (members.get(name) for name, each in located if each.serialization.get("location") == "statusCode"), None
    )


def refuse(route: Route, error: AwsError) -> Reply:
    """The error in the service's protocol; without a service, as S3 (XML) or SageMaker (JSON) would say it."""
    operation, request = route.operation, route.request
    if operation is None:
        json = "X-Amz-Target" in request.headers or (request.content_type or "").startswith("application/json")
        service = route.service or ("sagemaker" if json else "s3")
        operation = OperationModel({}, get_service_model(service))
    try:
        made = _serializer(operation, _protocol(operation.service_model, request)).serialize(error)
    except NotImplementedError:  # a protocol that the service doesn't speak
        made = {"headers": {"Content-Type": "text/plain"}, "body": f"{error.code}: {error.message}"}
    headers = {name: str(value) for name, value in made["headers"].items()}
    body = b"" if request.method == "HEAD" else _bytes(made["body"])
    return Reply(error.status, headers, body)


def pruned(value: Any, shape: Any) -> Any:
    """`value` without members that the shape doesn't have, without None and without empty structures inside."""
    if value is None or shape is None:
        return value
    if shape.type_name == "structure" and isinstance(value, Mapping) and not shape.is_document_type:
        inside = {name: pruned(value.get(name), member) for name, member in shape.members.items()}
        return {name: each for name, each in inside.items() if not _is_nothing(each, shape.members[name])}
    if shape.type_name == "list":
        return [pruned(each, shape.member) for each in value]
    if shape.type_name == "map":
        return {key: pruned(each, shape.value) for key, each in value.items() if each is not None}
    return value


def _is_nothing(value: Any, shape: Any) -> bool:
    return value is None or (value == {} and shape.type_name == "structure")


def _serializer(operation: Any, protocol: str) -> Any:
    made = get_serializer_class(operation.service_model.service_name, protocol)
    return made(operation, value_picker=DefaultAttributePicker())


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body or b"")
