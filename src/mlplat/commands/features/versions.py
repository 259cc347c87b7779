"""Versions of a feature group: which there are, the old records in a new one, the end of an old one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlplat import output
from mlplat.commands.context import (
    FOLDER,
    ApproveOption,
    ConfigOption,
    NamespaceOption,
    TimeoutOption,
    limited,
    platform_of,
)
from mlplat.commands.features.groups import GroupArgument
from mlplat.commands.features.records import complain
from mlplat.commands.platform import LossOption, carry_out, request
from mlplat.output import JsonOption


def version(
    group: GroupArgument,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the versions of a group with its configuration, and say what to do next."""
    from mlplat.workflows.features.versions import compared

    platform = platform_of(namespace, config, timeout=timeout)
    with output.working(f"reading feature group {group}"), platform.limited():
        found = compared(platform, group)
    rows = [[each.version, each.status, each.use, each.difference] for each in found.versions]
    output.table(group, ["Version", "Status", "Use", "Differs from the configuration"], rows, value=found.to_json())
    for each in found.advice:
        output.note(each)


def backfill(
    group: GroupArgument,
    from_version: Annotated[
        int | None, typer.Option("--from", min=1, help="The version to read; the one before by default.", metavar="N")
    ] = None,
    to_version: Annotated[
        int | None, typer.Option("--to", min=1, help="The version to write; the present one by default.", metavar="N")
    ] = None,
    renamed: Annotated[
        list[str],
        typer.Option("--map", help="A feature that was called otherwise; may be repeated.", metavar="NEW=OLD"),
    ] = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Write the records of an older version to a newer one, all that ever were, with their times.

    Stop it at any time: the same command goes on where it was. What doesn't fit the new schema goes to a file with
    the reason; the exit code is then 3.
    """
    from mlplat.workflows.features import backfill as filling
    from mlplat.workflows.features.ingest import Ingestion
    from mlplat.workflows.features.sources import sources

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        job = filling.job_of(platform, group, from_version, to_version, filling.renamed_of(renamed))
    folder = FOLDER / "backfill" / platform.settings.namespace
    path = folder / f"{job.newer.group}-{job.older.version}-{job.newer.version}.jsonl"
    with output.working(f"reading version {job.older.version} of {job.newer.group}"), platform.limited():
        job.write(platform, path)
    run = Ingestion(platform, job.newer, sources([path]), FOLDER / "ingested" / platform.settings.namespace)
    refused = Path(f"{run.name}.refused.jsonl")
    told = f"writing version {job.newer.version} of {job.newer.group}"
    with output.counting(told, run.total) as count, limited(platform, timeout):
        done = run.run(refused_file=refused, lenient=True, seen=count)
    deleted = 0
    if done.stopped is None:
        with platform.limited():
            deleted = job.delete(platform)
        path.unlink()
    value = {**job.told(), "written": done.written, "refused": done.refused, "deletions": deleted}
    earlier = " already" if done.done_before else ""
    output.data(
        value,
        lambda: f"{done.written:,} records and {deleted:,} deletions are{earlier} in version {job.newer.version}",
    )
    if job.left_empty:
        output.note(f"left empty: {', '.join(job.left_empty)}")
    complain(done, refused)
    output.hint(f"mlplat features version {job.newer.group}")


def retire(
    group: GroupArgument,
    number: Annotated[int, typer.Argument(help="The version.", metavar="VERSION")],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    confirm: LossOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Delete an old version of a feature group with all its records, when nobody reads or writes it any more."""
    from mlplat.workflows.features.versions import check_unused

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        address = check_unused(platform, group, number)
    asked = request(targets=[address], destroy=True, delete_data=[address])
    with platform.lock("features retire"):
        with output.working("reading what is there"), platform.limited():
            made = asked.plan(platform)
        carry_out(platform, made, auto_approve, f"Delete version {number} of {group} and its records?", confirm)
