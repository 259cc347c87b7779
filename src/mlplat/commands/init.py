"""Write a project of one's own: the configuration and the churn example that come with mlplat."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mlplat import output
from mlplat.errors import MlplatError, UsageError
from mlplat.output import JsonOption

IGNORED = "# State and the local cloud of mlplat\n.mlplat/\n__pycache__/\n"


def init(
    directory: Annotated[Path, typer.Argument(help="The folder to write to; made when missing.", metavar="DIR")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that differ.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a ready project: the configuration and the churn example."""
    wanted = dict(_files())
    present = {name for name in wanted if (directory / name).exists() or (directory / name).is_symlink()}
    differing = [name for name in sorted(present) if not _same(directory / name, wanted[name])]
    if differing and not force:
        listed = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
        raise UsageError(
            f"writing a project to {directory}: these files are there and differ: {listed}",
            hint=f"mlplat init {shlex.quote(str(directory))} --force",
        )
    written = [name for name in wanted if name not in present or name in differing]
    _write(directory, {name: wanted[name] for name in written})
    output.data(
        {"directory": str(directory.absolute()), "written": written, "kept": sorted(set(wanted) - set(written))},
        lambda: f"{directory}: {len(written)} files written" if written else f"{directory}: nothing to do",
    )
    if not output.mode.json:
        here = directory.absolute() == Path.cwd()
        output.hint("mlplat apply" if here else f"cd {shlex.quote(str(directory))} && mlplat apply")


def _files() -> Iterator[tuple[str, bytes]]:
    """Every file of the project by its name in it."""
    from mlplat.settings import packaged_project

    project = packaged_project()
    for folder in ("config", "examples/churn"):
        for path in sorted((project / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(project).as_posix(), path.read_bytes()
    yield ".gitignore", IGNORED.encode()


def _same(path: Path, content: bytes) -> bool:
    """Whether a file needs no writing; somebody's own .gitignore is theirs."""
    return path.is_file() and (path.name == ".gitignore" or path.read_bytes() == content)


def _write(directory: Path, files: dict[str, bytes]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except OSError as error:
        raise MlplatError(
            f"writing a project to {directory}: {error.filename or directory}: {error.strerror}",
            hint=f"ls -ld {shlex.quote(str(directory))}",
        ) from error
