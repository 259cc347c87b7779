"""Mounts the command groups; the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from itertools import zip_longest
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
from mlplat.errors import Interrupted, MlplatError, UsageError, WaitTimeout
from mlplat.reconciler.interrupts import stoppable

_WrongUsage: Any = typer.BadParameter.__base__
"""What Typer raises for words that it doesn't take; it has no public name."""


class _Family(TyperGroup):
    """A group of commands: its help lists each with its whole first sentence, however narrow the terminal."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, rows in self.panels(ctx).items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def panels(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """Names and first sentences of the commands, by the panel in which they stand."""
        return {"Commands": [self._row(ctx, name) for name in self.list_commands(ctx)]}

    def _row(self, ctx: Any, name: str) -> tuple[str, str]:
        command = self.get_command(ctx, name)
        return name, command.get_short_help_str(limit=1000) if command else ""


class _Group(_Family):
    """The root: commands stand in panels, and Ctrl-C and SIGTERM anywhere are our Interrupted, with its exit code.

    Help is plain text, because Rich's takes three times as long to import as all of mlplat.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """As Typer's; but where JSON is asked for, words that it doesn't take are an error of ours."""
        words = options.get("args") or sys.argv[1:]
        if "--json" not in words:
            return super().main(*args, **options)
        try:
            return sys.exit(super().main(*args, **{**options, "standalone_mode": False}) or 0)
        except _WrongUsage as wrong:
            output.mode.json = True
            command = wrong.ctx.command_path if wrong.ctx else "mlplat"
            raise UsageError(wrong.format_message(), hint=f"{command} --help") from None

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False  # None would be coerced, for which Typer imports all of pydantic
        return option

    def panels(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """The commands by panel, in the order of `_PANELS`."""
        panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in _PANELS}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if isinstance(command, TyperCommand | TyperGroup):
                panels[str(command.rich_help_panel)].append(self._row(ctx, name))
        return panels

    def invoke(self, ctx: Any) -> Any:
        with stoppable():
            return super().invoke(ctx)


_PANELS = ("Platform", "Models", "This machine")

app = typer.Typer(
    name="mlplat",
    cls=_Group,
    help="Stand up, run and tear down a machine-learning platform on Amazon SageMaker, or on this machine.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage (or changes, for plan and drift), 3 partly done, 4 credentials or "
    "permission, 5 another run holds the lock, 130 interrupted.",
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
        app.add_typer(_group, name=_name, rich_help_panel=_panel, cls=_Family)


def run() -> None:
    """Run the command line and exit with its code."""
    if completion.VARIABLE in os.environ:
        completion.prepare()
    try:
        app(prog_name="mlplat")
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
    words = (hint or "").split()
    if hint is None or words[0] != "mlplat" or words[1:2] in (["local"], ["init"]) or "--help" in words:
        return hint
    for long, short in (("--namespace", "-n"), ("--config", "-c")):
        given = _given(long, short)
        taken = long == "--config" or words[1:3] != ["config", "keys"]  # which are the same for all namespaces
        if given and taken and not {long, short} & set(words):
            hint = f"{hint} {long} {shlex.quote(given)}"
    return hint


def _given(long: str, short: str) -> str | None:
    """What an option was given on the command line: `--namespace x`, `--namespace=x`, `-n x` or `-nx`; the last."""
    found = None
    for word, following in zip_longest(sys.argv[1:], sys.argv[2:]):
        if word in (long, short):
            found = following
        elif word.startswith(f"{long}="):
            found = word.partition("=")[2]
        elif word.startswith(short) and not word.startswith("--"):
            found = word.removeprefix(short)
    return found


def _typed() -> str:
    return shlex.join(sys.argv[1:])
