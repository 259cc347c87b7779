"""Results as JSON by botocore's model, compiled once for each operation: moto's serializer takes far longer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from moto.core.serialize import TimestampSerializer

from mlplat.localcloud.json_shapes import Convert, Shapes, same

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""

_TIMES = TimestampSerializer(TimestampSerializer.TIMESTAMP_FORMAT_UNIX)


def writer(operation: Any, protocol: str) -> Callable[[Mapping[str, Any]], Answer] | None:
    """What makes the answer of an operation out of its result; None where moto's serializer has to.

    That is for other protocols than JSON, for streams of events, and for headers that aren't text.
    """
    key = (operation.service_model.service_name, operation.name, protocol)
    if key not in _OPERATIONS:
        _OPERATIONS[key] = _compiled(operation, protocol)
    return _OPERATIONS[key]


def _compiled(operation: Any, protocol: str) -> Callable[[Mapping[str, Any]], Answer] | None:
    model, shape = operation.service_model, operation.output_shape
    members = shape.members if shape is not None else {}
    located = {name: member for name, member in members.items() if "location" in member.serialization}
    if protocol not in ("json", "rest-json") or protocol != model.protocol or operation.has_event_stream_output:
        return None
    if any(each.serialization["location"] != "header" or not _is_text(each) for each in located.values()):
        return None
    kind = "application/json" if protocol == "rest-json" else f"application/x-amz-json-{_version(model)}"
    headers = [(name, member.serialization.get("name", name)) for name, member in located.items()]
    status, payload = operation.http.get("responseCode", 200), shape and shape.serialization.get("payload")
    if payload and members[payload].type_name in ("blob", "string"):
        return _raw(status, headers, payload)
    writers = _WRITERS.setdefault(model.service_name, Writers())
    body = writers.of(members[payload] if payload else shape) if shape is not None else lambda _result: {}

    def write(result: Mapping[str, Any]) -> Answer:
        given = {header: str(result[name]) for name, header in headers if result.get(name) is not None}
        written = body((result.get(payload) or {}) if payload else result)
        return status, {**given, "Content-Type": kind}, json.dumps(written).encode()

    return write


def _raw(status: int, headers: list[tuple[str, str]], payload: str) -> Callable[[Mapping[str, Any]], Answer]:
    """The body is one member as it is, and its type another one's value (moto says JSON whatever it is)."""

    def write(result: Mapping[str, Any]) -> Answer:
        given = {header: str(result[name]) for name, header in headers if result.get(name) is not None}
        content = result.get(payload) or b""
        return status, given, content.encode() if isinstance(content, str) else bytes(content)

    return write


def _is_text(shape: Any) -> bool:
    return shape.type_name == "string" and not shape.serialization.get("jsonvalue")


def _version(model: Any) -> str:
    return str(model.metadata.get("jsonVersion", "1.0"))


class Writers(Shapes):
    """How the values of one service's shapes look in JSON: only members that the model has, no None, and no empty
    structures inside others, which AWS never sends and SageMaker's SDK can't read."""

    def scalar(self, shape: Any) -> Convert:
        """Text, numbers, times and blobs."""
        if shape.type_name == "timestamp":
            form = shape.serialization.get("timestampFormat", "unixTimestamp").lower()
            return _seconds if form == "unixtimestamp" else lambda value: _TIMES._convert_timestamp_to_str(value, form)
        return _SCALARS.get(shape.type_name, same)

    def structure(self, shape: Any) -> Convert:
        """Members by their names in JSON."""
        if shape.is_document_type:
            return same
        inside = [
            (name, member.serialization.get("name", name), self.of(member), member.type_name == "structure")
            for name, member in shape.members.items()
            if "location" not in member.serialization
        ]

        def write(value: Mapping[str, Any]) -> dict[str, Any]:
            made = {}
            for name, key, writer, may_be_nothing in inside:
                each = value.get(name)
                if each is not None:
                    written = writer(each)
                    if written != {} or not may_be_nothing:
                        made[key] = written
            return made

        return write

    def list(self, shape: Any) -> Convert:
        """Every element."""
        each = self.of(shape.member)
        return lambda values: [each(value) for value in values]

    def map(self, shape: Any) -> Convert:
        """Values by their keys."""
        each = self.of(shape.value)
        return lambda values: {key: each(value) for key, value in values.items() if value is not None}


def _text(value: Any) -> str:
    return value if type(value) is str else str(value)


def _blob(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _seconds(value: Any) -> Any:
    """Seconds since the epoch, to the millisecond."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        thousandths = int(value.timestamp() * 1000 + 0.0005)
        return thousandths / 1000 if thousandths % 1000 else thousandths // 1000
    return _TIMES._convert_timestamp_to_str(value, "unixtimestamp")


_SCALARS: dict[str, Convert] = {
    "string": _text, "character": _text, "blob": _blob,
    "integer": int, "long": int, "short": same, "byte": same, "float": float, "double": float,
}  # fmt: skip

_WRITERS: dict[str, Writers] = {}
_OPERATIONS: dict[tuple[str, str, str], Callable[[Mapping[str, Any]], Answer] | None] = {}
