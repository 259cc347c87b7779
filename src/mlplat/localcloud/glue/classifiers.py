"""What is in a file: Glue's built-in classifiers for CSV, JSON lines and Parquet, and the types that they give.

Developer guide, "Built-in classifiers".
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

DELIMITERS = (",", "|", "\t", ";", "\u0001")
"""In the order in which the guide names them."""
LONGEST_HEADER = 150
INT = 1 << 31


class Unreadable(Exception):
    """A file is not what it seems to be; the text names it."""


@dataclass(frozen=True)
class Classified:
    """A format and a schema."""

    kind: str
    """csv, json, parquet or UNKNOWN."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Types of Hive by name."""
    records: int = 0
    """As far as they were read."""
    read: int = 0
    """Bytes."""
    compression: str = "none"
    delimiter: str = ""
    header: bool = False


def classified(uri: str, body: bytes, size: int) -> Classified:
    """What a file holds, by its first bytes (all of them where it is Parquet or compressed)."""
    compression = "none"
    if body[:2] == b"\x1f\x8b":
        compression, body = "gzip", _unzipped(uri, body)
    if body[:4] == b"PAR1":
        return _parquet(uri, body)
    text = body.decode("utf-8", "replace")
    if len(body) < size and compression == "none":
        text = text.rpartition("\n")[0] or text  # the last line may be cut
    lines = [line for line in text.splitlines() if line.strip()]
    found = _json(lines) or _csv(text) or Classified("UNKNOWN", records=len(lines))
    return replace(found, read=len(body), compression=compression)


def _unzipped(uri: str, body: bytes) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{uri} is not a gzip file: {error}") from error


def merged(contents: Sequence[Classified]) -> Classified:
    """What files of one table have together: all columns, with types that hold the values of all."""
    columns: dict[str, str] = {}
    for each in contents:
        for name, kind in each.columns.items():
            columns[name] = wider(columns[name], kind) if name in columns else kind
    return replace(
        contents[0],
        columns=columns,
        records=sum(each.records for each in contents),
        read=sum(each.read for each in contents),
    )


def wider(one: str, other: str) -> str:
    """A type for the values of both."""
    if one == other:
        return one
    for wide, narrow in (("bigint", {"int"}), ("double", {"int", "bigint", "float"})):
        if {one, other} <= narrow | {wide}:
            return wide
    return "string"


def _csv(text: str) -> Classified | None:
    """At least two rows and two columns; a header that differs from the rows. Source: "Built-in CSV classifier"."""
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
        except csv.Error:
            continue
        widths = {len(row) for row in rows[:100]}
        if len(rows) < 2 or len(widths) != 1 or widths == {1}:
            continue
        types = [_type_of_texts(column) for column in zip(*rows[1:1000], strict=False)]
        header = _is_header(rows[0], types)
        names = [name.strip().lower() for name in rows[0]] if header else [f"col{n}" for n in range(len(rows[0]))]
        if not header:
            types = [_type_of_texts(column) for column in zip(*rows[:1000], strict=False)]
        columns = dict(zip(names, types, strict=True)) if len(set(names)) == len(names) else {}
        if columns:
            return Classified("csv", columns, len(rows) - header, delimiter=delimiter, header=header)
    return None


def _is_header(first: Sequence[str], types: Sequence[str]) -> bool:
    """Every column is text of at most 150 characters, and some row below is not all text."""
    named = all(name.strip() and len(name) <= LONGEST_HEADER and _type_of_text(name) == "string" for name in first)
    return named and any(kind != "string" for kind in types)


def _type_of_texts(values: Iterable[str]) -> str:
    kinds = [_type_of_text(value) for value in values if value.strip()]
    if not kinds:
        return "string"
    found = kinds[0]
    for kind in kinds[1:]:
        found = wider(found, kind)
    return found


def _type_of_text(value: str) -> str:
    text = value.strip()
    if text.lower() in ("true", "false"):
        return "boolean"
    try:
        int(text)
        return "bigint" if "_" not in text else "string"
    except ValueError:
        pass
    try:
        float(text)
        return "double" if "_" not in text else "string"
    except ValueError:
        return "string"


def _json(lines: Sequence[str]) -> Classified | None:
    """Objects, one a line."""
    columns: dict[str, str] = {}
    for line in lines:
        if not line.lstrip().startswith("{"):
            return None
        try:
            found = json.loads(line)
        except ValueError:
            return None
        for name, value in found.items():
            kind = _type_of_json(value)
            key = name.lower()
            if kind is not None:
                columns[key] = wider(columns[key], kind) if key in columns else kind
            else:
                columns.setdefault(key, "string")
    return Classified("json", columns, len(lines)) if columns else None


def _type_of_json(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "int" if -INT <= value < INT else "bigint"
    if isinstance(value, float):
        return "double"
    if isinstance(value, list):
        kinds = [kind for kind in map(_type_of_json, value) if kind]
        inner = kinds[0] if kinds else "string"
        for kind in kinds[1:]:
            inner = wider(inner, kind)
        return f"array<{inner}>"
    if isinstance(value, dict):
        inside = ",".join(f"{name.lower()}:{_type_of_json(each) or 'string'}" for name, each in value.items())
        return f"struct<{inside}>"
    return "string"


def _parquet(uri: str, body: bytes) -> Classified:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(body))
    except (pyarrow.ArrowException, OSError) as error:
        raise Unreadable(f"{uri} is not a Parquet file: {error}") from error
    columns = {each.name.lower(): _type_of_arrow(each.type) for each in file.schema_arrow}
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    codecs = {group.column(0).compression.lower() for group in groups if group.num_columns}
    compression = "snappy" if codecs == {"snappy"} else "none"
    return Classified("parquet", columns, file.metadata.num_rows, len(body), compression)


def _type_of_arrow(kind: Any) -> str:
    from pyarrow import types

    simple = (
        (types.is_boolean, "boolean"), (types.is_int8, "tinyint"), (types.is_int16, "smallint"),
        (types.is_int32, "int"), (types.is_uint8, "smallint"), (types.is_uint16, "int"), (types.is_integer, "bigint"),
        (types.is_float16, "float"), (types.is_float32, "float"), (types.is_floating, "double"),
        (types.is_date, "date"), (types.is_timestamp, "timestamp"), (types.is_binary, "binary"),
        (types.is_large_binary, "binary"), (types.is_fixed_size_binary, "binary"),
    )  # fmt: skip
    if types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if types.is_map(kind):
        return f"map<{_type_of_arrow(kind.key_type)},{_type_of_arrow(kind.item_type)}>"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return f"array<{_type_of_arrow(kind.value_type)}>"
    if types.is_struct(kind):
        return "struct<" + ",".join(f"{each.name.lower()}:{_type_of_arrow(each.type)}" for each in kind) + ">"
    if types.is_dictionary(kind):
        return _type_of_arrow(kind.value_type)
    return next((name for check, name in simple if check(kind)), "string")
