"""The feature store: write records, read them back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, platform_of
from mlplat.errors import MlplatError, PartlyDone
from mlplat.output import JsonOption

app = typer.Typer(help="Write records to the feature store and read them back.", no_args_is_help=True)


@app.command()
def ingest(
    group: Annotated[str, typer.Argument(help="A feature group of the configuration.")],
    file: Annotated[Path, typer.Argument(help="A CSV file whose columns are the group's features.")],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write every row of a file. Rows that can't be written are listed and the exit code is 3."""
    from mlplat.workflows import features

    platform = platform_of(namespace, config)
    name, spec = features.group_of(platform, group)
    with output.counting(f"ingesting {file.name}", _rows(file)) as count:
        done = features.ingest(platform, name, spec, file, seen=count)
    output.data(done.to_json(), lambda: f"{done.written} records written to {name}")
    if done.failures:
        for each in done.failures[:10]:
            output.warn(f"{file}:{each.line}: {each.reason}")
        more = f" ({len(done.failures) - 10} more are in --json)" if len(done.failures) > 10 else ""
        problem = PartlyDone if done.written else MlplatError
        raise problem(
            f"ingesting {file}: {len(done.failures)} rows were not written{more}, {done.written} were",
            hint=f"mlplat features ingest {group} {file} --json",
        )


def _rows(file: Path) -> int:
    """Lines of the file less its header, for the progress bar only."""
    if not file.is_file():
        return 0
    with file.open("rb") as stream:
        return max(sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b"")) - 1, 0)


@app.command()
def get(
    group: Annotated[str, typer.Argument(help="A feature group of the configuration.")],
    key: Annotated[list[str], typer.Argument(help="Record identifiers.")],
    feature: Annotated[list[str], typer.Option("--feature", help="Only this feature; may be repeated.")] = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print the online records of these identifiers. Exit code 3 when some are not there, 1 when none is."""
    from mlplat.workflows import features

    platform = platform_of(namespace, config)
    name, spec = features.group_of(platform, group)
    found = features.get(platform, name, key, feature)
    columns = [each for each in spec.features if not feature or each in feature]
    rows = [[column, *[(found[each] or {}).get(column, "") for each in found]] for column in columns]
    output.table(name, ["Feature", *found], rows, value=found)
    missing = [each for each, record in found.items() if record is None]
    if missing:
        problem = PartlyDone if len(missing) < len(found) else MlplatError
        raise problem(f"getting records of feature group {name}: no record of {', '.join(missing)}")
