"""moto's request parsers, made to refuse what AWS's can't read: other types, other parameters, other elements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.core import parse
from moto.core.parse import RequestParserError
from werkzeug.datastructures import MultiDict

SIGNING = ("Action", "Version", "AWSAccessKeyId", "Timestamp", "Expires", "SecurityToken", "Signature", "X-Amz-")
"""Beginnings of parameters that every operation takes."""


class Malformed(Exception):
    """The request can't be read; its text is what the service would say."""


class _Typed:
    """JSON whose values have the types of the model."""

    def _parse_structure(self, shape: Any, value: Any) -> Any:
        if value is not None and not isinstance(value, Mapping) and not shape.is_document_type:
            raise Malformed(_unexpected(value))
        return super()._parse_structure(shape, value)  # type: ignore[misc]

    def _parse_list(self, shape: Any, value: Any) -> Any:
        if not isinstance(value, list) and "location" not in shape.serialization:
            raise Malformed(_unexpected(value))
        return super()._parse_list(shape, value)  # type: ignore[misc]

    def _parse_map(self, shape: Any, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Malformed(_unexpected(value))
        return super()._parse_map(shape, value)  # type: ignore[misc]

    def _parse_body_as_json(self, body: bytes) -> Any:
        if not body:
            return {}
        try:
            return json.loads(body)
        except ValueError:
            raise Malformed("Unexpected character in the request's JSON") from None


class JSONParser(_Typed, parse.JSONParser):
    """JSON 1.0 and 1.1, as most services speak it."""

    def _parse_string(self, _shape: Any, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise Malformed(_converted(value, "String"))
        return value

    def _parse_boolean(self, _shape: Any, value: Any) -> Any:
        if value is not None and not isinstance(value, bool):
            raise Malformed(_converted(value, "Boolean"))
        return value

    def _parse_integer(self, _shape: Any, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Malformed(_converted(value, "Integer"))
        return int(value)

    _parse_byte = _parse_short = _parse_long = _parse_integer


class _Rest:
    """What stands in the request line and the headers, and a body that may be nothing but content."""

    def _parse_non_payload_attrs(self, request: Any, shape: Any, members: Any, parsed: dict[str, Any]) -> None:
        super()._parse_non_payload_attrs(request, shape, members, parsed)  # type: ignore[misc]
        for name in [name for name, value in parsed.items() if value == [] or value is None]:
            del parsed[name]  # a list of the query string that isn't there

    def _parse_payload(self, request: Any, shape: Any, members: Any, parsed: dict[str, Any]) -> None:
        super()._parse_payload(request, shape, members, parsed)  # type: ignore[misc]
        payload = shape.serialization.get("payload")
        if payload is not None and members[payload].type_name == "blob":
            parsed.setdefault(payload, b"")  # content of no length is content


class RestJSONParser(_Typed, _Rest, parse.RestJSONParser):
    """JSON bodies with members in the path, the query and headers, which are text."""


class EC2QueryParser(parse.EC2QueryParser):
    """EC2's query, which remembers what nobody asked for."""

    unknown: tuple[str, ...] = ()

    def _do_parse(self, request: Any, shape: Any) -> Any:
        read = _Read(request["values"])
        parsed = super()._do_parse({**request, "values": read}, shape)
        self.unknown = tuple(name for name in read if name not in read.names and not name.startswith(SIGNING))
        return parsed


class _Read(dict[str, str]):
    """Parameters, and the names that were asked for."""

    def __init__(self, values: MultiDict[str, str]) -> None:
        super().__init__(values.items())
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


class RestXMLParser(_Rest, parse.RestXMLParser):
    """S3's XML, which must follow its schema: other elements than the model's are malformed."""

    def _parse_structure(self, shape: Any, node: Any) -> Any:
        known = {self._member_key_name(member, name) for name, member in shape.members.items()}
        for element in node[0] if isinstance(node, list) else node:
            if self._node_tag(element) not in known:
                raise RequestParserError(f"unknown element {element.tag}")
        return super()._parse_structure(shape, node)


PROTOCOLS: dict[str, Any] = {
    "ec2": EC2QueryParser,
    "json": JSONParser,
    "query": parse.QueryParser,
    "rest-json": RestJSONParser,
    "rest-xml": RestXMLParser,
}


def _converted(value: Any, to: str) -> str:
    """Coral's words, as they are quoted in public issues; for structures its own."""
    if isinstance(value, list | Mapping):
        return "Start of structure or map found where not expected."
    kinds: dict[type, str] = {bool: "TRUE_VALUE" if value else "FALSE_VALUE", str: "STRING_VALUE"}
    return f"{kinds.get(type(value), 'NUMBER_VALUE')} can not be converted to {'an' if to == 'Integer' else 'a'} {to}"


def _unexpected(value: Any) -> str:
    return (
        "Start of structure or map found where not expected."
        if isinstance(value, Mapping)
        else ("Unexpected value type in payload")
    )
