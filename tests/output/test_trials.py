"""What a person sees of a tuning job while it runs."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from mlplat import output
from mlplat.output.trials import LiveTrials

JOB = "churn-development-7127246097"


def trial(number: int, status: str = "Completed") -> dict[str, Any]:
    """A trial of the job; the first is the best one."""
    values = {"learning_rate": "0.012960000001", "max_iter": "245", "max_leaf_nodes": "31"}
    objective = 1 / number if status == "Completed" else None
    return {"trial": f"{JOB}-{number:03}-e28581db", "status": status, "objective": objective, "parameters": values}


def drawn(rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, *, width: int, height: int) -> list[str]:
    """The lines on a terminal of that size."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, height=height)
    monkeypatch.setattr(output, "stderr", lambda: console)
    live = LiveTrials(JOB, "validation:auc", "Maximize")
    live.update("InProgress", rows)
    with console.capture() as captured:
        console.print(live._draw())
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_trials_can_be_told_apart(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(drawn([trial(1), trial(2, "InProgress")], monkeypatch, width=width, height=40))
    assert "001-e28581db" in lines and "002-e28581db" in lines
    assert "…" not in lines


def test_what_is_done_of_how_much_is_below(monkeypatch: pytest.MonkeyPatch) -> None:
    last = drawn([trial(1), trial(2, "Failed"), trial(3, "InProgress")], monkeypatch, width=100, height=40)[-1]
    assert last.startswith("InProgress  2 of 3 trials ended  ")


def test_the_best_and_the_newest_stay_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn([trial(number) for number in range(1, 51)], monkeypatch, width=100, height=20)
    assert len(lines) < 20
    shown = [line.split("-e28581db")[0].strip("★ ") for line in lines if "-e28581db" in line]
    assert shown == ["001", *(f"{number:03}" for number in range(38, 51))]


def test_without_a_best_one_the_newest_fill_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [trial(number, "InProgress") for number in range(1, 51)]
    lines = drawn(rows, monkeypatch, width=100, height=20)
    assert sum("InProgress" in line and "-e28581db" in line for line in lines) == 14
