"""The model registry: which versions there are, and which may be deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, TimeoutOption, platform_of
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.workflows.platform import Platform

app = typer.Typer(help="List, approve and reject model versions.", no_args_is_help=True)

VersionArgument = Annotated[str, typer.Argument(help="A version number, or latest.", metavar="VERSION")]
GroupOption = Annotated[
    str | None, typer.Option("--group", help="The model package group, when there are several.", metavar="GROUP")
]
WhyOption = Annotated[str | None, typer.Option("--why", help="The reason, kept with the version.", metavar="TEXT")]


@app.command("list")
def list_versions(
    group: Annotated[str | None, typer.Argument(help="The model package group.", metavar="GROUP")] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """List the versions of a group, newest first."""
    from mlplat.workflows import registry

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        name = registry.group_name(platform, group)
        found = registry.versions(platform, name)
    metrics = sorted({metric for each in found for metric in each.metrics})
    rows = [
        [
            each.version,
            each.approval,
            *[each.metrics.get(metric) for metric in metrics],
            each.job,
            f"{each.created:%Y-%m-%d %H:%M}",
        ]
        for each in found
    ]
    columns = ["Version", "Approval", *metrics, "Trained by", "Created"]
    output.table(name, columns, rows, value=[each.to_json() for each in found])


@app.command()
def approve(
    version: VersionArgument,
    group: GroupOption = None,
    why: WhyOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Approve a version, so that it can be deployed."""
    _decide(platform_of(namespace, config, timeout=timeout), version, group, "approve", why)


@app.command()
def reject(
    version: VersionArgument,
    group: GroupOption = None,
    why: WhyOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Reject a version, so that it can't be deployed. What already serves it goes on."""
    _decide(platform_of(namespace, config, timeout=timeout), version, group, "reject", why)


def _decide(
    platform: Platform, version: str, group: str | None, verdict: Literal["approve", "reject"], why: str | None
) -> None:
    from mlplat.workflows import registry

    with platform.limited():
        found = registry.decide(platform, registry.group_name(platform, group), version, verdict, why)
    output.data(found.to_json(), lambda: f"version {found.version} of {found.group}: {found.approval}")
