"""Records on their way into the feature store and back. A row that can't be written is reported, never dropped."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from mlplat.errors import ApiError, OutcomeUnknown, UsageError
from mlplat.settings import FeatureGroup
from mlplat.workflows.choice import chosen
from mlplat.workflows.platform import Platform

BATCH = 25
"""Records in one BatchWriteRecord call, AWS's limit."""

TRIES = 6
"""How often entries are sent again that AWS did not process; a record written twice is the same record."""

RUNTIME = "sagemaker-featurestore-runtime"

Record = list[dict[str, str]]
"""A record on the wire: FeatureName and ValueAsString; a null is left out."""


@dataclass(frozen=True)
class Failure:
    """A row that was not written: its line in the file (the header is line 1), and why."""

    line: int
    reason: str


@dataclass
class Ingested:
    """What came of an ingestion; `written + len(failures)` is the number of rows in the file."""

    group: str
    written: int = 0
    failures: list[Failure] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All counts, and each failure with its line."""
        rows = [{"line": each.line, "reason": each.reason} for each in self.failures]
        return {"group": self.group, "written": self.written, "failed": len(rows), "failures": rows}


def group_of(platform: Platform, name: str | None) -> tuple[str, FeatureGroup]:
    """The feature group of that name, or the only one there is. Raises UsageError with the nearest name."""
    return chosen(platform.settings.feature_groups, name, "feature group", "mlplat config show feature_groups")


def physical(platform: Platform, group: str) -> str:
    """The AWS name of a feature group. Raises UsageError when it is not applied."""
    return str(platform.output(f"ml_feature_store.feature_group.{group}", "name"))


def ingest(
    platform: Platform,
    group: str,
    spec: FeatureGroup,
    path: Path,
    *,
    parallel: int = 8,
    seen: Callable[[int], None] = lambda _count: None,
) -> Ingested:
    """Write every row of a CSV file. A missing event time column is stamped with the time of this call (UTC).

    `seen` is told how many rows each batch dealt with. Raises UsageError when the file or its columns are wrong.
    """
    name = physical(platform, group)
    done = Ingested(group)

    def write(batch: list[tuple[int, Record]]) -> list[Failure]:
        failures = _write(platform, name, spec.record_identifier, batch)
        seen(len(batch))
        return failures

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        batches = _batches(_checked(path, spec, done), BATCH)
        while wave := list(islice(batches, parallel * 4)):  # bounded, whatever the size of the file
            for batch, failures in zip(wave, pool.map(write, wave), strict=True):
                done.failures += failures
                done.written += len(batch) - len(failures)
    done.failures.sort(key=lambda each: each.line)
    return done


def _batches(rows: Iterator[tuple[int, Record]], size: int) -> Iterator[list[tuple[int, Record]]]:
    while batch := list(islice(rows, size)):
        yield batch


def _checked(path: Path, spec: FeatureGroup, done: Ingested) -> Iterator[tuple[int, Record]]:
    """Line number and record of every row that fits its feature types; the others become failures."""
    if not path.is_file():
        raise UsageError(f"ingesting {path}: there is no such file", hint="mlplat features ingest --help")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        _check_columns(path, reader.fieldnames or [], spec)
        for row in reader:
            row.setdefault(spec.event_time, now)
            problem = _problem(row, spec)
            if problem:
                done.failures.append(Failure(reader.line_num, problem))
            else:
                yield reader.line_num, _record(row, spec)


def _check_columns(path: Path, columns: Sequence[str], spec: FeatureGroup) -> None:
    missing = [name for name in spec.features if name not in columns and name != spec.event_time]
    unknown = [name for name in columns if name not in spec.features]
    for what, names in (("has no column", missing), ("has a column that the feature group lacks:", unknown)):
        if names:
            pool = list(columns) if what.startswith("has no") else list(spec.features)
            near = get_close_matches(names[0], pool, n=1)
            trail = f" (nearest: {near[0]})" if near else ""
            raise UsageError(f"ingesting {path}: it {what} {', '.join(names)}{trail}", hint="mlplat config show")


def _problem(row: Mapping[str | None, Any], spec: FeatureGroup) -> str | None:
    """What is wrong with a row, by column; None when it can be written."""
    if None in row or any(value is None for value in row.values()):
        return "it has more or fewer values than the header"
    for name in (spec.record_identifier, spec.event_time):
        if not row[name]:
            return f"column {name} is empty"
    for name, kind in spec.features.items():
        value = row[name]
        if value and not _fits(value, kind):
            return f"column {name}: {value!r} is not {kind}"
    return None


def _fits(value: str, kind: str) -> bool:
    if kind == "String":
        return True
    try:
        _ = int(value) if kind == "Integral" else float(value)
    except ValueError:
        return False
    return True


def _record(row: Mapping[str, str], spec: FeatureGroup) -> Record:
    return [{"FeatureName": name, "ValueAsString": row[name]} for name in spec.features if row[name] != ""]


def _write(platform: Platform, name: str, identifier: str, batch: list[tuple[int, Record]]) -> list[Failure]:
    """Write a batch, sending again what was not processed; returns what could not be written."""
    waiting, failures = batch, list[Failure]()
    for attempt in range(TRIES):
        if attempt:
            platform.session.pause(min(0.1 * 2**attempt, 5.0))
        entries = [{"FeatureGroupName": name, "Record": record} for _, record in waiting]
        try:
            answer = platform.session.client(RUNTIME).batch_write_record(Entries=entries)
        except OutcomeUnknown:
            continue
        except ApiError as error:
            return failures + [Failure(line, f"{error.code}: {error.reason}") for line, _ in waiting]
        refused = {_key(each["Entry"]["Record"], identifier): each for each in answer.get("Errors", [])}
        again = {_key(each["Record"], identifier) for each in answer.get("UnprocessedEntries", [])}
        for line, record in waiting:
            if each := refused.get(_key(record, identifier)):
                failures.append(Failure(line, f"{each['ErrorCode']}: {each['ErrorMessage']}"))
        waiting = [(line, record) for line, record in waiting if _key(record, identifier) in again]
        if not waiting:
            return failures
    return failures + [Failure(line, f"not processed after {TRIES} tries") for line, _ in waiting]


def _key(record: Sequence[Mapping[str, str]], identifier: str) -> tuple[str, ...]:
    """Tells the records of a batch apart: by identifier and the rest, since a file may repeat an identifier."""
    values = {each["FeatureName"]: each.get("ValueAsString", "") for each in record}
    return (values.get(identifier, ""), *sorted(f"{key}={value}" for key, value in values.items()))


def get(
    platform: Platform, group: str, keys: Sequence[str], names: Sequence[str] = ()
) -> dict[str, dict[str, str] | None]:
    """The online records of these identifiers, in order: feature -> value, or None where there is no record."""
    name = physical(platform, group)
    client = platform.session.client(RUNTIME)
    only = {"FeatureNames": list(names)} if names else {}

    def one(key: str) -> dict[str, str] | None:
        try:
            found = client.get_record(FeatureGroupName=name, RecordIdentifierValueAsString=key, **only)
        except ApiError as error:
            raise error.said_while(f"getting record {key} of feature group {group}", "mlplat config show") from error
        record = found.get("Record")
        return {each["FeatureName"]: each.get("ValueAsString", "") for each in record} if record else None

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(keys, pool.map(one, keys), strict=True))
