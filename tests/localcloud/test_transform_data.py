"""The rules of batch transform's data: splitting, packing, assembling, filters and joins."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplat.localcloud.executors.joining import Joining
from mlplat.localcloud.executors.json_path import JsonPath, PathError
from mlplat.localcloud.executors.payloads import RECORDIO_MAGIC, PayloadError, assemble, pack, split

DOCUMENT = {"id": 7, "features": [1, 2, 3, 4, 5, 6, 7], "deep": {"a": {"b": 1}, "c": {"b": 2}}}


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        ("$", DOCUMENT),
        ("$.id", 7),
        ("$['id']", 7),
        ("$.features[0]", 1),
        ("$.features[-1]", 7),
        ("$.features[1,3,5]", [2, 4, 6]),
        ("$.features[1:4]", [2, 3, 4, 5]),  # the end is included: "the second through fifth columns"
        ("$.features[:5]", [1, 2, 3, 4, 5, 6]),
        ("$.features[5:]", [6, 7]),
        ("$.features[0,5:]", [1, 6, 7]),
        ("$.features[-2:]", [6, 7]),
        ("$['id','deep']", {"id": 7, "deep": DOCUMENT["deep"]}),
        ("$.deep.['a','c']", {"a": {"b": 1}, "c": {"b": 2}}),
        ("$.deep.*", [{"b": 1}, {"b": 2}]),
        ("$.deep[*].b", [1, 2]),
        ("$.features.*", DOCUMENT["features"]),
    ],
)
def test_a_path_selects(path: str, selected: Any) -> None:
    assert JsonPath.parse(path).select(DOCUMENT) == selected


@pytest.mark.parametrize("path", ["", "id", "$..id", "$[?(@.a)]", "$.", "$['a'", "$[]", "$[1:2:3]", "$ .a"])
def test_what_batch_transform_does_not_support_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        JsonPath.parse(path)


@pytest.mark.parametrize(
    "path", ["$.name", "$.features[7]", "$.features[-8]", "$.features[3:9]", "$[0]", "$.id.x", "$.id.*"]
)
def test_what_is_not_there_is_an_error(path: str) -> None:
    with pytest.raises(PathError):
        JsonPath.parse(path).select(DOCUMENT)


def bodies(body: bytes, how: str, *, single: bool = False, limit: int = 0) -> list[bytes]:
    return [each.body for each in pack(split(body, how), how=how, single=single, limit=limit)]


def test_lines_are_packed_up_to_the_limit() -> None:
    body = b"aaa\nbb\r\n\ncccc\n"
    assert bodies(body, "Line") == [b"aaa\nbb\n\ncccc"]
    assert bodies(body, "Line", limit=7) == [b"aaa\nbb\n", b"cccc"]
    assert bodies(body, "Line", limit=6) == [b"aaa\nbb", b"\ncccc"]
    assert bodies(body, "Line", single=True) == [b"aaa", b"bb", b"", b"cccc"]
    assert bodies(body, "None", limit=14) == [body]
    with pytest.raises(PayloadError, match="4 bytes is over the limit of 3"):
        bodies(body, "Line", limit=3)
    with pytest.raises(PayloadError, match="over the limit"):
        bodies(body, "None", limit=13)


@given(st.lists(st.text(alphabet="ab,é", min_size=1, max_size=9), max_size=30), st.integers(18, 40))
def test_no_line_is_lost_and_no_payload_too_big(lines: list[str], limit: int) -> None:
    body = "".join(f"{line}\n" for line in lines).encode()
    sent = list(pack(split(body, "Line"), how="Line", single=False, limit=limit))
    assert assemble([each.body for each in sent], "Line") == body
    assert [record.data.decode() for each in sent for record in each.records] == lines
    assert all(len(each.body) <= limit for each in sent)


def recordio(data: bytes, flag: int = 0) -> bytes:
    return struct.pack("<II", RECORDIO_MAGIC, flag << 29 | len(data)) + data + b"\0" * (-len(data) % 4)


def test_recordio_is_sent_with_its_frame_or_alone() -> None:
    body = recordio(b"hello") + recordio(b"four")
    assert bodies(body, "RecordIO") == [body]
    assert bodies(body, "RecordIO", single=True) == [b"hello", b"four"]
    parts = recordio(b"be", 1) + recordio(b"tween", 3)
    assert bodies(parts, "RecordIO", single=True) == [b"be" + struct.pack("<I", RECORDIO_MAGIC) + b"tween"]
    for broken in (body[:-6], b"x" + body, recordio(b"hello")[:6]):
        with pytest.raises(PayloadError):
            bodies(broken, "RecordIO")


def test_tfrecord_is_sent_with_its_frame_or_alone() -> None:
    body = b"".join(struct.pack("<Q", len(data)) + b"crc1" + data + b"crc2" for data in (b"hello", b""))
    assert bodies(body, "TFRecord") == [body]
    assert bodies(body, "TFRecord", single=True) == [b"hello", b""]
    for broken in (body[:-1], body[:5]):
        with pytest.raises(PayloadError):
            bodies(broken, "TFRecord")


def test_answers_are_put_together() -> None:
    assert assemble([b"1\n2\n", b"3"], "Line") == b"1\n2\n3\n"
    assert assemble([b"1", b"2"], "None") == b"12"


def joining(content_type: str = "text/csv", split_type: str = "Line", **processing: str) -> Joining:
    source = {"ContentType": content_type, "SplitType": split_type}
    return Joining.of({"TransformInput": source, "DataProcessing": processing})


def through(body: bytes, asked: Joining, answer: bytes) -> tuple[list[bytes], bytes]:
    """(what the model gets, what is stored)."""
    records = list(split(body, "Line" if asked.lines else "None"))
    return [asked.sent(each).data for each in records], asked.stored(records, answer)


def test_csv_rows_are_filtered_and_joined() -> None:
    body = b'1,"a, b",0.5\n2,c,1e3\n'
    assert through(body, joining(InputFilter="$[1:]", JoinSource="Input"), b"yes\nno\n") == (
        [b'"a, b",0.5', b"c,1e3"],
        b'1,"a, b",0.5,yes\n2,c,1e3,no',
    )
    assert through(body, joining(JoinSource="Input", OutputFilter="$[0,-1]"), b"yes\nno")[1] == b"1,yes\n2,no"
    assert through(body, joining(OutputFilter="$[1]"), b"a,1\nb,2\n")[1] == b"1\n2"
    assert through(body, joining(), b"as it is\n\n")[1] == b"as it is\n\n"


def test_json_gets_the_answer_beside_its_own_keys() -> None:
    body = b'{"id":1,"features":[1,2]}\n{"id":2,"features":[3,4]}'
    asked = joining("application/jsonlines", InputFilter="$.features", JoinSource="Input",
                    OutputFilter="$['id','SageMakerOutput']")  # fmt: skip
    assert through(body, asked, b'{"label":0}\n{"label":1}') == (
        [b"[1,2]", b"[3,4]"],
        b'{"id":1,"SageMakerOutput":{"label":0}}\n{"id":2,"SageMakerOutput":{"label":1}}',
    )
    whole = joining("application/json", "None", JoinSource="Input")
    assert through(b'{"key":1}', whole, b'{"label":1}')[1] == b'{"key":1,"SageMakerOutput":{"label":1}}'
    assert through(b"[1, 2]", whole, b"[0]")[1] == b'{"SageMakerInput":[1,2],"SageMakerOutput":[0]}'


def test_what_can_not_be_joined_is_an_error() -> None:
    with pytest.raises(PayloadError, match="answered 1 records to 2"):
        through(b"1\n2", joining(JoinSource="Input"), b"one")
    with pytest.raises(PayloadError, match="not application/json"):
        through(b"{", joining("application/json", InputFilter="$.a"), b"")
    with pytest.raises(PayloadError, match="element 5 of 2"):
        through(b"1,2", joining(InputFilter="$[5]"), b"")
