"""The trials of a tuning job as they come: a live table at a terminal, one line per finished trial elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlplat import output

if TYPE_CHECKING:
    from rich.console import RenderableType

_TONES = {"Completed": "green", "Failed": "red", "Stopped": "yellow", "InProgress": "cyan"}


@dataclass
class LiveTrials:
    """Shows each trial's status, objective and parameters, the best one marked."""

    metric: str
    direction: str  # Maximize or Minimize
    _live: Any = None
    _said: set[str] = field(default_factory=set)
    _rows: Sequence[Mapping[str, Any]] = ()
    _status: str = ""

    def __enter__(self) -> Self:
        if not output.mode.json and output.stderr().is_terminal:
            from rich.live import Live

            self._live = Live(console=output.stderr(), refresh_per_second=8, get_renderable=self._draw)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

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
        from rich import box
        from rich.table import Table
        from rich.text import Text

        best = self.best()
        names = sorted({name for row in self._rows for name in row["parameters"]})
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, caption=self._status, caption_justify="left"
        )
        for column in ("", "Trial", "Status", self.metric, *names):
            table.add_column(column)
        for row in self._rows:
            objective = "" if row["objective"] is None else f"{row['objective']:.4f}"
            table.add_row(
                Text("★" if row is best else "", style="yellow"),
                row["trial"],
                Text(row["status"], style=_TONES.get(row["status"], "")),
                Text(objective, style="bold" if row is best else ""),
                *[_short(row["parameters"].get(name, "")) for name in names],
            )
        return table


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
