"""Rows out of files: CSV, JSON lines and Parquet, in folders too, or from standard input, in bounded memory."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

from mlplat.errors import MlplatError, UsageError
from mlplat.workflows.features.groups import Schema

FORMATS = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
STDIN = Path("-")
BATCH = 1024
"""Rows of Parquet that are held at once."""

WHERE = "mlplat:row"
WHY = "mlplat:reason"
"""What a file of refused rows says besides the row; left out when such a file is read again."""

csv.field_size_limit(512 * 1024)  # a feature's value may have 350 KB


class Broken(MlplatError):
    """A file that can't be read on from some row; the rows before it are fine."""


@dataclass(frozen=True)
class Row:
    """One row: where it stands, for people, its values by column, and what is wrong with it as a row."""

    where: str
    values: Mapping[str, Any]
    problem: str | None = None


@dataclass(frozen=True)
class Source:
    """One file and how it is read."""

    path: Path
    format: str

    @property
    def is_stdin(self) -> bool:
        """Whether it can be read only once."""
        return self.path == STDIN

    def rows(self, schema: Schema | None, *, lenient: bool = False) -> Iterator[Row]:
        """Every row. Raises UsageError when the columns aren't the group's, Broken where reading has to end.

        With `lenient` a feature that has no column is null in every row; without a schema any columns will do.
        """
        if self.format == "parquet":
            yield from self._parquet(schema, lenient)
            return
        with self._text() as stream:
            try:
                yield from self._csv(stream, schema, lenient) if self.format == "csv" else self._json(stream)
            except UnicodeDecodeError as error:
                raise Broken(f"reading {self.path}: it is not UTF-8 text: {error.reason}") from error

    def fingerprint(self, digest: Any) -> int:
        """Feed the whole content to a hash; returns about how many rows there are."""
        lines = 0
        with self.path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                lines += chunk.count(b"\n")
        if self.format == "parquet":
            return int(self._opened().metadata.num_rows)
        return max(lines - (self.format == "csv"), 0)

    def _text(self) -> IO[str]:
        if self.is_stdin:
            return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
        return self.path.open(newline="", encoding="utf-8-sig")

    def _csv(self, stream: IO[str], schema: Schema | None, lenient: bool) -> Iterator[Row]:
        reader = csv.reader(stream, strict=True)
        try:
            columns = next(reader, None)
            if columns is None:
                raise UsageError(f"reading {self.path}: it is empty; the first line names the columns")
            _check_columns(self.path, columns, schema, lenient)
            for values in reader:
                where = f"{self.path}:{reader.line_num}"
                if len(values) == len(columns):
                    yield Row(where, dict(zip(columns, values, strict=True)))
                elif values:
                    problem = f"it has {len(values)} values under {len(columns)} columns"
                    yield Row(where, dict(zip(columns, values, strict=False)), problem)
        except csv.Error as error:
            raise Broken(f"reading {self.path}:{reader.line_num}: it is not CSV: {error}") from error

    def _json(self, stream: IO[str]) -> Iterator[Row]:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            where = f"{self.path}:{number}"
            try:
                values = json.loads(line)
            except ValueError as error:
                raise Broken(f"reading {where}: it is not JSON, one object a line: {error}") from error
            if not isinstance(values, dict):
                raise Broken(f"reading {where}: it is not a JSON object")
            yield Row(where, {key: value for key, value in values.items() if key not in (WHERE, WHY)})

    def _parquet(self, schema: Schema | None, lenient: bool) -> Iterator[Row]:
        import pyarrow as pa

        opened, number = self._opened(), 0
        _check_columns(self.path, opened.schema_arrow.names, schema, lenient)
        try:
            for batch in opened.iter_batches(batch_size=BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"{self.path} row {number}", values)
        except (pa.ArrowException, OSError) as error:
            raise Broken(f"reading {self.path} after row {number}: the Parquet file is damaged: {error}") from error

    def _opened(self) -> Any:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise UsageError(
                f"reading {self.path}: Parquet needs pyarrow, which isn't installed", hint="pip install 'mlplat[local]'"
            ) from None
        try:
            return pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"reading {self.path}: it is not a Parquet file, or it is damaged: {error}") from error


def sources(paths: Sequence[Path], kind: str | None = None) -> list[Source]:
    """The files meant by paths, folders opened up in the order of their names. Raises UsageError naming a wrong one."""
    found = [each for path in paths for each in _files(path, kind)]
    if STDIN in (each.path for each in found) and len(found) > 1:
        raise UsageError("reading -: standard input can't be read together with files")
    return found


def _check_columns(path: Path, columns: Sequence[str], schema: Schema | None, lenient: bool) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UsageError(f"reading {path}: it has more than one column {_listed(twice)}")
    if schema is not None:
        check_columns(path, columns, schema, lenient)


def check_columns(path: Path, columns: Sequence[str], schema: Schema, lenient: bool) -> None:
    """Raise UsageError when columns are missing or unknown. The event time may be missing."""
    missing = [name for name in schema.features if name not in columns and name != schema.event_time]
    unknown = [name for name in columns if name not in schema.features]
    if lenient and schema.identifier not in missing:
        missing = []
    for what, names, pool in (
        ("has no column", missing, columns),
        ("has a column that the feature group lacks:", unknown, schema.features),
    ):
        if names:
            near = get_close_matches(names[0], list(pool), n=1)
            trail = f" (nearest: {near[0]})" if near else ""
            more = (
                "; --missing-as-null takes it as empty" if names is missing and schema.identifier not in names else ""
            )
            raise UsageError(
                f"reading {path}: it {what} {_listed(names)}{trail}{more}",
                hint=f"mlplat features describe {schema.group}",
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def fingerprint(read: Iterable[Source]) -> tuple[str, int]:
    """What the content of files is told apart by, and about how many rows they have."""
    digest, rows = hashlib.sha256(), 0
    for each in read:
        rows += each.fingerprint(digest)
        digest.update(b"\0")
    return digest.hexdigest(), rows


def _files(path: Path, kind: str | None) -> Iterator[Source]:
    if path == STDIN:
        if kind == "parquet":
            raise UsageError("reading -: Parquet can't be read from standard input; name a file")
        yield Source(path, kind or "csv")
    elif path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.is_file() and (kind or each.suffix in FORMATS))
        if not inside:
            raise UsageError(f"reading {path}: the folder has no file that ends in {', '.join(FORMATS)}")
        yield from (Source(each, kind or FORMATS[each.suffix]) for each in inside)
    elif not path.is_file():
        raise UsageError(f"reading {path}: there is no such file", hint=f"ls {shlex.quote(str(path.parent))}")
    elif kind is None and path.suffix not in FORMATS:
        raise UsageError(f"reading {path}: it ends in none of {', '.join(FORMATS)}; say --format csv, jsonl or parquet")
    else:
        yield Source(path, kind or FORMATS[path.suffix])
