"""Records: write them to the feature store, from files or one by one, and read them back."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import FOLDER, ConfigOption, NamespaceOption, TimeoutOption, limited, platform_of
from mlplat.commands.features.groups import GroupArgument, VersionOption
from mlplat.errors import Interrupted, MlplatError, PartlyDone, UsageError, WaitTimeout
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.workflows.features.ingest import Ingested

MissingOption = Annotated[
    bool, typer.Option("--missing-as-null", help="A feature without a column is empty in every row.")
]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="csv, jsonl or parquet, when the name doesn't say.", metavar="FORMAT")
]


def validate(
    group: GroupArgument,
    file: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, JSON lines or Parquet files, folders of them, or - for standard input.", metavar="FILE"
        ),
    ],
    file_format: FormatOption = None,
    missing_as_null: MissingOption = False,
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Check the rows of files against the group, without writing any. Exit code 1 when some don't fit."""
    from mlplat.workflows.features.groups import to_write
    from mlplat.workflows.features.sources import fingerprint, sources
    from mlplat.workflows.features.validation import validate

    _check_format(file, file_format)
    files = sources(file, file_format)
    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        schema = to_write(platform, group, version)
    total = 0 if any(each.is_stdin for each in files) else fingerprint(files)[1]
    with output.counting(f"checking {group}", total) as count:
        report = validate(schema, files, lenient=missing_as_null, seen=count)
    rows = [[each.name, each.type, each.nulls, each.least, each.most] for each in report.columns]
    output.table(
        f"{report.rows:,} rows, {report.unfit:,} don't fit, {report.duplicates:,} are there twice",
        ["Feature", "Type", "Nulls", "Least", "Most"],
        rows,
        value=report.to_json(),
    )
    if report.stamped:
        output.note(f"{report.stamped:,} rows have no event time: ingest gives them that of its start")
    for where, reason in report.wrong:
        output.warn(f"{where}: {reason}")
    if report.unfit:
        raise MlplatError(
            f"validating rows of feature group {report.group}: {report.unfit:,} of {report.rows:,} don't fit",
            hint=f"mlplat features describe {report.group}",
        )


def _check_format(file: list[Path], file_format: str | None) -> None:
    if file_format not in (None, "csv", "jsonl", "parquet"):
        raise UsageError(f"reading {file[0]}: no such format: {file_format}; there are csv, jsonl and parquet")


def ingest(
    group: GroupArgument,
    file: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, JSON lines or Parquet files, folders of them, or - for standard input.", metavar="FILE"
        ),
    ],
    file_format: FormatOption = None,
    missing_as_null: MissingOption = False,
    again: Annotated[bool, typer.Option("--again", help="Write what an earlier run has written, too.")] = False,
    refused: Annotated[
        Path | None, typer.Option("--refused", help="Where rows go that can't be written (JSON lines).", metavar="FILE")
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=64, help="Calls in flight at once.", metavar="N")
    ] = 8,
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Write every row of the files. Stop it at any time: the same command goes on where it was.

    An empty value is a null and left out. Rows that can't be written go to a file with the reason, which can be mended
    and ingested; the exit code is then 3. What was ingested once isn't written a second time.
    """
    from mlplat.workflows.features.groups import to_write
    from mlplat.workflows.features.ingest import Ingestion
    from mlplat.workflows.features.sources import sources

    _check_format(file, file_format)
    files = sources(file, file_format)
    platform = platform_of(namespace, config)
    with output.working(f"reading {', '.join(map(str, file))}"), limited(platform, timeout):
        schema = to_write(platform, group, version)
        run = Ingestion(platform, schema, files, FOLDER / "ingested" / platform.settings.namespace)
    path = refused or Path(f"{run.name}.refused.jsonl")
    with output.counting(f"ingesting into {group}", run.total) as count, limited(platform, timeout):
        done = run.run(refused_file=path, parallel=parallel, lenient=missing_as_null, again=again, seen=count)
    output.data(done.to_json(), lambda: _told(done))
    complain(done, path)


def _told(done: Ingested) -> str:
    if done.done_before:
        return f"nothing to do: {done.written:,} records of this content were written by {done.done_before}"
    earlier = f", {done.earlier:,} of the rows dealt with by an earlier run" if done.earlier else ""
    return f"{done.written:,} records written to {done.group}{earlier}"


def complain(done: Ingested, path: Path) -> None:
    """Raise what keeps the ingestion from being a success: it was stopped, or rows were refused."""
    if done.unpublished is not None:
        output.warn(f"the records are written, but alarms and dashboard don't know: {done.unpublished.message}")
    if done.stopped is not None:
        said = f"{done.stopped.message}; {done.written:,} records are written, the same command goes on from there"
        stops = isinstance(done.stopped, Interrupted | WaitTimeout)
        kind: type[MlplatError] = type(done.stopped) if stops else PartlyDone
        raise kind(said, hint=done.stopped.hint)
    if done.refused:
        for where, reason in _first(path, 5):
            output.warn(f"{where}: {reason}")
        problem = PartlyDone if done.written else MlplatError
        raise problem(
            f"ingesting into feature group {done.group}: {done.refused:,} rows were not written, "
            f"{done.written:,} were; "
            f"{path} has each with its reason",
            hint=f"mlplat features ingest {done.group} {path}",
        )


def _first(path: Path, count: int) -> list[tuple[str, str]]:
    import json
    from itertools import islice

    from mlplat.workflows.features.sources import WHERE, WHY

    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in islice(stream, count)]
    return [(row[WHERE], row[WHY]) for row in rows]


def get(
    group: GroupArgument,
    key: Annotated[list[str], typer.Argument(help="Record identifiers.", metavar="KEY")],
    feature: Annotated[
        list[str], typer.Option("--feature", help="Only this feature; may be repeated.", metavar="NAME")
    ] = [],
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Print the online records of these identifiers. Exit code 3 when some are not there, 1 when none is."""
    from mlplat.workflows.features import online
    from mlplat.workflows.features.groups import to_read

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        described = to_read(platform, group, version)
        found = online.get(platform, described, key, feature)
    columns = [each for each in described.features if not feature or each in feature]
    rows = [[column, *[_shown((found[each] or {}).get(column, "")) for each in found]] for column in columns]
    output.table(group, ["Feature", *found], rows, value=found)
    missing = [each for each, record in found.items() if record is None]
    if missing:
        problem = PartlyDone if len(missing) < len(found) else MlplatError
        raise problem(f"getting records of feature group {group}: no record of {', '.join(missing)}")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"[{', '.join(value)}]"


def put(
    group: GroupArgument,
    value: Annotated[
        list[str], typer.Argument(help="FEATURE=VALUE; an event time that isn't given is now.", metavar="FEATURE=VALUE")
    ],
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Write one record. It replaces the whole record of its identifier."""
    from mlplat.workflows.features import online
    from mlplat.workflows.features.groups import to_write

    wrong = [each for each in value if "=" not in each]
    if wrong:
        raise UsageError(
            f"putting a record of feature group {group}: {wrong[0]!r} is not FEATURE=VALUE",
            hint=f"mlplat features describe {shlex.quote(group)}",
        )
    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        record = online.put(platform, to_write(platform, group, version), dict(each.split("=", 1) for each in value))
    written = {each["FeatureName"]: each.get("ValueAsStringList", each.get("ValueAsString")) for each in record}
    output.data(written, lambda: f"1 record written to {group}")


def delete(
    group: GroupArgument,
    key: Annotated[list[str], typer.Argument(help="Record identifiers.", metavar="KEY")],
    hard: Annotated[bool, typer.Option("--hard", help="Leave no trace online, not even that it was deleted.")] = False,
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Delete records from the online store. The offline store keeps its rows and notes the deletion."""
    from mlplat.workflows.features import online
    from mlplat.workflows.features.groups import to_write

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        described = to_write(platform, group, version)
        for each in key:
            platform.session.check(f"deleting record {each} of feature group {group}")
            online.delete(platform, described, each, hard=hard)
    output.data({"deleted": key}, lambda: f"{len(key)} record{'s'[: len(key) > 1]} deleted from {group}")
