"""Rows of files against a feature group, before any is written: what fits, what doesn't, and what stands out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlplat.workflows.features.groups import Schema
from mlplat.workflows.features.online import now
from mlplat.workflows.features.records import Checker, Record, value_of
from mlplat.workflows.features.sources import Source

EXAMPLES = 5
"""Rows that are named of those that don't fit."""


@dataclass
class Column:
    """What was found in one feature."""

    name: str
    type: str
    nulls: int = 0
    least: float | str | None = None
    most: float | str | None = None

    def see(self, text: str) -> None:
        """Take one value into account; texts are compared as texts."""
        value: Any = text if self.type == "String" else float(text)
        self.least = value if self.least is None else min(self.least, value)
        self.most = value if self.most is None else max(self.most, value)


@dataclass
class Report:
    """What came of it. `wrong` has where and why of the first rows that don't fit."""

    group: str
    rows: int = 0
    unfit: int = 0
    duplicates: int = 0
    """Rows whose identifier and event time an earlier row has: the last one written wins."""
    stamped: int = 0
    """Rows without an event time, which get the time of their ingestion."""
    columns: list[Column] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "group": self.group,
            "rows": self.rows,
            "unfit": self.unfit,
            "duplicates": self.duplicates,
            "without_event_time": self.stamped,
            "columns": [vars(each) for each in self.columns],
            "wrong": [{"row": row, "reason": reason} for row, reason in self.wrong],
        }


def validate(
    schema: Schema, files: Sequence[Source], *, lenient: bool = False, seen: Callable[[int], None] = lambda _rows: None
) -> Report:
    """Check every row. Raises UsageError when the columns aren't the group's, Broken where reading has to end."""
    report = Report(schema.group, columns=[Column(each.name, each.shown) for each in schema.features.values()])
    checker, keys = Checker(schema, now()), set[bytes]()
    for source in files:
        for row in source.rows(schema, lenient=lenient):
            seen(1)
            report.rows += 1
            record = row.problem or checker.check(row.values)
            if isinstance(record, str):
                report.unfit += 1
                report.wrong += [(row.where, record)][: EXAMPLES - len(report.wrong)]
                continue
            report.stamped += not row.values.get(schema.event_time)
            _take(report, schema, record, keys)
    return report


def _take(report: Report, schema: Schema, record: Record, keys: set[bytes]) -> None:
    key = f"{value_of(record, schema.identifier)}\0{value_of(record, schema.event_time)}"
    digest = hashlib.blake2b(key.encode(), digest_size=12).digest()
    report.duplicates += digest in keys
    keys.add(digest)
    there = {each["FeatureName"]: each.get("ValueAsString") for each in record}
    for column in report.columns:
        if column.name not in there:
            column.nulls += 1
        elif (text := there[column.name]) is not None:
            column.see(text)
