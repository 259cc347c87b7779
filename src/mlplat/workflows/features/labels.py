"""Labels: the rows that features are wanted for. Any columns, one of which is the time at which each was known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mlplat.errors import UsageError
from mlplat.workflows.features.offline import typed
from mlplat.workflows.features.online import event_text
from mlplat.workflows.features.sources import Row, Source, sources

WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)


class NoColumn(UsageError):
    """The labels lack a column; `flag` is what the command would say to mean another."""

    def __init__(self, message: str, flag: str) -> None:
        super().__init__(message, hint="mlplat features dataset --help")
        self.flag = flag


@dataclass(frozen=True)
class Labels:
    """A file of labels. Raises UsageError naming the row where it can't be used."""

    source: Source
    columns: tuple[str, ...]
    time: str
    """The column with the time of each label."""

    @classmethod
    def of(cls, path: Path, time: str) -> Labels:
        """The labels of a CSV, JSON lines or Parquet file. Raises UsageError naming what it lacks."""
        source = sources([path])[0]
        if source.is_stdin:
            raise UsageError("reading -: labels are read twice; name a file", hint="mlplat features dataset --help")
        first = next(source.rows(None), None)
        if first is None:
            raise UsageError(f"reading {path}: it has no labels")
        labels = cls(source, tuple(first.values), time)
        labels.check_column(time, "--time=", "says when each label was known")
        return labels

    def check_column(self, name: str, option: str, meaning: str) -> None:
        """Raise NoColumn when there is no such column; the option names another."""
        if name not in self.columns:
            raise NoColumn(
                f"reading {self.source.path}: no column {name}, which {meaning}; there are {', '.join(self.columns)}",
                f"{option}{self.columns[0]}",
            )

    @cached_property
    def kinds(self) -> list[str | None]:
        """The type of each column, in Athena's words: of CSV by all its values, otherwise None, as the file has it."""
        if self.source.format != "csv":
            return [None] * len(self.columns)
        kinds = ["bigint"] * len(self.columns)
        for row in self._checked():
            for place, value in enumerate(row.values.values()):
                kinds[place] = _kind(value, kinds[place])
        return list(kinds)

    def rows(self) -> Iterator[list[Any]]:
        """The values of every label, in the order of `columns`."""
        for row in self._checked():
            values = (row.values.get(name) for name in self.columns)
            yield [
                value if kind is None else typed(str(value), kind)
                for value, kind in zip(values, self.kinds, strict=True)
            ]

    def keyed(self, keys: Sequence[str]) -> Iterator[tuple[str, list[str | None]]]:
        """The time of every label, in UTC and milliseconds, and the record identifiers that it has in `keys`."""
        for row in self._checked():
            yield self._moment(row), [_text(row.values.get(key)) for key in keys]

    def _checked(self) -> Iterator[Row]:
        for row in self.source.rows(None):
            if row.problem is not None:
                raise UsageError(f"reading {row.where}: {row.problem}")
            if unknown := row.values.keys() - self.columns:
                raise UsageError(f"reading {row.where}: the first row has no {', '.join(sorted(unknown))}")
            yield row

    def _moment(self, row: Row) -> str:
        said = row.values.get(self.time)
        try:
            moment = said if isinstance(said, datetime) else datetime.fromisoformat(str(said))
        except ValueError:
            moment = None
        if moment is None or (moment.tzinfo is None and not isinstance(said, datetime)):
            raise UsageError(
                f"reading {row.where}: column {self.time}: {said!r} is not a time like 2026-01-31T12:00:00Z"
            )
        return event_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _kind(value: str, kind: str) -> str:
    """The type that holds the value, too, if `kind` held all before it: 007 is a text."""
    if value == "" or kind == "varchar":
        return kind
    if kind == "bigint" and WHOLE.fullmatch(value):
        return kind
    return "double" if NUMBER.fullmatch(value) else "varchar"


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
