"""Training sets: to each label the features as they were known at its time, never a value from after it.

Athena does the join, next to the data: times and keys of the labels go to S3 as a table of their own, which is dropped
afterwards. The labels' other columns never leave this machine.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplat.errors import UsageError, telling
from mlplat.workflows.features.labels import Labels
from mlplat.workflows.features.offline import CATALOG, Answer, Table, ask, quoted, rows, table_of
from mlplat.workflows.platform import Platform

BUCKET = "ml_data_infrastructure.bucket.experiments"
JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"


@dataclass(frozen=True)
class Wanted:
    """Features of one group, and the column of the labels that names its records."""

    table: Table
    features: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Dataset:
    """Labels with their features: the columns with Athena's types (None for a label's), the rows when asked for."""

    labels: Labels
    wanted: Sequence[Wanted]
    answer: Answer
    names: Mapping[tuple[str, str], str]

    @property
    def columns(self) -> list[tuple[str, str | None]]:
        """The label's own, then the features."""
        kinds = [kind for _, kind in self.answer.columns[1:]]
        own = zip(self.labels.columns, self.labels.kinds, strict=True)
        return [*own, *zip(self.names.values(), kinds, strict=False)]

    def rows(self, platform: Platform, misses: list[int]) -> Iterator[list[Any]]:
        """Each label with its features, in the order of the labels; counts in `misses`, for each group, what it
        knew nothing of at the time."""
        flags = len(self.wanted)
        for label, (_, *found) in zip(self.labels.rows(), rows(platform, self.answer), strict=True):
            for number, known in enumerate(found[-flags:]):
                misses[number] += not known
            yield [*label, *found[:-flags]]


def wanted_of(platform: Platform, asked: Sequence[str], keys: Mapping[str, str], labels: Labels) -> list[Wanted]:
    """Read GROUP:FEATURE,... (or GROUP for all of its features). Raises UsageError with the nearest name."""
    found = []
    for each in asked:
        group, _, listed = each.partition(":")
        table = table_of(platform, group)
        names = tuple(name.strip() for name in listed.split(",")) if listed else table.values
        table.check(names)
        key = keys.get(group, table.identifier)
        labels.check_column(key, f"--key={group}=", f"names the records of feature group {group}")
        found.append(Wanted(table, names, key))
    if len({each.table.group for each in found}) < len(found):
        raise UsageError("joining features: a feature group is named twice", hint="mlplat features dataset --help")
    return found


def dataset(platform: Platform, labels: Labels, wanted: Sequence[Wanted], *, ttl: float | None = None) -> Dataset:
    """Join features to labels as of each label's time.

    Of a record's rows that are not newer than the label, the newest counts: by event time, then by when it was put.
    When that is a deletion, or older than `ttl` seconds, the label gets nulls.
    """
    with _table(platform, labels, wanted) as source:
        answer = ask(platform, join(source, wanted, ttl))
    return Dataset(labels, wanted, answer, output_names(labels.columns, wanted))


def output_names(columns: Sequence[str], wanted: Sequence[Wanted]) -> dict[tuple[str, str], str]:
    """(group, feature) -> column of the result: the feature's name, with its group's before it where that is taken."""
    taken = [*columns, *(name for each in wanted for name in each.features)]
    return {
        (each.table.group, name): f"{each.table.group}_{name}" if taken.count(name) > 1 else name
        for each in wanted
        for name in each.features
    }


def join(source: str, wanted: Sequence[Wanted], ttl: float | None) -> str:
    """The SQL: the label's number, the features of every group, and for each whether it knew anything at the time."""
    moments = "SELECT *, from_iso8601_timestamp(label_time) AS moment"
    parts = [f"labels AS ({moments} FROM {source})"]
    parts += [f"known_{n} AS ({_known(n, each, ttl)})" for n, each in enumerate(wanted)]
    columns = [f"g{n}.value_{m} AS value_{n}_{m}" for n, each in enumerate(wanted) for m in range(len(each.features))]
    columns += [f"g{n}.number IS NOT NULL AS known_{n}" for n in range(len(wanted))]
    joins = [f"LEFT JOIN known_{n} g{n} ON g{n}.number = l.number" for n in range(len(wanted))]
    return (
        f"WITH {', '.join(parts)} "  # noqa: S608
        f"SELECT l.number, {', '.join(columns)} FROM labels l {' '.join(joins)} ORDER BY l.number"
    )


def _known(number: int, wanted: Wanted, ttl: float | None) -> str:
    """What is known of one group at each label: its newest row that isn't from after the label."""
    table, moment = wanted.table, wanted.table.moment
    newest = f"{moment} DESC, f.api_invocation_time DESC, f.write_time DESC"
    taken = "".join(f"f.{quoted(name)} AS value_{m}, " for m, name in enumerate(wanted.features))
    fresh = "" if ttl is None else f" AND known_at > moment - interval '{round(ttl)}' second"
    return (
        f"SELECT * FROM (SELECT {taken}l.number, l.moment, {moment} AS known_at, f.is_deleted AS deleted, "  # noqa: S608
        f"row_number() OVER (PARTITION BY l.number ORDER BY {newest}) AS place "
        f"FROM labels l JOIN {table} f ON {table.named(f'l.key_{number}')} AND {moment} <= l.moment) "
        f"WHERE place = 1 AND NOT deleted{fresh}"
    )


@contextmanager
def _table(platform: Platform, labels: Labels, wanted: Sequence[Wanted]) -> Iterator[str]:
    """Times and keys of the labels as a table, while the block runs.

    Its name is made of its content: a run that is killed leaves a table that the next one takes and drops, and a file
    that expires with all that is temporary.
    """
    bucket, database = str(platform.output(BUCKET, "name")), str(platform.output(CATALOG, "name"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.json"
        digest = _write(labels, wanted, path)
        name, key = f"mlplat_labels_{digest}", f"temp/labels/{digest}/labels.json"
        with telling(f"uploading {labels.source.path}", "mlplat status"):
            platform.session.uploads.upload_file(str(path), bucket, key)
    glue, s3 = platform.session.client("glue"), platform.session.client("s3")

    def drop() -> None:
        with platform.session.gone_is_fine():
            glue.delete_table(DatabaseName=database, Name=name)

    with telling(f"making the table of {labels.source.path}", "mlplat status"):
        drop()
        location = f"s3://{bucket}/temp/labels/{digest}/"
        glue.create_table(DatabaseName=database, TableInput=_described(name, len(wanted), location))
    try:
        yield f'"{database}"."{name}"'
    finally:
        drop()
        s3.delete_object(Bucket=bucket, Key=key)


def _write(labels: Labels, wanted: Sequence[Wanted], path: Path) -> str:
    """The table's one file, an object a line; what tells its content apart."""
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for number, (moment, keys) in enumerate(labels.keyed([each.key for each in wanted])):
            values = {f"key_{n}": key for n, key in enumerate(keys) if key is not None}
            line = json.dumps({"number": number, "label_time": moment, **values}).encode() + b"\n"
            digest.update(line)
            stream.write(line)
    return digest.hexdigest()[:16]


def _described(name: str, keys: int, location: str) -> dict[str, Any]:
    columns = {"number": "bigint", "label_time": "string", **{f"key_{n}": "string" for n in range(keys)}}
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "json"},
        "StorageDescriptor": {
            "Columns": [{"Name": each, "Type": kind} for each, kind in columns.items()],
            "Location": location,
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "SerdeInfo": {"SerializationLibrary": JSON_SERDE},
        },
    }
