"""Rows into a file: CSV, JSON lines or Parquet, by its name, a batch at a time."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from mlplat.errors import UsageError
from mlplat.workflows.features.sources import FORMATS

BATCH = 10_000
"""Rows of Parquet that are held at once."""

ARROW = {
    "bigint": "int64", "integer": "int32", "smallint": "int16", "tinyint": "int8", "double": "float64",
    "float": "float32", "real": "float32", "boolean": "bool_",
}  # fmt: skip
"""Athena's types by Arrow's; everything else is text."""

Columns = Sequence[tuple[str, str | None]]
"""Names with Athena's types; None for values as they come."""


def format_of(path: Path) -> str:
    """csv, jsonl or parquet. Raises UsageError for another name, and where a file can't be written."""
    if path.suffix not in FORMATS:
        raise UsageError(
            f"writing {path}: it ends in none of {', '.join(FORMATS)}",
            hint=f"mlplat features query SQL --out {path.stem}.csv",
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(f"writing {path}: there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
    return FORMATS[path.suffix]


def write(path: Path, columns: Columns, rows: Iterable[Sequence[Any]]) -> int:
    """Write all rows, or nothing at all: the file appears when it is whole. Returns how many there were."""
    kind, count = format_of(path), 0

    def counted() -> Iterator[Sequence[Any]]:
        nonlocal count
        for row in rows:
            yield row
            count += 1

    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[kind](stream, columns, counted())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return count


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _csv(stream: IO[bytes], columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
    import io

    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(rows)
    text.detach()


def _jsonl(stream: IO[bytes], columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
    names = [name for name, _ in columns]
    for row in rows:
        stream.write(json.dumps(dict(zip(names, row, strict=True)), default=str).encode() + b"\n")


def _parquet(stream: IO[bytes], columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        hint = "pip install 'mlplat[local]'"
        raise UsageError("writing Parquet: it needs pyarrow, which isn't installed", hint=hint) from None
    batches = _batches(rows)
    first = next(batches, [])
    schema = pa.schema([(name, _arrow(pa, kind, [row[n] for row in first])) for n, (name, kind) in enumerate(columns)])
    with pq.ParquetWriter(stream, schema) as writer:
        for batch in chain([first], batches):
            arrays = [_array(pa, [row[n] for row in batch], field.type) for n, field in enumerate(schema)]
            writer.write_table(pa.table(arrays, schema))


def _batches(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    rest = iter(rows)
    while part := list(islice(rest, BATCH)):
        yield part


def _arrow(pa: Any, kind: str | None, first: list[Any]) -> Any:
    if kind is not None:
        return getattr(pa, ARROW.get(kind, "string"))()
    found = pa.array(first).type
    return pa.string() if pa.types.is_null(found) else found


def _array(pa: Any, values: list[Any], kind: Any) -> Any:
    if kind == pa.string():
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, kind)
