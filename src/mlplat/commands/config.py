"""Look at the configuration: what is in force and where it came from, and which keys there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, settings_of
from mlplat.errors import UsageError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.settings import KeyPath, Settings

app = typer.Typer(help="Look at the configuration.", no_args_is_help=True)

KeyArgument = Annotated[str | None, typer.Argument(help="Only this key or table, network for example.", metavar="KEY")]


@app.command()
def show(
    key: KeyArgument = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print the effective settings and where each one came from."""
    from mlplat.settings import dotted, shown_path, shown_value

    settings = settings_of(namespace, config)
    chosen = [(path, value) for path, value in settings.leaves() if _under(path, key)]
    if not chosen:
        raise _no_such_key(str(key), (dotted(path) for path, _ in settings.leaves()), "mlplat config show")
    rows = [(path, shown_value(path, value), str(settings.origin(path))) for path, value in chosen]
    if not output.mode.json:
        output.note(f"{settings.namespace} on {settings.target}, from {shown_path(settings.directory)}")
    output.table("", ["Key", "Value", "Origin"], list(_grouped(rows)), value=_shown(settings, chosen))


@app.command()
def keys(key: KeyArgument = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Print every key that can be set: its environment variable, and what it may be."""
    from mlplat.settings import dotted, reference

    known = list(reference(config))
    rows = [row for row in known if _under(row[0], key)]
    if not rows:
        raise _no_such_key(str(key), (dotted(row[0]) for row in known), "mlplat config keys")
    value = [
        dict(zip(("key", "variable", "allowed", "default"), (dotted(row[0]), *row[1:]), strict=True)) for row in rows
    ]
    output.table("", ["Key", "Variable", "Allowed", "Default"], list(_grouped(rows)), value=value)


def _under(path: KeyPath, wanted: str | None) -> bool:
    """Whether a key is the wanted one or stands in the wanted table."""
    from mlplat.settings import dotted

    return wanted is None or f"{dotted(path)}.".startswith(f"{wanted.rstrip('.')}.")


def _no_such_key(wanted: str, known: Iterable[str], command: str) -> UsageError:
    from mlplat.settings import nearest

    names = list(known)
    tables = {name.rpartition(".")[0] for name in names} | {name.partition(".")[0] for name in names}
    found = nearest(wanted, [*names, *sorted(tables - {""})])
    guess = f'; did you mean "{found}"?' if found else ""
    return UsageError(f"no such key: {wanted}{guess}", hint=f"{command} {found}" if found else command)


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows that begin with their key, as TOML groups them: a heading for each table, under it the keys in it."""
    from rich.text import Text

    from mlplat.settings import dotted

    for table, group in groupby(rows, lambda row: row[0][:-1]):
        members = list(group)
        rest = ("",) * (len(members[0]) - 1)
        if table:
            yield ("", *rest)
            yield (Text(f"[{dotted(table)}]", style="bold"), *rest)
        yield from ((dotted(path[-1:]), *cells) for path, *cells in members)


def _shown(settings: Settings, chosen: Iterable[tuple[KeyPath, Any]]) -> dict[str, Any]:
    from mlplat.settings import dotted, is_secret

    nested: dict[str, Any] = {}
    origins = {}
    for path, value in chosen:
        table = nested
        for part in path[:-1]:
            table = table.setdefault(part, {})
        table[path[-1]] = "***" if is_secret(path) else value
        origins[dotted(path)] = str(settings.origin(path))
    return {
        "namespace": settings.namespace,
        "directory": str(settings.directory),
        "settings": nested,
        "origins": origins,
    }
