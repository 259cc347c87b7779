"""Our compiled JSON against moto's parser and serializer, for every operation of the services that we answer for."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.core.parse import JSONParser
from moto.core.serialize import DefaultAttributePicker, get_serializer_class
from moto.core.utils import get_service_model

from mlplat.localcloud import json_answers, json_requests, wire
from mlplat.localcloud.json_requests import Malformed, aware

SERVICES = {
    "sagemaker": "json",
    "sagemaker-runtime": "rest-json",
    "sagemaker-featurestore-runtime": "rest-json",
    "logs": "json",
    "glue": "json",
    "lambda": "rest-json",
}
LEFT_TO_MOTO = {
    "DeleteFunction", "GetLogObject", "Invoke", "InvokeAsync", "InvokeEndpointWithResponseStream",
    "InvokeWithResponseStream", "StartLiveTail",
}  # fmt: skip
"""A status in the result, or a stream of events."""

MOMENT = datetime(2026, 3, 1, 12, 30, 15, 678_900, UTC)
SAMPLES = {
    "boolean": True, "integer": 7, "long": 8, "float": 0.5, "double": 1, "blob": b"\x00\xff", "timestamp": MOMENT,
}  # fmt: skip


def sample(shape: Any, depth: int = 0) -> Any:
    """A value of the shape, with members that the model doesn't have, None and empty structures in it."""
    if shape.type_name == "structure":
        if shape.is_document_type:
            return {"free": [1]}
        members = {} if depth > 5 else {name: sample(each, depth + 1) for name, each in shape.members.items()}
        return {**members, "NoSuchMember": 1, **({next(iter(members)): None} if len(members) > 3 else {})}
    if shape.type_name == "list":
        return [] if depth > 5 else [sample(shape.member, depth + 1)] * 2
    if shape.type_name == "map":
        return {} if depth > 5 else {"key": sample(shape.value, depth + 1), "none": None}
    return SAMPLES.get(shape.type_name, "text é")


def by_moto(operation: Any, protocol: str, result: Any) -> tuple[int, dict[str, str], Any]:
    shape = operation.output_shape
    serializer = get_serializer_class(operation.service_model.service_name, protocol)
    made = serializer(operation, value_picker=DefaultAttributePicker()).serialize(
        wire.pruned(result, shape) if shape else {}
    )
    return made["status_code"], {k: str(v) for k, v in made["headers"].items()}, made["body"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_answer_is_the_one_that_moto_makes(service: str) -> None:
    model, protocol, left = get_service_model(service), SERVICES[service], set()
    for name in model.operation_names:
        operation = model.operation_model(name)
        write = json_answers.writer(operation, protocol)
        if write is None:
            left.add(name)
            continue
        for result in ({}, sample(operation.output_shape) if operation.output_shape else {}):
            status, headers, body = by_moto(operation, protocol, result)
            made = write(result)
            assert made[0] == status, name
            payload = operation.output_shape and operation.output_shape.serialization.get("payload")
            if payload and operation.output_shape.members[payload].type_name in ("blob", "string"):
                assert made[2] == (body.encode() if isinstance(body, str) else body or b""), name
                headers.pop("Content-Type", None)  # moto's is application/json whatever it is
                given = {key: value for key, value in made[1].items() if key != "Content-Type"}
                assert given == headers, name
            else:
                assert (made[1], json.loads(made[2])) == (headers, json.loads(body)), name
    assert left <= LEFT_TO_MOTO


def test_what_is_not_json_is_left_to_moto() -> None:
    for service, protocol in (("s3", "rest-xml"), ("iam", "query"), ("ec2", "ec2")):
        model = get_service_model(service)
        assert json_answers.writer(model.operation_model(model.operation_names[0]), protocol) is None


def sent(shape: Any, depth: int = 0) -> Any:
    """A value of the shape as it stands in a JSON body."""
    if shape.type_name == "structure":
        if shape.is_document_type:
            return {"free": [1]}
        members = {} if depth > 5 else {name: sent(each, depth + 1) for name, each in shape.members.items()}
        return {**members, "NoSuchMember": 1, **({next(iter(members)): None} if len(members) > 3 else {})}
    if shape.type_name == "list":
        return [] if depth > 5 else [sent(shape.member, depth + 1)] * 2
    if shape.type_name == "map":
        return {} if depth > 5 else {"key": sent(shape.value, depth + 1)}
    plain = {**SAMPLES, "blob": base64.b64encode(b"\x00\xff").decode(), "timestamp": MOMENT.timestamp()}
    return plain.get(shape.type_name, "text é")


@pytest.mark.parametrize("service", [name for name, protocol in SERVICES.items() if protocol == "json"])
def test_every_request_is_read_as_moto_reads_it(service: str) -> None:
    model = get_service_model(service)
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.input_shape is not None:
            body = json.dumps(sent(operation.input_shape)).encode()
            theirs = JSONParser(operation, timestamp_parser=aware).parse({"body": body})  # type: ignore[typeddict-item]
            assert json_requests.read(service, operation.input_shape, body) == theirs, name


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"Tags": {"Key": "a"}}', "Start of structure or map found where not expected."),
        (b'{"Tags": ["a"]}', "Unexpected value type in payload"),
        (b'{"Tags": [{"Key": 1}]}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"EnableNetworkIsolation": "true"}', "STRING_VALUE can not be converted to a Boolean"),
        (b'{"EnableNetworkIsolation": 1', "Unexpected character in the request's JSON"),
        (b'{"ModelName": ["a"]}', "Start of structure or map found where not expected."),
        (b"[]", "Unexpected value type in payload"),
    ],
)
def test_other_types_than_the_models_are_refused(body: bytes, said: str) -> None:
    shape = get_service_model("sagemaker").operation_model("CreateModel").input_shape
    with pytest.raises(Malformed, match=said):
        json_requests.read("sagemaker", shape, body)


def test_a_shape_that_holds_itself_is_compiled_once_by_many_threads() -> None:
    shape = get_service_model("wafv2").operation_model("CreateRuleGroup").input_shape  # a Statement holds Statements
    nested: dict[str, Any] = {"NotStatement": {"Statement": {"GeoMatchStatement": {"CountryCodes": ["DE"]}}}}
    for _ in range(20):
        nested = {"NotStatement": {"Statement": nested}}
    body = json.dumps({"Rules": [{"Statement": nested}]}).encode()
    found: list[Any] = []
    for _ in range(10):
        readers = json_requests.Readers()
        barrier = threading.Barrier(8)

        def read(readers: Any = readers, barrier: Any = barrier) -> None:
            barrier.wait()
            found.append(readers.of(shape)(json.loads(body)))

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 80
    assert all(each == {"Rules": [{"Statement": nested}]} for each in found)
