"""The trials of a tuning job as they come: a live table at a terminal, one line per finished trial elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlplat import output

if TYPE_CHECKING:
    from rich.console import RenderableType

_ENDED = ("Completed", "Failed", "Stopped")
_TONES = {"Completed": "green", "Failed": "red", "Stopped": "yellow", "InProgress": "cyan"}


@dataclass
class LiveTrials:
    """Shows each trial's status, objective and parameters, the best one marked.

    Trials are called as the tuning job and a number; at a terminal, where the job's name stands above, by the number.
    """

    job: str
    metric: str
    direction: str  # Maximize or Minimize
    _live: Any = None
    _said: set[str] = field(default_factory=set)
    _rows: Sequence[Mapping[str, Any]] = ()
    _status: str = ""
    _began: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        if not output.mode.json and output.stderr().is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._draw, console=output.stderr(), refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            output.stderr().print(self._table(self._rows))

    def update(self, status: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show these trials (`workflows.tune.trials`) from now on."""
        self._status, self._rows = status, rows
        if self._live is None and not output.mode.json:
            for row in rows:
                if row["status"] != "InProgress" and row["trial"] not in self._said:
                    self._said.add(row["trial"])
                    output.note(f"  {row['trial']}: {row['status']}  {self._told(row)}")

    def _told(self, row: Mapping[str, Any]) -> str:
        objective = "no objective" if row["objective"] is None else f"{self.metric}={row['objective']:.4f}"
        parameters = [f"{name}={_short(value)}" for name, value in sorted(row["parameters"].items())]
        return "  ".join([objective, *parameters])

    def best(self) -> Mapping[str, Any] | None:
        """The trial with the best objective so far."""
        known = [row for row in self._rows if row["objective"] is not None]
        sign = 1 if self.direction == "Maximize" else -1
        return max(known, key=lambda row: sign * float(row["objective"]), default=None)

    def _draw(self) -> RenderableType:
        """What there is room for: the best trial and the newest ones."""
        room = max(output.stderr().size.height - 6, 4)
        if len(self._rows) <= room:
            return self._table(self._rows)
        newest, best = self._rows[1 - room :], self.best()
        return self._table([*([best] if best and best not in newest else self._rows[-room : 1 - room]), *newest])

    def _table(self, rows: Sequence[Mapping[str, Any]]) -> RenderableType:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        best = self.best()
        names = sorted({name for row in self._rows for name in row["parameters"]})
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, caption=self._footer(), caption_justify="left"
        )
        for column in ("", "Trial", "Status", self.metric, *names):
            table.add_column(column, overflow="fold", no_wrap=column == "Trial")
        for row in rows:
            objective = "" if row["objective"] is None else f"{row['objective']:.4f}"
            table.add_row(
                Text("★" if row is best else "", style="yellow"),
                row["trial"].removeprefix(f"{self.job}-"),
                Text(row["status"], style=_TONES.get(row["status"], "")),
                Text(objective, style="bold" if row is best else ""),
                *[_short(row["parameters"].get(name, "")) for name in names],
            )
        return table

    def _footer(self) -> str:
        ended = sum(row["status"] in _ENDED for row in self._rows)
        return f"{self._status}  {ended} of {len(self._rows)} trials ended  {time.monotonic() - self._began:.0f} s"


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
