"""The results of the long suite in a file, a line each as they come: a run that was cut goes on where it was."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.layer import Call
from tests.faults.trial import Case, Result
from tests.faults.world import Worlds

ROOT = Path(__file__).parents[2]
FILE = ROOT / "build" / "faults.jsonl"
WATCHED = ("src/mlplat", "tests/faults", "tests/reconciler", "tests/fakes.py")
"""What a result depends on: results of other code than today's are worth nothing."""


@dataclass(frozen=True)
class Line:
    """One case that ran."""

    fault: str
    phase: str
    case: str
    seconds: float
    result: Result


class Record:
    """What is known of a run over the same code; `done` are the cases that need not run again."""

    def __init__(self, path: Path = FILE) -> None:
        self.path, self.lines = path, dict[str, Line]()
        for line in self._left():
            self.lines[line.case] = line

    def recall(self, worlds: Worlds) -> None:
        """What the first part of a run has counted: a poll or a write more or less makes other cases of the next."""
        if self.lines:
            head = self._head()
            worlds.calls = {phase: [Call(*each) for each in calls] for phase, calls in head["calls"].items()}
            worlds.writes = {(phase, error): count for phase, error, count in head["writes"]}

    def begin(self, cases: list[Case], worlds: Worlds) -> list[Case]:
        """The cases that are left to do. A record of other code, or one that is complete, is put away."""
        left = [case for case in cases if str(case) not in self.lines]
        if not self.lines or not left:
            self.lines, left = {}, cases
            self.path.parent.mkdir(exist_ok=True)
            counted = {"calls": worlds.calls, "writes": [[*key, count] for key, count in worlds.writes.items()]}
            self.path.write_text(json.dumps({"code": code(), "commit": commit(), **counted}) + "\n")
        return left

    def add(self, case: Case, result: Result | Exception, seconds: float) -> Line:
        """Enter a case."""
        if isinstance(result, Exception):
            result = Result(problems=[str(result)])
        line = Line(case.fault, case.phase, str(case), round(seconds, 2), result)
        self.lines[line.case] = line
        with self.path.open("a") as file:
            file.write(json.dumps({**line.__dict__, "result": result.to_json()}) + "\n")
        return line

    @property
    def failures(self) -> list[Line]:
        """Cases that didn't hold."""
        return [line for line in self.lines.values() if line.result.problems]

    @property
    def commit(self) -> str:
        """Which version was tried."""
        return str(self._head()["commit"])

    def _head(self) -> dict[str, Any]:
        with self.path.open() as file:
            return dict(json.loads(next(file)))

    def _left(self) -> Iterator[Line]:
        if not self.path.exists():
            return
        head, *lines = self.path.read_text().splitlines()
        if json.loads(head)["code"] != code():
            return
        for text in lines:
            with suppress(ValueError):  # the last line of a run that was killed
                told: dict[str, Any] = json.loads(text)
                yield Line(**{**told, "result": Result(**told["result"])})


def code() -> str:
    """A digest of what the results depend on."""
    digest = hashlib.sha256()
    for name in WATCHED:
        place = ROOT / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    """Which version this is, as git names it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or time.strftime("%Y-%m-%d")
