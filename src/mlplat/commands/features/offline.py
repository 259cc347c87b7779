"""The offline store: SQL over it, the history of a record, and training sets."""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, TimeoutOption, platform_of
from mlplat.commands.features.groups import GroupArgument, VersionOption
from mlplat.errors import UsageError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.workflows.features.dataset import Dataset
    from mlplat.workflows.features.offline import Answer
    from mlplat.workflows.platform import Platform

SHOWN = 100
"""Rows of an answer that are printed for people."""
WIDE = 8
"""More columns than this, of no more rows, are printed below each other."""

OutOption = Annotated[
    Path | None, typer.Option("--out", help="Write to this file instead: .csv, .jsonl or .parquet.", metavar="FILE")
]


def query(
    sql: Annotated[
        str,
        typer.Argument(
            help="A SELECT in Athena's SQL; {customer} is that group's table, {customer:2} a version's.", metavar="SQL"
        ),
    ],
    out: OutOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the offline store."""
    from mlplat.workflows.features.offline import ask, expanded

    platform = _platform(namespace, config, timeout, out)
    with output.working("asking Athena"), platform.limited():
        answer = ask(platform, expanded(platform, sql))
    _show(platform, answer, out)


def history(
    group: GroupArgument,
    key: Annotated[str, typer.Argument(help="A record identifier.", metavar="KEY")],
    out: OutOption = None,
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Show everything that a record ever was, the oldest first. What was put a moment ago may not be there yet."""
    from mlplat.workflows.features.offline import history, table_of

    platform = _platform(namespace, config, timeout, out)
    with output.working("asking Athena"), platform.limited():
        answer = history(platform, table_of(platform, group, version), key)
    _show(platform, answer, out)


def dataset(
    labels: Annotated[
        Path,
        typer.Option(
            "--labels", help="CSV, JSON lines or Parquet: keys, times, and what is to be predicted.", metavar="FILE"
        ),
    ],
    features: Annotated[
        list[str],
        typer.Option(
            "--features", help="GROUP:FEATURE,... or GROUP for all its features; may be repeated.", metavar="FEATURES"
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write: .csv, .jsonl or .parquet.", metavar="FILE")],
    time: Annotated[
        str, typer.Option("--time", help="The column of the labels with their times.", metavar="COLUMN")
    ] = "event_time",
    key: Annotated[
        list[str],
        typer.Option(
            "--key",
            help="Where the column isn't called as the record identifier; may be repeated.",
            metavar="GROUP=COLUMN",
        ),
    ] = [],
    ttl: Annotated[
        str | None,
        typer.Option(
            "--ttl", help="What was older than this at the label's time is null: 90d, 12h, 30m.", metavar="AGE"
        ),
    ] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Join features to labels as they were known at each label's time, never later."""
    from mlplat.workflows.features import dataset as datasets
    from mlplat.workflows.features.labels import Labels, NoColumn
    from mlplat.workflows.features.results import write

    wrong = [each for each in key if "=" not in each]
    if wrong:
        raise UsageError(f"joining features: --key {wrong[0]} is not GROUP=COLUMN", hint="mlplat features dataset -h")
    seconds = None if ttl is None else _seconds(ttl)
    platform = _platform(namespace, config, timeout, out)
    with output.working("asking Athena"), platform.limited():
        try:
            rows = Labels.of(labels, time)
            wanted = datasets.wanted_of(platform, features, dict(each.split("=", 1) for each in key), rows)
        except NoColumn as error:
            error.hint = output.typed_again(shlex.quote(error.flag))  # of two, the last counts
            raise
        joined = datasets.dataset(platform, rows, wanted, ttl=seconds)
    with output.working(f"writing {out}"), platform.limited():
        misses = [0] * len(wanted)
        count = write(out, joined.columns, joined.rows(platform, misses))
    _tell(joined, out, count, misses)


def _tell(joined: Dataset, out: Path, count: int, misses: list[int]) -> None:
    rows = [
        [each.table.group, len(each.features), count - missed, missed, f"{100 * missed / count:.1f} %"]
        for each, missed in zip(joined.wanted, misses, strict=True)
    ]
    columns = ["Group", "Features", "Found", "Missed", "Share missed"]
    groups = [
        {"group": group, "features": features, "found": found, "missed": missed}
        for group, features, found, missed, _ in rows
    ]
    value = {"file": str(out), "rows": count, "columns": [name for name, _ in joined.columns], "groups": groups}
    output.table(f"{out}: {count:,} rows, {len(joined.columns)} columns", columns, rows, value=value)


def _platform(namespace: str | None, config: Path | None, timeout: int | None, out: Path | None) -> Platform:
    """The platform, once it is sure that the answer can be written."""
    from mlplat.workflows.features.results import format_of

    if out is not None:
        format_of(out)
    return platform_of(namespace, config, timeout=timeout)


def _show(platform: Platform, answer: Answer, out: Path | None) -> None:
    from mlplat.workflows.features.offline import rows
    from mlplat.workflows.features.results import write

    found = rows(platform, answer)
    if out is not None:
        with platform.limited():
            count = write(out, answer.columns, found)
        value = {"file": str(out), "rows": count, "query": answer.query_id, "scanned_bytes": answer.scanned}
        output.data(value, lambda: f"{out}: {count:,} rows")
        return
    names = [name for name, _ in answer.columns]
    with platform.limited():
        shown = list(found if output.mode.json else islice(found, SHOWN))
        more = sum(1 for _ in found)
    if output.mode.json:
        output.data([dict(zip(names, row, strict=True)) for row in shown])
        return
    if len(names) > WIDE >= len(shown):
        output.table(
            "", ["", *(f"Row {number}" for number in range(1, len(shown) + 1))], zip(names, *shown, strict=True)
        )
    else:
        output.table("", names, shown)
    if more:
        output.note(f"{len(shown)} of {len(shown) + more:,} rows; --out FILE has all")


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in units or int(number) == 0:
        raise UsageError(f"joining features: --ttl {text} is not like 90d, 12h, 30m or 45s")
    return int(number) * units[unit]
