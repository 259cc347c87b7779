"""JSON bodies of requests by botocore's model, compiled once for each shape; other types than the model's are refused.

Members that the model doesn't have are ignored, as Smithy's AWS JSON protocols say, and so is null.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from mlplat.localcloud.json_shapes import Convert, Shapes, same

Reader = Callable[[Any, Mapping[str, Any], bytes], Any]
"""Takes moto's Request, what stands in its path, and its body."""


class Malformed(Exception):
    """The request can't be read; its text is what the service would say."""


def read(service: str, shape: Any, body: bytes) -> Any:
    """The members of a shape in a JSON body: times are aware, blobs are bytes. No body is an empty structure."""
    if not body:
        return {}
    try:
        loaded = json.loads(body)
    except ValueError:
        raise Malformed("Unexpected character in the request's JSON") from None
    return _SERVICES.setdefault(service, Readers()).of(shape)(loaded)


def reader(operation: Any, protocol: str) -> Reader | None:
    """What reads a request of the operation; None where moto's parser has to, for members that aren't text in the
    request line or the headers, and for other protocols than JSON."""
    key = (operation.service_model.service_name, operation.name, protocol)
    if key not in _READERS:
        _READERS[key] = _compiled(operation, protocol)
    return _READERS[key]


def _compiled(operation: Any, protocol: str) -> Reader | None:
    service, shape = operation.service_model.service_name, operation.input_shape
    if protocol not in ("json", "rest-json") or shape is None:
        return None
    if protocol == "json":
        return lambda _request, _uri, body: read(service, shape, body)
    located = {name: member for name, member in shape.members.items() if "location" in member.serialization}
    payload = shape.serialization.get("payload")
    if not all(_is_plain(member) for member in located.values()):
        return None
    if payload and shape.members[payload].type_name != "blob":
        return None
    take = _takers(located)

    def parse(request: Any, uri: Mapping[str, Any], body: bytes) -> dict[str, Any]:
        members = {payload: body} if payload else read(service, shape, body) or {}
        for name, taken in take:
            value = taken(request, uri)
            if value is not None and value != []:
                members[name] = value
        return members

    return parse


def _is_plain(member: Any) -> bool:
    place, kind = member.serialization["location"], member.type_name
    many = kind == "list" and place == "querystring" and member.member.type_name == "string"
    text = kind == "string" and not member.serialization.get("jsonvalue") and not member.serialization.get("hostLabel")
    return many or (text and place in ("header", "uri", "querystring"))


def _takers(located: Mapping[str, Any]) -> list[tuple[str, Callable[[Any, Mapping[str, Any]], Any]]]:
    return [(name, _taker(member.serialization.get("name", name), member)) for name, member in located.items()]


def _taker(key: str, member: Any) -> Callable[[Any, Mapping[str, Any]], Any]:
    place = member.serialization["location"]
    if place == "uri":
        return lambda _request, uri: uri.get(key)
    if place == "querystring" and member.type_name == "list":
        return lambda request, _uri: request.args.getlist(key)
    if place == "querystring":
        return lambda request, _uri: request.args.get(key)
    header = key.upper().replace("-", "_")
    header = header if header == "CONTENT_TYPE" else f"HTTP_{header}"
    return lambda request, _uri: request.environ.get(header)


class Readers(Shapes):
    """How to read the shapes of one service."""

    def scalar(self, shape: Any) -> Convert:
        """Text, numbers, times and blobs."""
        return _SCALARS.get(shape.type_name, same)

    def structure(self, shape: Any) -> Convert:
        """Members by their names in JSON."""
        if shape.is_document_type:
            return same
        inside = {
            member.serialization.get("name", name): (name, self.of(member))
            for name, member in shape.members.items()
            if "location" not in member.serialization
        }

        def parse(value: Any) -> Any:
            if value is None:
                return None
            if not isinstance(value, dict):
                raise Malformed(_unexpected(value))
            made = {}
            for key, raw in value.items():
                if raw is not None and (known := inside.get(key)) is not None:
                    made[known[0]] = known[1](raw)
            return made

        return parse

    def list(self, shape: Any) -> Convert:
        """Elements, none left out."""
        each, texts = self.of(shape.member), _texts(shape.member)

        def parse(value: Any) -> Any:
            if not isinstance(value, list):
                raise Malformed(_unexpected(value))
            return value if texts and _hold_only(value, texts) else [each(raw) for raw in value]

        return parse

    def map(self, shape: Any) -> Convert:
        """Values by their keys."""
        each = self.of(shape.value)

        def parse(value: Any) -> Any:
            if not isinstance(value, dict):
                raise Malformed(_unexpected(value))
            return {key: each(raw) for key, raw in value.items()}

        return parse


def _texts(shape: Any) -> frozenset[str]:
    """The members of a structure that are texts, and are named in JSON as in the model."""
    members = {} if shape.type_name != "structure" or shape.is_document_type else shape.members
    return frozenset(
        name
        for name, member in members.items()
        if member.type_name == "string" and not {"name", "location"} & member.serialization.keys()
    )


def _hold_only(values: Sequence[Any], texts: frozenset[str]) -> bool:
    """Whether structures have only such members, and each is a text: then they are as they should be already."""
    return (
        set(map(type, values)) == {dict}
        and texts.issuperset(chain.from_iterable(values))
        and set(map(type, chain.from_iterable(map(dict.values, values)))) <= {str}
    )


def aware(text: str | float) -> datetime:
    """A time in any of AWS's forms, in UTC."""
    from botocore.utils import parse_timestamp

    parsed: datetime = parse_timestamp(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def _string(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise Malformed(_converted(value, "String"))
    return value


def _boolean(value: Any) -> Any:
    if value is not None and not isinstance(value, bool):
        raise Malformed(_converted(value, "Boolean"))
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(_converted(value, "Integer"))
    return int(value)


_SCALARS: dict[str, Convert] = {
    "string": _string, "character": _string, "boolean": _boolean, "timestamp": aware, "blob": base64.b64decode,
    "integer": _integer, "long": _integer, "short": _integer, "byte": _integer, "float": float, "double": float,
}  # fmt: skip

_SERVICES: dict[str, Readers] = {}
_READERS: dict[tuple[str, str, str], Reader | None] = {}


def _converted(value: Any, to: str) -> str:
    """Coral's words, as they are quoted in public issues; for structures its own."""
    if isinstance(value, list | Mapping):
        return "Start of structure or map found where not expected."
    kinds: dict[type, str] = {bool: "TRUE_VALUE" if value else "FALSE_VALUE", str: "STRING_VALUE"}
    return f"{kinds.get(type(value), 'NUMBER_VALUE')} can not be converted to {'an' if to == 'Integer' else 'a'} {to}"


def _unexpected(value: Any) -> str:
    if isinstance(value, Mapping):
        return "Start of structure or map found where not expected."
    return "Unexpected value type in payload"
