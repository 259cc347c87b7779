"""Completion for the shell."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

VARIABLE = "_MLPLAT_COMPLETE"
"""Set by the shell when it asks for completions."""


def prepare() -> None:
    """Teach Typer its shells. Typer does so by itself only when it adds its own two options to every help."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(help="bash, zsh or fish.", metavar="SHELL")
    ] = "bash",
) -> None:
    """Print what completes mlplat in a shell: `mlplat completion bash >> ~/.bashrc`."""
    from typer import completion as shells

    script = shells.get_completion_script  # type: ignore[attr-defined]
    typer.echo(script(prog_name="mlplat", complete_var=VARIABLE, shell=shell))
