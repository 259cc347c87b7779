"""What a child may take of this machine before it is ended, so that no script takes the machine along."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

SHARE = 0.8
"""Of the machine's memory, for one child with all that it starts."""
PROCESSES = 5000
"""Of one child at once, threads not counted."""
RESERVE = 256 << 20
"""Bytes of the disk that no child may fill."""

OUT_OF_MEMORY = (
    "ClientError: Please use an instance type with more memory, or reduce the size of job data processed on an "
    "instance."
)
"""SageMaker's FailureReason of training and processing jobs, word for word; exit code and failure file are not told."""


@dataclass(frozen=True)
class Limits:
    """The bounds of one child with its whole tree; `disk` is what may lie in `folder`."""

    memory: int
    processes: int = PROCESSES
    folder: str | None = None
    disk: int | None = None
    reserve: int = RESERVE

    def on(self, folder: Path, volume: int | None = None) -> Limits:
        """The same for a child whose files lie in a folder, on a volume of so many bytes."""
        return replace(self, folder=str(folder), disk=volume)

    def spec(self) -> dict[str, Any]:
        """As the child's first process is told."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """Why a child was ended: `memory`, `processes` or `disk`, and the measure that it exceeded."""

    cause: str
    text: str

    @property
    def reason(self) -> str:
        """A job's FailureReason."""
        if self.cause == "memory":
            return OUT_OF_MEMORY
        return f"AlgorithmError: {self.text}, exit code: 137"

    @classmethod
    def parse(cls, said: bytes) -> Verdict | None:
        """What the first process has said, if anything."""
        cause, _, text = said.decode(errors="replace").partition(" ")
        return cls(cause, text) if text else None


@cache
def of_this_machine() -> Limits:
    """The limits that hold when nothing else is said."""
    return Limits(memory=int(SHARE * memory()))


def memory() -> int:
    """Bytes of memory that this machine has, or the container that we are in."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2 of control groups, and version 1
        with contextlib.suppress(OSError, ValueError):  # "max" when there is none
            found.append(int((Path("/sys/fs/cgroup") / name).read_text()))
    return min(found)
