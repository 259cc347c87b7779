"""Mounts the command groups; the one place where an error becomes an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlplat import __version__, output
from mlplat.commands import data, features, platform, registry, serving, train
from mlplat.errors import Interrupted, MlplatError


class _Group(TyperGroup):
    """The root: Ctrl-C anywhere is our Interrupted, with its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted("stopped; run the same command again to go on") from error


app = typer.Typer(
    name="mlplat",
    cls=_Group,
    help="Stand up, run and tear down a machine-learning platform on Amazon SageMaker, or on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        output.data(__version__) if output.mode.json else typer.echo(f"mlplat {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", envvar="MLPLAT_DEBUG")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options that stand before every command."""
    output.mode.debug = debug


_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Platform": (platform.plan, platform.apply, platform.destroy, platform.status, platform.outputs, platform.describe),
    "Models": (train.train, serving.deploy, serving.invoke),
}
_GROUPS = {"features": features.app, "registry": registry.app, "data": data.app}

for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name, rich_help_panel="Models")


def run() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except MlplatError as error:
        if output.mode.debug:
            raise
        output.error(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if output.mode.debug:
            raise
        output.error(MlplatError(f"unexpected {type(error).__name__}: {error}", hint=f"mlplat --debug {_typed()}"))
        sys.exit(1)


def _typed() -> str:
    import shlex

    return shlex.join(sys.argv[1:])
