"""Transformations: new raw files into a feature group, now; and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, TimeoutOption, platform_of
from mlplat.errors import MlplatError, PartlyDone, UsageError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.workflows.features.transforming import Run, Status


def transform(
    name: Annotated[
        str | None, typer.Argument(help="Which transformation; the only one by default.", metavar="NAME")
    ] = None,
    every_file: Annotated[bool, typer.Option("--all", help="Take files again that have gone through.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    last: Annotated[bool, typer.Option("--report", help="Only show what the last run did.")] = False,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Run a transformation: its new raw files through the script, checked, into the feature group.

    A run that goes on is joined. Bad rows are put into quarantine, with the reason (exit code 3); a file that can't be
    read, or has too many of them, is refused as a whole (exit code 1) and tried again by the next run.
    """
    from mlplat.workflows.features import transforming

    platform = platform_of(namespace, config, timeout=timeout)
    name, spec = transforming.transformation_of(platform, name)
    if last:
        with platform.limited():
            found = transforming.report(platform, name)
        _show(name, found, "")
        return
    with output.working(f"starting transformation {name}") as say, platform.limited():
        transforming.check_source(platform, spec)
        run = transforming.start(platform, name, spec, every_file=every_file)
        if not wait:
            output.data(
                {"run": run.id, "joined": run.joined}, lambda: f"{'joined' if run.joined else 'started'} {run.id}"
            )
            return
        status = _followed(run, say)
        found = transforming.report(platform, name, status.run) if status.run else None
    if found is None and status.status != "Succeeded":
        raise transforming.failure(run, status)
    _show(name, found, status.run)


def _followed(run: Run, say: Any) -> Status:
    if run.joined:
        output.note(f"transformation {run.name} runs already: following it")
    status = None
    for status in run.follow():
        say(f"transformation {run.name}: {status.status}{f' ({status.job})' if status.job else ''}")
    assert status is not None  # there is one status at least
    return status


def _show(name: str, found: dict[str, Any] | None, run: str) -> None:
    if found is None:
        which = f"run {run} wrote" if run else "there is"
        raise UsageError(
            f"reading the report of transformation {name}: {which} none", hint=f"mlplat features transform {name}"
        )
    rows = [[*_row(each)] for each in found["files"]]
    title = f"{found['feature_group']}: {found['written']:,} of {found['rows']:,} rows written"
    if not found["files"]:
        output.data(found, lambda: f"{found['feature_group']}: no new files")
        output.note("--all takes those again that have gone through")
        return
    output.table(title, ["File", "Status", "Rows", "Written", "Quarantined", "Why"], rows, value=found)
    _complain(name, found)


def _row(each: dict[str, Any]) -> list[Any]:
    reasons = [f"{reason} ({count})" for reason, count in each["reasons"].items()]
    why = [each["reason"]] if "reason" in each else reasons
    file = each["file"].split("/", 3)[3]  # without its bucket, which is raw
    return [file, each["status"], each.get("rows", ""), each["written"], each["quarantined"], "; ".join(why)]


def _complain(name: str, found: dict[str, Any]) -> None:
    places = [each["quarantine"] for each in found["files"] if "quarantine" in each]
    if refused := found["refused_files"]:
        raise MlplatError(
            f"transforming {name}: {refused} of {len(found['files'])} files were refused",
            hint=f"aws s3 cp {places[0]} -" if places else f"mlplat config show transformations.{name}",
        )
    if found["quarantined"]:
        raise PartlyDone(
            f"transforming {name}: {found['quarantined']:,} of {found['rows']:,} rows are in quarantine",
            hint=f"aws s3 cp {places[0]} -",
        )
