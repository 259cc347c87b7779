"""Apply: carry out a plan in parallel along its dependencies, with every intent on disk before its call.

A crash at any moment loses nothing: the next plan looks at reality, and first of all at leftover intents. What
one step raises skips only what rests on it. Where the state can't be written, nothing further is started.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlplat.aws import Session
from mlplat.errors import CredentialsError, Interrupted, MlplatError, PartlyDone, StateError, UsageError, WaitTimeout
from mlplat.reconciler import graph, moves
from mlplat.reconciler.execute import Executor
from mlplat.reconciler.failures import listed, together, told
from mlplat.reconciler.interrupts import Interrupts
from mlplat.reconciler.schedule import Schedule, Task, schedule
from mlplat.reconciler.state import Ledger, State, Store
from mlplat.reconciler.steps import Action, Plan, Step

DOING = {
    Action.CREATE: "creating", Action.UPDATE: "updating", Action.REPLACE: "replacing", Action.DELETE: "deleting",
    Action.ADOPT: "adopting", Action.MOVE: "moving", Action.KEEP: "updating", Action.RETAIN: "keeping",
}  # fmt: skip


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
        """The step, or the rest of it, was not tried."""


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


def apply(
    plan: Plan,
    session: Session,
    store: Store,
    *,
    parallelism: int = 16,
    within: float | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Carry out `plan`; call it for an empty plan too: what was found but not yet known is then entered in the state.

    Takes the lock when the caller doesn't hold it. Raises, after everything in flight has ended and is saved:
    PartlyDone when some steps failed and others are done, the steps' own error when none is done, Interrupted
    after Ctrl-C, WaitTimeout after `within` seconds, StateError when the state can't be written, UsageError when the
    state has changed since the plan.
    """
    with (
        store.lock("destroy" if plan.destroy else "apply"),
        Interrupts(session.cancelled, within) as interrupts,  # around the state, or Ctrl-C would cut its last write off
        store.open() as ledger,
    ):
        _check_fresh(plan, ledger.state)
        return _Apply(plan, session, ledger, watch or _Nobody(), interrupts).run(parallelism)


@dataclass
class _Progress:
    """How far a step is."""

    began: float | None = None
    left: int = 0


@dataclass
class _Ended:
    """Steps as they ended; worked on by the main thread and the workers, each list by `append` only."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, MlplatError] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    broken_off: list[str] = field(default_factory=list)
    """In flight when waits were given up."""
    acted: bool = False
    """Whether anything was carried out, if only half a step."""


class _Apply:
    def __init__(self, plan: Plan, session: Session, ledger: Ledger, watch: Watch, interrupts: Interrupts) -> None:
        self.plan, self.session, self.ledger, self.watch, self.interrupts = plan, session, ledger, watch, interrupts
        self.steps = {step.address: step for step in plan.steps}
        self.schedule: Schedule = schedule(plan.steps)
        self.executor = Executor(plan, session, ledger, self.schedule.early)
        self.progress = {a: _Progress(left=len(self.schedule.parts(step))) for a, step in self.steps.items()}
        self.ended, self.fatal = _Ended(), list[MlplatError]()

    def run(self, parallelism: int) -> Outcome:
        began = time.monotonic()
        moves.write(self.ledger, self.plan.moved)
        for step in self.plan.steps:
            self.executor.enter(step)
            if step.action is Action.RETAIN:
                self.watch.done(step, 0.0)
        graph.run(
            self.schedule.tasks, self._work, parallelism=parallelism, stopped=self._is_stopped, skipped=self._skip
        )
        self._leave_the_rest()
        if self.plan.destroy:
            self._drop_releases()
        return self._conclude(time.monotonic() - began)

    def _is_stopped(self) -> bool:
        return self.interrupts.stopped or bool(self.fatal)

    def _work(self, task: Task) -> None:
        step = self.steps[task.address]
        if step.action is Action.RETAIN:
            return
        try:
            self._do(task, step, self.executor.at(step, lambda status: self.watch.reported(step, status)))
        except Exception as error:
            failure = self._failed(step, error)
        else:
            return
        raise failure

    def _do(self, task: Task, step: Step, aws: Session) -> None:
        now = self.progress[step.address]
        if step.action is Action.KEEP and self.executor.is_settled(step, aws):
            return
        if now.began is None:
            now.began = time.monotonic()
            self.watch.started(step)
        self.executor.do(task, step, aws)
        self.ended.acted = True
        now.left -= 1
        if not now.left:
            self.ended.done.append(step.address)
            self.watch.done(step, time.monotonic() - now.began)

    def _failed(self, step: Step, error: Exception) -> MlplatError:
        found = told(error, DOING[step.action], step.resource) if step.resource else MlplatError(str(error))
        if isinstance(found, Interrupted):
            self.ended.broken_off.append(step.address)
            self.watch.skipped(step, "stopped while it was under way; the next run goes on with it")
            return found
        if isinstance(found, StateError | CredentialsError):
            self.fatal.append(found)
        self.ended.failed[step.address] = found
        self.watch.failed(step, found)
        return found

    def _skip(self, task: Task, because: Task) -> None:
        step, cause = self.steps[task.address], self.steps[because.address]
        if not step.is_pending or step.address in self.ended.failed or step.address in self.ended.skipped:
            return
        self.ended.skipped.append(step.address)
        self.watch.skipped(step, f"{cause.address} was not completed")

    def _leave_the_rest(self) -> None:
        """What was never started, because the run was stopped."""
        known = {*self.ended.done, *self.ended.failed, *self.ended.skipped, *self.ended.broken_off}
        for step in self.plan.pending:
            if step.address not in known:
                self.ended.skipped.append(step.address)
                self.watch.skipped(step, "the run was stopped")

    def _drop_releases(self) -> None:
        """A release goes with its endpoint, or the next apply would bring the endpoint back."""
        state = self.ledger.state
        if self.plan.covers_releases or not state.entries:
            for endpoint in sorted(state.releases.keys() - state.endpoints_left()):
                self.ledger.drop_release(endpoint)

    def _conclude(self, seconds: float) -> Outcome:
        ended = self.ended
        for error in self.fatal:
            if isinstance(error, StateError):
                raise error
        if self.interrupts.stopped:
            raise self._interrupted()
        if not ended.failed:
            return Outcome(tuple(ended.done), (), tuple(ended.skipped), seconds)
        errors = list(ended.failed.values())
        if not ended.acted:
            raise together(errors, f"{'destroying' if self.plan.destroy else 'applying'} {self.plan.namespace}")
        raise self._partly_done(errors) from errors[0]

    def _interrupted(self) -> Interrupted | WaitTimeout:
        ended, late = self.ended, (self.interrupts.late or self.session.late) and not self.interrupts.count
        under_way = f", under way: {', '.join(sorted(ended.broken_off))}" if ended.broken_off else ""
        failed = "".join(f"\n  {error.message}" for error in ended.failed.values())
        kind, why = (WaitTimeout, "its time is over") if late else (Interrupted, "stopped")
        return kind(
            f"{why}: {len(ended.done)} done and saved, {len(ended.skipped)} not started{under_way}{failed}",
            hint=self._again(),
        )

    def _partly_done(self, errors: Sequence[MlplatError]) -> PartlyDone:
        ended = self.ended
        counts = f"{len(ended.done)} done and saved, {len(errors)} failed, {len(ended.skipped)} skipped because of that"
        hint = next((error.hint for error in errors if error.hint), self._again())
        return PartlyDone(f"{counts}:\n{listed(errors)}", hint=hint, errors=errors)

    def _again(self) -> str:
        return f"mlplat {'destroy --reverse' if self.plan.destroy else 'apply'} --namespace {self.plan.namespace}"


def _check_fresh(plan: Plan, state: State) -> None:
    if plan.serial != state.serial or (plan.serial and plan.lineage != state.lineage):
        raise UsageError(
            f"applying to namespace {plan.namespace}: its state has changed since the plan was made "
            f"(serial {plan.serial}, now {state.serial})",
            hint=f"mlplat plan --namespace {plan.namespace}",
        )


class _Nobody:
    """Watches nothing."""

    def started(self, step: Step) -> None:
        pass

    def reported(self, step: Step, status: str) -> None:
        pass

    def done(self, step: Step, seconds: float) -> None:
        pass

    def failed(self, step: Step, error: MlplatError) -> None:
        pass

    def skipped(self, step: Step, because: str) -> None:
        pass
