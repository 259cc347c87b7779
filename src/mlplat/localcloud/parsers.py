"""moto's request parsers, made to refuse what AWS's can't read: other types, other parameters, other elements.

Most JSON is read by `json_requests`.
"""

from __future__ import annotations

from typing import Any

from moto.core import parse
from moto.core.parse import RequestParserError
from werkzeug.datastructures import MultiDict

from mlplat.localcloud import json_requests

SIGNING = ("Action", "Version", "AWSAccessKeyId", "Timestamp", "Expires", "SecurityToken", "Signature", "X-Amz-")
"""Beginnings of parameters that every operation takes."""


class _Rest:
    """What stands in the request line and the headers, and a body that may be nothing but content."""

    def _parse_non_payload_attrs(self, request: Any, shape: Any, members: Any, parsed: dict[str, Any]) -> None:
        of_headers, others = _located(shape)
        given = {of_headers.get(name.lower()) for name in request["headers"].keys()}  # noqa: SIM118 - not a mapping
        there = {**others, **{name: members[name] for name in given if name is not None}}
        super()._parse_non_payload_attrs(request, shape, there, parsed)  # type: ignore[misc]
        for name in [name for name, value in parsed.items() if value == [] or value is None]:
            del parsed[name]  # a list of the query string that isn't there

    def _parse_payload(self, request: Any, shape: Any, members: Any, parsed: dict[str, Any]) -> None:
        super()._parse_payload(request, shape, members, parsed)  # type: ignore[misc]
        payload = shape.serialization.get("payload")
        if payload is not None and members[payload].type_name == "blob":
            parsed.setdefault(payload, b"")  # content of no length is content


def _located(shape: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Members that are headers, by the header in lower case: most of an operation's are not there. And all others."""
    if "_located" not in shape.__dict__:
        plain = {name for name, each in shape.members.items() if each.serialization.get("location") == "header"}
        names = {shape.members[name].serialization.get("name", name).lower(): name for name in plain}
        others = {name: each for name, each in shape.members.items() if name not in plain}
        shape._located = names, others
    located: tuple[dict[str, str], dict[str, Any]] = shape._located
    return located


class RestJSONParser(_Rest, parse.RestJSONParser):
    """JSON bodies with members in the path, the query and headers, which are text."""

    def _parse_payload(self, request: Any, shape: Any, members: Any, parsed: dict[str, Any]) -> None:
        payload, service = shape.serialization.get("payload"), self.operation_model.service_model.service_name
        if payload is None:
            parsed.update(json_requests.read(service, shape, request["body"]) or {})
        elif members[payload].type_name in ("blob", "string"):
            super()._parse_payload(request, shape, members, parsed)
        elif value := json_requests.read(service, members[payload], request["body"]):
            parsed[payload] = value


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
    "query": parse.QueryParser,
    "rest-json": RestJSONParser,
    "rest-xml": RestXMLParser,
}
