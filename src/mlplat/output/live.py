"""What is happening right now: a live tree of resources at a terminal, one line a step everywhere else."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlplat import output
from mlplat.errors import MlplatError
from mlplat.output.plans import PAST, RUNES, by_template
from mlplat.reconciler.plan import Action, Plan, Step

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_SPIN = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@dataclass
class _Row:
    """Where one step is."""

    step: Step
    since: float = 0.0
    seconds: float | None = None
    status: str = ""
    state: str = "waiting"  # waiting, running, done, failed, skipped


@dataclass
class LiveTree:
    """Watches an apply (`reconciler.apply.Watch`) and draws it until it ends. Called from worker threads."""

    plan: Plan
    rows: dict[str, _Row] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = {step.address: _Row(step) for step in self.plan.steps if step.action != Action.KEEP}
        self._lock, self._began = threading.Lock(), time.monotonic()
        self._live: Any = None

    def __enter__(self) -> Self:
        if self.rows and not output.mode.json and output.stderr().is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._draw, console=output.stderr(), refresh_per_second=10, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            output.stderr().print(self._tree(room=None))

    def started(self, step: Step) -> None:
        """The step's call is about to be made."""
        with self._lock:
            row = self.rows.setdefault(step.address, _Row(step))
            row.state, row.since = "running", time.monotonic()

    def reported(self, step: Step, status: str) -> None:
        """The resource says what it is waiting for."""
        with self._lock:
            self.rows[step.address].status = status

    def done(self, step: Step, seconds: float) -> None:
        """The step is done and read back."""
        if step.action == Action.KEEP and step.address not in self.rows:
            return
        self._end(step, "done", seconds, f"{step.address}: {PAST[step.action]} in {seconds:.1f} s")

    def failed(self, step: Step, error: MlplatError) -> None:
        """The step failed; the error is shown whole at the end."""
        self._end(step, "failed", None, f"{step.address}: failed: {error.message}")

    def skipped(self, step: Step, because: str) -> None:
        """The step was not tried."""
        self._end(step, "skipped", None, f"{step.address}: skipped: {because}", because)

    def _end(self, step: Step, state: str, seconds: float | None, line: str, status: str = "") -> None:
        with self._lock:
            row = self.rows.setdefault(step.address, _Row(step))
            row.state, row.status = state, status
            row.seconds = seconds if seconds is not None else (time.monotonic() - row.since if row.since else None)
            if self._live is None and not output.mode.json:
                output.note(line)

    def _draw(self) -> RenderableType:
        with self._lock:
            return self._tree(room=max(output.stderr().size.height - 4, 8))

    def _tree(self, room: int | None) -> RenderableType:
        """The whole tree when there is room for it; otherwise what runs and fails, and counts for the rest."""
        from rich.console import Group
        from rich.text import Text
        from rich.tree import Tree

        whole = room is None or len(self.rows) + 5 <= room
        parts: list[RenderableType] = []
        for name, steps in by_template([row.step for row in self.rows.values()]):
            rows = [self.rows[step.address] for step in steps]
            ended = sum(row.state not in ("waiting", "running") for row in rows)
            tree = Tree(Text.assemble((name, "bold"), (f"  {ended}/{len(rows)}", "dim")), guide_style="dim")
            for row in rows:
                if whole or row.state in ("running", "failed"):
                    tree.add(self._row(row))
            parts.append(tree)
        parts.append(Text(self._footer(), style="bold"))
        return Group(*parts)

    def _row(self, row: _Row) -> Text:
        from rich.text import Text

        rune, style = RUNES[row.step.action]
        mark, tone, what = {
            "waiting": (rune, "dim", "waiting"),
            "running": (self._spinner(), "cyan", row.status or f"{_ing(row.step.action)}"),
            "done": (rune, style, PAST[row.step.action]),
            "failed": ("✗", "bold red", "failed"),
            "skipped": ("·", "dim", f"skipped: {row.status}"),
        }[row.state]
        seconds = row.seconds if row.state != "running" else time.monotonic() - row.since
        clock = f"  {seconds:.1f} s" if seconds is not None else ""
        return Text.assemble((f"{mark} {row.step.address.split('.', 1)[1]}", tone), (f"  {what}{clock}", "dim"))

    def _footer(self) -> str:
        ended = sum(row.state not in ("waiting", "running") for row in self.rows.values())
        return f"{ended} of {len(self.rows)}  {time.monotonic() - self._began:.1f} s"

    def _spinner(self) -> str:
        return _SPIN[int(time.monotonic() * 10) % len(_SPIN)]


def _ing(action: Action) -> str:
    return {Action.ADOPT: "adopting", Action.RETAIN: "keeping"}.get(action, action.value.removesuffix("e") + "ing")
