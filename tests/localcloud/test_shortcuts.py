"""The shortcuts give what moto's own code gives."""

from __future__ import annotations

import enum
import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import xmltodict  # type: ignore[import-untyped]
from botocore.utils import parse_to_aware_datetime
from moto.core import request, serialize
from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
from moto.core.utils import get_service_model
from moto.moto_api._internal.moto_random import MotoRandom

from mlplat.localcloud import shortcuts

TEXTS = ("", "a", "<&>\"'", "é\n\t", " ", "]]>", 7, 0.5, True, False, None)
NAMES = ("Key", "member", "xsi:type", "a-b", "a.b", "a_b", "@xmlns", "@attr", "#text")


class Colour(enum.StrEnum):
    RED = "red"


def made(chance: random.Random, depth: int = 4) -> Any:
    kind = chance.choice(["text", "text", "dict", "dict", "list"]) if depth else "text"
    if kind == "dict":
        names = chance.sample(NAMES, chance.randrange(5))
        return {name: chance.choice(TEXTS) if name[0] in "@#" else made(chance, depth - 1) for name in names}
    if kind == "list":
        return [made(chance, depth - 1) for _ in range(chance.randrange(4))]
    return chance.choice(TEXTS)


@pytest.mark.parametrize("full", [True, False])
def test_documents_are_written_as_xmltodict_writes_them(full: bool) -> None:
    chance, compared = random.Random(1), 0
    for _ in range(3000):
        body = {"Answer": made(chance)}
        try:
            theirs = xmltodict.unparse(body, full_document=full, pretty=False, short_empty_elements=True)
        except ValueError:
            continue  # a list at the root of a document
        ours = shortcuts.document(body, full_document=full, pretty=False, short_empty_elements=True)
        assert ours == theirs, body
        compared += 1
    assert compared > 2000


@pytest.mark.parametrize(
    "value", [Colour.RED, b"bytes", ("a", "b"), [["a", "b"]], {"@xmlns": {"p": "u"}}, {"#comment": "c"}, {"@a": None}]
)
def test_what_is_unusual_is_written_as_xmltodict_does(value: Any) -> None:
    for short in (True, False):
        asked = {"full_document": True, "pretty": False, "short_empty_elements": short}
        assert shortcuts.document({"A": {"B": value}}, **asked) == xmltodict.unparse({"A": {"B": value}}, **asked)
    with pytest.raises(ValueError, match="Invalid element name"):
        shortcuts.document({"A": {"<B>": value}}, full_document=True, pretty=False, short_empty_elements=True)


def structures(shape: Any, depth: int = 5) -> list[Any]:
    if not depth or shape is None:
        return []
    if shape.type_name == "structure":
        for each in shape.members.values():
            each.parent = shape
        return [shape, *(found for each in shape.members.values() for found in structures(each, depth - 1))]
    return structures(shape.member, depth - 1) if shape.type_name == "list" else []


class WithAliases:
    class Meta:
        serialization_aliases = {"SubnetId": "own_id", "VpcId": "network.id"}


class Subnet:
    pass


@pytest.mark.parametrize("operation", ["DescribeSubnets", "DescribeVpcs", "DescribeInstances", "RunInstances"])
def test_members_are_found_under_the_names_that_moto_knows(operation: str) -> None:
    model, chance, found = get_service_model("ec2").operation_model(operation), random.Random(operation), 0
    transformers = {"Tags": len, "Instance.State": str, f"{operation}.Subnets": repr}
    picker = serialize.XFormedAttributePicker(response_transformers=transformers)
    serializer = serialize.EC2Serializer(model, value_picker=picker)
    for shape in structures(model.output_shape):
        for key, member in shape.members.items():
            values: tuple[Any, ...] = (WithAliases(), Subnet(), {})
            for value in values:
                context = serialize.AttributePickerContext(value, key, member, model, model.service_model, operation)
                names = list(dict.fromkeys([*picker.get_possible_keys(context), "own_id", "unknown"]))
                for name in chance.sample(names, chance.randrange(len(names) + 1)):
                    if isinstance(value, dict):
                        value[name] = name
                    else:
                        setattr(value, name, name)
                try:
                    theirs = picker(context)
                except TypeError:
                    continue  # a transformer that doesn't take None
                assert shortcuts.picked(serializer, value, key, member) == theirs, (shape.name, key, names)
                found += theirs is not None
    assert found > 20


werkzeug_and_moto: Any = shortcuts.Headers.__base__


def test_headers_are_spelled_and_found_as_before() -> None:
    environ: dict[str, Any] = {"HTTP_HOST": "l", "HTTP_X_AMZ_META_MY_KEY": "1", "HTTP_X_AMZ_DATE": "", "PATH_INFO": "/"}
    environ |= {"CONTENT_TYPE": "", "CONTENT_LENGTH": "3", "HTTP_CONTENT_TYPE": "no"}
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = {"HTTP_X_AMZ_META_MY_KEY": "x-amz-meta-my_key"}
    ours, theirs = shortcuts.Headers(environ), werkzeug_and_moto(environ)
    assert list(ours) == list(theirs)
    assert dict(ours) == dict(theirs)
    for name in ("host", "X-Amz-Meta-My_Key", "content-type", "Content-Length", "nothing"):
        assert (ours.get(name), name in ours) == (theirs.get(name), name in theirs)


def test_the_url_is_made_once_and_stays_the_same() -> None:
    def asked() -> Any:
        environ = {"wsgi.url_scheme": "http", "HTTP_HOST": "h:1", "REQUEST_METHOD": "GET"}
        environ |= {"RAW_URI": "/a%2Fb?c=d", "PATH_INFO": "/a/b", "QUERY_STRING": "c=d"}
        return request.Request(environ)

    before = asked().raw_url
    shortcuts.register()
    assert [asked().raw_url, asked().raw_url] == [before, before] == ["http://h:1/a%2Fb?c=d"] * 2


@pytest.mark.parametrize(("asked", "pattern"), [
    ({}, "[a-zA-Z0-9]{20}"), ({"length": 500, "include_digits": False}, "[a-zA-Z]{500}"),
    ({"length": 500, "lower_case": True}, "[a-z0-9]{500}"),
])  # fmt: skip
def test_random_texts_are_made_of_what_is_asked_for(asked: dict[str, Any], pattern: str) -> None:
    made = [shortcuts.random_text(MotoRandom(), **asked) for _ in range(20)]
    assert all(re.fullmatch(pattern, each) for each in made)
    assert len(set(made)) == 20


@pytest.mark.parametrize("value", [
    "2026-03-01T01:02:03Z", "2026-03-01T01:02:03.004Z", "2026-03-01T01:02:03.004005Z", "2026-03-01T01:02:03+02:00",
    "20260301T010203Z", "Sun, 01 Mar 2026 01:02:03 GMT", "2026-03-01", "1772326923", 1772326923.5,
    datetime(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC),
])  # fmt: skip
def test_times_are_read_as_botocore_reads_them(value: Any) -> None:
    ours, theirs = shortcuts.moment(value), parse_to_aware_datetime(value)
    assert (ours, ours.utcoffset()) == (theirs, theirs.utcoffset())


@pytest.mark.parametrize("value", ["2026-02-30T01:02:03Z", "soon"])
def test_what_is_no_time_is_refused_as_before(value: str) -> None:
    with pytest.raises(ValueError, match="time"):
        shortcuts.moment(value)
