"""Apply: carry out a plan in parallel along its dependencies, with every intent on disk before its call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mlplat.aws import Session
from mlplat.errors import MlplatError
from mlplat.reconciler.state import Store
from mlplat.reconciler.steps import Plan, Step


class Watch(Protocol):
    """Sees what happens, as it happens. Called from worker threads."""

    def started(self, step: Step) -> None:
        """The first call of the step is about to be made."""

    def reported(self, step: Step, status: str) -> None:
        """What the step is waiting for."""

    def done(self, step: Step, seconds: float) -> None:
        """The step is done and read back."""

    def failed(self, step: Step, error: MlplatError) -> None:
        """The step failed; what depends on it is skipped."""

    def skipped(self, step: Step, because: str) -> None:
        """The step was not tried."""


@dataclass(frozen=True)
class Outcome:
    """What an apply did: addresses, in the order they ended."""

    done: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What `apply --json` prints."""
        return {
            "done": list(self.done),
            "failed": list(self.failed),
            "skipped": list(self.skipped),
            "seconds": round(self.seconds, 3),
        }


def apply(plan: Plan, session: Session, store: Store, *, parallelism: int = 16, watch: Watch | None = None) -> Outcome:
    """Carry out `plan`; call it for an empty plan too: what was found but not yet known is then entered in the state.

    Takes the lock when the caller doesn't hold it. Raises, after everything in flight has ended and is saved:
    PartlyDone when some steps failed and others are done, the steps' own error when none is done, Interrupted
    after Ctrl-C, StateError when the state can't be written.
    """
    raise NotImplementedError
