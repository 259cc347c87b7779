"""Questions to the offline store, asked of Athena: SQL over the tables of feature groups, and their answers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from mlplat.errors import MlplatError, UsageError, telling
from mlplat.workflows.features.groups import to_read
from mlplat.workflows.platform import Platform

WORK_GROUP = "ml_feature_store.athena_work_group.features"
CATALOG = "ml_data_infrastructure.glue_database.catalog"
WITHIN = 1800.0
"""Seconds to wait for an answer; Athena ends a query after 30 minutes (Service quotas)."""

NUMBERS = {
    "bigint": int,
    "integer": int,
    "smallint": int,
    "tinyint": int,
    "double": float,
    "float": float,
    "real": float,
}
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class Table:
    """Where the offline half of a feature group is."""

    group: str
    version: int
    database: str
    name: str
    identifier: str
    event_time: str
    types: Mapping[str, str]
    """Feature -> Integral, Fractional or String."""

    def __str__(self) -> str:
        """As SQL names it."""
        return f'"{self.database}"."{self.name}"'

    @property
    def moment(self) -> str:
        """SQL for the event time of a row `f` as a timestamp."""
        name, fractional = f"f.{quoted(self.event_time)}", self.types[self.event_time] == "Fractional"
        return f"from_unixtime({name})" if fractional else f"from_iso8601_timestamp({name})"

    @property
    def values(self) -> tuple[str, ...]:
        """The features that say something of the record: neither its identifier nor its time."""
        return tuple(name for name in self.types if name not in (self.identifier, self.event_time))

    def named(self, key: str) -> str:
        """SQL for a row `f` being of the record that `key`, SQL for a text, names."""
        kind = {"Integral": "bigint", "Fractional": "double"}.get(self.types[self.identifier])
        return f"f.{quoted(self.identifier)} = " + (f"TRY_CAST({key} AS {kind})" if kind else key)

    def check(self, names: Sequence[str]) -> None:
        """Raise UsageError when one is no feature of the group."""
        for name in names:
            if name not in self.types:
                near = get_close_matches(name, self.types, n=1)
                trail = f"; the nearest is {near[0]}" if near else ""
                raise UsageError(
                    f"reading feature group {self.group}: it has no feature {name!r}{trail}",
                    hint=f"mlplat features describe {self.group}",
                )


@dataclass(frozen=True)
class Answer:
    """A result: its columns with Athena's types, and where on S3 its CSV file is."""

    query_id: str
    columns: tuple[tuple[str, str], ...]
    bucket: str
    key: str
    scanned: int
    """Bytes, which is what Athena bills."""


def table_of(platform: Platform, group: str, version: int | None = None) -> Table:
    """The table of a feature group, of the version that readers follow. Raises UsageError without an offline store."""
    schema = to_read(platform, group, version)
    name = schema.group
    if schema.table is None:
        raise UsageError(
            f"querying feature group {name}: it has no offline store",
            hint=f"mlplat config show feature_groups.{name}",
        )
    types = {each.name: each.type for each in schema.features.values()}
    return Table(name, schema.version, *schema.table, schema.identifier, schema.event_time, types)


def expanded(platform: Platform, sql: str) -> str:
    """The query with every `{group}` or `{group:version}` replaced by its table. Raises UsageError for unknown ones."""

    def table(found: re.Match[str]) -> str:
        return str(table_of(platform, found[1], int(found[2]) if found[2] else None))

    return re.sub(r"\{([\w-]+)(?::(\d+))?\}", table, sql)


def ask(platform: Platform, sql: str) -> Answer:
    """Run a query in the platform's work group and wait for it. Raises MlplatError with Athena's reason.

    What is interrupted is cancelled: nobody waits for it any more, and Athena bills what it scans.
    """
    athena, group = platform.session.client("athena"), str(platform.output(WORK_GROUP, "name"))
    context = {"Database": str(platform.output(CATALOG, "name"))}
    with telling("querying the offline store", "mlplat apply --template ml_feature_store"):
        started = athena.start_query_execution(QueryString=sql, WorkGroup=group, QueryExecutionContext=context)
        id = str(started["QueryExecutionId"])
        try:
            execution = platform.session.wait(
                f"query {id}",
                lambda: athena.get_query_execution(QueryExecutionId=id)["QueryExecution"],
                lambda found: found["Status"]["State"] in ENDED,
                within=WITHIN,
                every=2.0,
            )
        except BaseException:
            athena.stop_query_execution(QueryExecutionId=id)
            raise
        return _answered(platform, execution)


def _answered(platform: Platform, execution: dict[str, Any]) -> Answer:
    id, status = str(execution["QueryExecutionId"]), execution["Status"]
    if status["State"] != "SUCCEEDED":
        reason = status.get("StateChangeReason", status["State"])
        raise MlplatError(f"querying the offline store: {reason}", hint="mlplat features list")
    first = platform.session.client("athena").get_query_results(QueryExecutionId=id, MaxResults=1)
    columns = first["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    bucket, _, key = execution["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").partition("/")
    scanned = execution.get("Statistics", {}).get("DataScannedInBytes", 0)
    return Answer(id, tuple((each["Name"], each["Type"]) for each in columns), bucket, key, scanned)


def rows(platform: Platform, answer: Answer) -> Iterator[list[Any]]:
    """The rows of an answer, typed: numbers and booleans as such, a null (and an empty text) as None."""
    with telling("reading the answer", "mlplat status"):
        body = platform.session.client("s3").get_object(Bucket=answer.bucket, Key=answer.key)["Body"]
    reader = csv.reader(io.TextIOWrapper(io.BufferedReader(_Stream(body)), encoding="utf-8", newline=""))
    next(reader, None)
    kinds = [kind for _, kind in answer.columns]
    for row in reader:
        yield [typed(value, kind) for value, kind in zip(row, kinds, strict=True)]


def history(platform: Platform, table: Table, key: str) -> Answer:
    """Every row that the offline store has of one record, the oldest first."""
    order = ", ".join((table.moment, "f.api_invocation_time", "f.write_time"))
    columns = ", ".join(f"f.{quoted(name)}" for name in (*table.types, "is_deleted", "write_time"))
    return ask(platform, f"SELECT {columns} FROM {table} f WHERE {table.named(text(key))} ORDER BY {order}")  # noqa: S608


def quoted(name: str) -> str:
    """An identifier. Athena's are lower case."""
    return '"' + name.lower().replace('"', '""') + '"'


def text(value: str) -> str:
    """A literal."""
    return "'" + value.replace("'", "''") + "'"


def typed(value: str, kind: str) -> Any:
    """A value of an answer, by Athena's type; no text is None."""
    if value == "":
        return None
    if kind == "boolean":
        return value == "true"
    return NUMBERS[kind](value) if kind in NUMBERS else value


class _Stream(io.RawIOBase):
    """A body of S3 as a file that text can be read from, a piece at a time."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._body.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
