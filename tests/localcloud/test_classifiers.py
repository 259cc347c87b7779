"""What crawlers see in files and folders, without a cloud."""

from __future__ import annotations

import datetime
import gzip
import io
from decimal import Decimal
from typing import Any

import pytest

from mlplat.localcloud.executors.s3_data import Place
from mlplat.localcloud.glue.classifiers import Classified, Unreadable, classified, merged, wider
from mlplat.localcloud.glue.folders import File, tables


def seen(text: str | bytes, size: int | None = None) -> Classified:
    body = text if isinstance(text, bytes) else text.encode()
    return classified("s3://b/k", body, len(body) if size is None else size)


@pytest.mark.parametrize(
    ("text", "columns", "header"),
    [
        ("id,n\nx,1\ny,2\n", {"id": "string", "n": "bigint"}, True),
        ("id|n\nx|1.5\ny|2\n", {"id": "string", "n": "double"}, True),
        ("id\tn\nx\ttrue\ny\tFALSE\n", {"id": "string", "n": "boolean"}, True),
        ("Id , N\nx,1\ny,\n", {"id": "string", "n": "bigint"}, True),  # trimmed, lower case; nothing is no value
        ("1,2\n3,4.5\n", {"col0": "bigint", "col1": "double"}, False),
        ("a,b\nc,d\n", {"col0": "string", "col1": "string"}, False),  # all text: a header would look the same
        ('id,note\n"a, b",1\nc,2\n', {"id": "string", "note": "bigint"}, True),
        ("id,at\nx,2024-01-01\ny,7\n", {"col0": "string", "col1": "string"}, False),
    ],
)
def test_csv(text: str, columns: dict[str, str], header: bool) -> None:
    found = seen(text)
    assert (found.kind, dict(found.columns), found.header) == ("csv", columns, header)


@pytest.mark.parametrize(
    "text", ["just text\nmore text\n", "one\n1\n2\n", "a,b\n", "a,b\n1,2\n1,2,3\n", "{broken\n{}\n"]
)
def test_what_no_classifier_knows(text: str) -> None:
    assert seen(text).kind == "UNKNOWN"


def test_a_line_that_is_cut_does_not_count() -> None:
    assert dict(seen("id,n\nx,1\ny,2.", size=100).columns) == {"id": "string", "n": "bigint"}


def test_json_lines() -> None:
    lines = '{"A": 1, "b": null, "c": [1, 2.5], "d": {"X": true}}\n{"A": 5000000000, "b": "t", "e": []}\n'
    found = seen(gzip.compress(lines.encode()))
    assert (found.kind, found.compression, found.records) == ("json", "gzip", 2)
    assert dict(found.columns) == {
        "a": "bigint", "b": "string", "c": "array<double>", "d": "struct<x:boolean>", "e": "array<string>",
    }  # fmt: skip


def test_parquet() -> None:
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, Any] = {
        "Id": pyarrow.array([1], pyarrow.int32()),
        "small": pyarrow.array([1], pyarrow.int8()),
        "big": pyarrow.array([1], pyarrow.uint32()),
        "amount": pyarrow.array([Decimal("1.50")], pyarrow.decimal128(10, 2)),
        "day": pyarrow.array([datetime.date(2024, 1, 1)]),
        "at": pyarrow.array([datetime.datetime(2024, 1, 1)]),
        "tags": pyarrow.array([["x"]]),
        "place": pyarrow.array([{"lat": 1.0}]),
        "raw": pyarrow.array([b"x"]),
        "kind": pyarrow.array(["x"]).dictionary_encode(),
    }
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), sink)
    found = seen(sink.getvalue())
    assert (found.kind, found.records, found.compression) == ("parquet", 1, "snappy")
    assert dict(found.columns) == {
        "id": "int", "small": "tinyint", "big": "bigint", "amount": "decimal(10,2)", "day": "date", "at": "timestamp",
        "tags": "array<string>", "place": "struct<lat:double>", "raw": "binary", "kind": "string",
    }  # fmt: skip
    with pytest.raises(Unreadable, match="s3://b/k is not a Parquet file"):
        seen(b"PAR1 and no more")
    with pytest.raises(Unreadable, match="s3://b/k is not a gzip file"):
        seen(b"\x1f\x8b and no more")


def test_types_that_hold_both() -> None:
    assert [wider("int", "bigint"), wider("bigint", "double"), wider("boolean", "int"), wider("string", "string")] == [
        "bigint", "double", "string", "string",
    ]  # fmt: skip
    both = merged([Classified("csv", {"a": "bigint"}, 2, 10), Classified("csv", {"a": "double", "b": "string"}, 1, 5)])
    assert (dict(both.columns), both.records, both.read) == ({"a": "double", "b": "string"}, 3, 15)


def files(**kinds: str) -> list[File]:
    """Files of one column by key (`__` stands for `/`); the value is the column."""
    return [
        File(key.replace("__", "/") + ".csv", 10, Classified("csv", {column: "string"}))
        for key, column in kinds.items()
    ]


@pytest.mark.parametrize(
    ("given", "level", "found"),
    [
        (files(raw__a__1="x", raw__b__1="x"), None, [("raw", ["partition_0"])]),
        (files(raw__a__1="x", raw__b__1="y"), None, [("a", []), ("b", [])]),
        (files(raw__a__1="x", raw__b__1="x"), 3, [("a", []), ("b", [])]),
        (files(raw__1="x", raw__2="x"), None, [("raw", [])]),
        (files(raw__1="x", raw__2="y"), None, [("1_csv", []), ("2_csv", [])]),
        (files(raw__1="x", raw__a__1="x"), None, [("1_csv", []), ("a", [])]),  # not at one depth
        (files(raw__a__p__1="x", raw__a__q__1="x", raw__b__1="y"), None, [("a", ["partition_0"]), ("b", [])]),
    ],
)
def test_folders_and_their_tables(given: list[File], level: int | None, found: list[tuple[str, list[str]]]) -> None:
    assert [(each.name, each.keys) for each in tables(Place("bucket", "raw/"), given, level)] == found


def test_a_bucket_and_folders_that_name_their_keys() -> None:
    (table,) = tables(Place("My-Bucket", ""), files(Year_2024__1="x"))
    assert (table.name, table.location) == ("my_bucket", "s3://My-Bucket/")
    days = [File(f"t/Year=2024/{day}/f.csv", 1, Classified("csv", {"x": "string"})) for day in ("01", "02")]
    (table,) = tables(Place("b", "t"), days)
    assert table.keys == ["year", "partition_1"]
    assert sorted(table.values(path) for path in table.partitions()) == [["2024", "01"], ["2024", "02"]]
