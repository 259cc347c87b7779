"""The one printer: data to stdout, everything else to stderr, JSON when asked, prompts only at a terminal.

Rich is imported when something is first printed for a person, so that `--help` and `--json` don't pay for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat.errors import Interrupted, MlplatError, StateError, UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


@dataclass
class _Mode:
    json: bool = False
    debug: bool = False


mode = _Mode()
"""What this run of the command was asked to print; set by the options below."""


def _set_json(value: bool) -> bool:
    mode.json = mode.json or value
    return value


JsonOption = Annotated[bool, typer.Option("--json", callback=_set_json, help="Print JSON to stdout.")]
"""`json: JsonOption = False` gives a command `--json`; its body need not look at it."""


@cache
def stdout() -> Console:
    """The console for data."""
    from rich.console import Console

    return Console(highlight=False, width=_width(sys.stdout))


@cache
def stderr() -> Console:
    """The console for everything that is not data."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, width=_width(sys.stderr))


def _width(stream: Any) -> int | None:
    """Without a terminal nothing is cut to 80 columns: a log or a pipe takes long lines."""
    return None if stream.isatty() or "COLUMNS" in os.environ else 200


def is_terminal() -> bool:
    """Whether a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def data(value: Any, human: Callable[[], RenderableType] | None = None) -> None:
    """Print a result: JSON with `--json` (or when nothing else is given), otherwise what `human` makes of it."""
    if mode.json or human is None:
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    else:
        stdout().print(human())


def line(value: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout, for streams of events."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, value: Any = None) -> None:
    """A table for people; with `--json`, `value`, or else a list of objects keyed by column."""
    rows = [list(row) for row in rows]
    keys = [column.lower().replace(" ", "_") for column in columns]
    data(
        [dict(zip(keys, row, strict=True)) for row in rows] if value is None else value,
        lambda: grid(columns, rows, title),
    )


def grid(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> RenderableType:
    """A table as part of something bigger."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*[_cell(each) for each in row])
    if not rows:
        return Text(f"{title}: none" if title else "none", style="dim")
    return Group(Text(title, style="bold"), made) if title else made


def _cell(value: Any) -> RenderableType:
    from rich.text import Text

    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    return value if hasattr(value, "__rich_console__") else Text("" if value is None else str(value))


def text(value: str) -> None:
    """One line of text that is the data: a log, for instance. With `--json` an object on a line."""
    if mode.json:
        line({"message": value})
    else:
        sys.stdout.write(value + "\n")
        sys.stdout.flush()


def note(text: str) -> None:
    """Something worth knowing."""
    _say(text)


def success(text: str) -> None:
    """Something that is done."""
    _say(f"✓ {text}", "green")


def warn(text: str) -> None:
    """Something that may surprise."""
    _say(f"! {text}", "yellow")


def hint(command: str) -> None:
    """A command that a person may want to run next."""
    _say(f"hint: {command}", "cyan")


def log(text: str) -> None:
    """One line of somebody else's log."""
    _say(f"  │ {text}", "dim")


def _say(text: str, style: str = "") -> None:
    from rich.text import Text

    stderr().print(Text(text, style=style), soft_wrap=True)


def error(problem: MlplatError) -> None:
    """An error on stderr, with its hint; with `--json` as an object."""
    if mode.json:
        sys.stderr.write(json.dumps(problem.to_json()) + "\n")
        return
    _say(f"error: {problem.message}", "bold red" if "\n" not in problem.message else "red")
    if problem.hint:
        hint(problem.hint)
    if isinstance(problem, StateError) and problem.left is not None:
        sys.stderr.write(json.dumps(problem.left) + "\n")


def confirm(question: str, *, flag: str, expect: str = "yes") -> None:
    """Ask before something is changed; anything but `expect` stops, and no terminal names the flag instead.

    Raises UsageError, or Interrupted.
    """
    if mode.json or not is_terminal():
        raise UsageError(f"{question}: approval is required and there is no terminal to ask", hint=typed_again(flag))
    try:
        answer = typer.prompt(f"{question} Type '{expect}' to go on", default="", show_default=False, err=True)
    except typer.Abort:  # Ctrl-C, or no more input
        raise Interrupted("not approved; nothing was changed") from None
    if answer.strip() != expect:
        raise UsageError("not approved; nothing was changed")


def typed_again(flags: str, *, without: str = "") -> str:
    """The command as it was typed, with flags that it lacked, and without one (and its value) that was wrong."""
    import shlex

    words, added = sys.argv[1:], shlex.split(flags)
    if without in words:
        place = words.index(without)
        words = words[:place] + words[place + 2 :]
    opposite = {flag.replace("--", "--no-", 1) for flag in added if flag.startswith("--")}
    return shlex.join(["mlplat", *(word for word in words if word not in opposite), *added])


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while something takes longer than a moment; call what it yields to change the text."""
    if mode.json or not sys.stderr.isatty():
        yield lambda _text: None
        return
    with stderr().status(text, spinner_style="cyan") as status:
        yield lambda changed: status.update(changed)


@contextmanager
def counting(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; call what it yields with how many more are done."""
    if mode.json or not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task(text, total=total or None)
        yield lambda count: progress.advance(task, count)
