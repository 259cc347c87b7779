"""Files in the platform's buckets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, TimeoutOption, limited, platform_of
from mlplat.output import JsonOption

app = typer.Typer(help="Put files into the platform's buckets and list them.", no_args_is_help=True)

PurposeArgument = Annotated[
    str, typer.Argument(help="raw, processed, models or experiments.", metavar="PURPOSE[/PREFIX]")
]


@app.command()
def put(
    purpose: PurposeArgument,
    file: Annotated[list[Path], typer.Argument(help="Files or folders.", metavar="FILE")],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Upload files, or folders with all that is in them."""
    from mlplat.workflows import data

    where, _, prefix = purpose.partition("/")
    platform = platform_of(namespace, config)
    with output.working("uploading"), limited(platform, timeout):
        done = data.put(platform, file, where, prefix)
    output.table("", ["File", "URI", "Bytes"], [[*each.values()] for each in done], value=done)


@app.command()
def ls(
    purpose: PurposeArgument,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """List what a bucket holds."""
    from mlplat.workflows import data

    where, _, prefix = purpose.partition("/")
    platform = platform_of(namespace, config)
    with limited(platform, timeout):
        found = data.ls(platform, where, prefix)
    rows = [[each["key"], each["bytes"], f"{each['modified']:%Y-%m-%d %H:%M}"] for each in found]
    output.table("", ["Key", "Bytes", "Modified"], rows, value=found)


@app.command()
def crawl(
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Make tables of the files in the raw bucket, a table for each folder, for SQL (`features query`)."""
    from mlplat.workflows import catalog

    platform = platform_of(namespace, config)
    with output.working("looking through the raw bucket"), limited(platform, timeout):
        found = catalog.crawl(platform)
    rows = [[each.name, each.classification, each.columns, each.location] for each in found]
    output.table("", ["Table", "Format", "Columns", "Folder"], rows, value=[each.to_json() for each in found])
    if not found:
        output.note("there are no files in the raw bucket")
        output.hint("mlplat data put raw/FOLDER FILE")
