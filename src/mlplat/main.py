"""Mounts the command groups; the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from mlplat import __version__, output
from mlplat.commands import (
    adopt,
    bootstrap,
    completion,
    config,
    data,
    drift,
    features,
    init,
    local,
    platform,
    registry,
    serving,
    state,
    train,
)
from mlplat.errors import Interrupted, MlplatError, WaitTimeout
from mlplat.reconciler.interrupts import stoppable


class _Group(TyperGroup):
    """The root: commands stand in panels, and Ctrl-C and SIGTERM anywhere are our Interrupted, with its exit code.

    Help is plain text, because Rich's takes three times as long to import as all of mlplat.
    """

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False  # None would be coerced, for which Typer imports all of pydantic
        return option

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if isinstance(command, TyperCommand | TyperGroup):
                panel = command.rich_help_panel or "Commands"
                panels.setdefault(str(panel), []).append((name, command.get_short_help_str(formatter.width)))
        for panel in _PANELS:
            with formatter.section(panel):
                formatter.write_dl(panels[panel])

    def invoke(self, ctx: Any) -> Any:
        with stoppable():
            return super().invoke(ctx)


_PANELS = ("Platform", "Models", "This machine")

app = typer.Typer(
    name="mlplat",
    cls=_Group,
    help="Stand up, run and tear down a machine-learning platform on Amazon SageMaker, or on this machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
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
    "Platform": (
        init.init,
        bootstrap.bootstrap,
        platform.plan,
        platform.apply,
        platform.destroy,
        drift.drift,
        adopt.adopt,
        platform.status,
        platform.outputs,
        platform.describe,
    ),
    "Models": (train.train, serving.deploy, serving.invoke),
    "This machine": (completion.completion,),
}
_GROUPS = {
    "Platform": {"state": state.app},
    "Models": {"features": features.app, "registry": registry.app, "data": data.app},
    "This machine": {"config": config.app, "local": local.app},
}


for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
for _panel, _groups in _GROUPS.items():
    for _name, _group in _groups.items():
        app.add_typer(_group, name=_name, rich_help_panel=_panel)


def run() -> None:
    """Run the command line and exit with its code."""
    if completion.VARIABLE in os.environ:
        completion.prepare()
    try:
        app()
    except MlplatError as error:
        if output.mode.debug:
            raise
        if error.hint is None and isinstance(error, Interrupted | WaitTimeout):
            error.hint = f"mlplat {_typed()}"  # what was waited for goes on, and the same command joins the wait
        error.hint = _in_place(error.hint)
        output.error(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if output.mode.debug:
            raise
        output.error(MlplatError(f"unexpected {type(error).__name__}: {error}", hint=f"mlplat --debug {_typed()}"))
        sys.exit(1)


def _in_place(hint: str | None) -> str | None:
    """The hint for the namespace and configuration that were typed, so that it can be run as it stands."""
    if hint is None or not hint.startswith("mlplat ") or hint.startswith(("mlplat local", "mlplat init")):
        return hint
    for flags in (("--namespace", "-n"), ("--config", "-c")):
        given = [value for flag, value in pairwise(sys.argv[1:]) if flag in flags]
        if given and not set(flags) & set(hint.split()):
            hint = f"{hint} {flags[0]} {given[-1]}"
    return hint


def _typed() -> str:
    import shlex

    return shlex.join(sys.argv[1:])
