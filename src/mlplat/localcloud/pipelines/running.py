"""An execution under way: its steps begun as soon as those before them have succeeded, each in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mlplat.localcloud import trust
from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.pipelines import definitions, properties, selections, step_runs
from mlplat.localcloud.pipelines.definitions import Step
from mlplat.localcloud.pipelines.expressions import Scope
from mlplat.localcloud.pipelines.step_runs import Context
from mlplat.localcloud.pipelines.telling import Teller

log = logging.getLogger(__name__)

SERVICE = "sagemaker.amazonaws.com"
STEPS_FAILED = "Step failure: One or multiple steps failed."
"""FailureReason of an execution, recorded from AWS."""
LONGEST_REASON = 1024

Record = dict[str, Any]

_RUNNING: weakref.WeakKeyDictionary[Cloud, dict[str, ExecutionRun]] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def running(cloud: Cloud) -> dict[str, ExecutionRun]:
    """The executions of a region that run now, by ARN."""
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(cloud, {})


class ExecutionRun:
    """Takes one execution to its end. Its record is in the shape of DescribePipelineExecution, with ours besides:

    `Definition` (text), `Values` (parameters), `Steps` (records in the shape of PipelineExecutionStep, with `Signature`
    for the cache and `Clock`, the time of their end by the clock that can be advanced).
    """

    def __init__(self, cloud: Cloud, record: Record, teller: Teller) -> None:
        self._cloud, self._record, self._teller = cloud, record, teller
        self._definition = definitions.parse(record["Definition"])
        self._selection = selections.of(cloud, record, self._definition)
        self._role = acting(cloud, record["RoleArn"])
        self._ended: queue.Queue[Step] = queue.Queue()
        self._known: dict[str, Mapping[str, Any]] = {}
        self._stopping = threading.Event()
        self._context = Context(self._role, record, self._scope(), self._stopping, self._update)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        running(self._cloud)[self._record["PipelineExecutionArn"]] = self
        threading.Thread(target=self._run, name=self._record["PipelineExecutionArn"], daemon=True).start()

    def stop(self) -> None:
        """Begin no more steps, and end those that run; returns at once."""
        self._become("Stopping")
        self._stopping.set()

    def _run(self) -> None:
        reason = None
        try:
            role = self._record["RoleArn"]
            if trust.lets_in(self._cloud, role, SERVICE, self._record["PipelineExecutionArn"]):
                self._go_through()
            else:  # wording not verified
                reason = f"Unable to assume the role {role}: it must exist and allow {SERVICE} to assume it."
        except Exception as error:
            log.exception("pipeline execution %s", self._record["PipelineExecutionArn"])
            reason = f"InternalServerError: the local cloud could not run the execution: {error!r}"
        with self._cloud.lock:
            running(self._cloud).pop(self._record["PipelineExecutionArn"], None)
            statuses = {each["StepStatus"] for each in self._record["Steps"]}
            if reason is None and self._stopping.is_set():
                self._become("Stopped")
            elif reason is not None or "Failed" in statuses:
                self._become("Failed", FailureReason=reason or STEPS_FAILED)
            else:
                self._become("Succeeded")

    def _go_through(self) -> None:
        under_way = 0
        while True:
            for step in self._ready(under_way):
                under_way += 1
                threading.Thread(target=self._run_step, args=(step,), name=f"step {step.name}", daemon=True).start()
            if not under_way:
                return
            self._ended.get()
            under_way -= 1

    def _run_step(self, step: Step) -> None:
        record = self._begin(step)
        try:
            step_runs.run(self._context, step, record)
        except Exception as error:
            log.exception("step %s of %s", step.name, self._record["PipelineExecutionArn"])
            reason = f"InternalServerError: the local cloud could not run the step: {error!r}"
            self._update(record, StepStatus="Failed", FailureReason=reason)
        finally:
            self._ended.put(step)

    def _ready(self, under_way: int) -> list[Step]:
        """The steps to begin now, no more than may run at once. A Fail step that was reached lets none begin."""
        begun = {each["StepName"]: each for each in self._record["Steps"]}
        steps = self._definition.steps
        reached = any(steps[name].type == "Fail" for name in begun)
        if self._stopping.is_set() or reached:
            return []
        most = self._record.get("ParallelismConfiguration", {}).get("MaxParallelExecutionSteps", len(steps))
        left = [each for name, each in steps.items() if name not in begun and self._selection.runs(name)]
        found = [each for each in left if self._may_begin(each, begun)]
        chosen = found[: max(0, most - under_way)]
        for step in chosen:
            self._enlist(step)
        return chosen

    def _may_begin(self, step: Step, begun: Mapping[str, Record]) -> bool:
        known = {**self._selection.earlier, **begun}
        if any(known.get(name, {}).get("StepStatus") != "Succeeded" for name in step.after):
            return False
        if step.branch is None:
            return True
        return bool(known[step.branch.condition]["Metadata"]["Condition"]["Outcome"] == str(step.branch.outcome))

    def _enlist(self, step: Step) -> None:
        record: Record = {
            "StepName": step.name,
            "StepType": step.type,
            "StepDisplayName": step.document.get("DisplayName"),
            "StepDescription": step.document.get("Description"),
            "StartTime": self._cloud.now(),
            "StepStatus": "Starting",
            "AttemptCount": 1,
            "Metadata": {},
        }
        with self._cloud.lock:
            self._record["Steps"].append(record)

    def _begin(self, step: Step) -> Record:
        record: Record = next(each for each in self._record["Steps"] if each["StepName"] == step.name)
        self._teller.step(self._record, dict(record), None)
        return record

    def _update(self, record: Record, **changes: Any) -> None:
        """Write down how a step goes on, and tell of another status."""
        with self._cloud.lock:
            previous = record["StepStatus"]
            if reason := changes.get("FailureReason"):
                changes["FailureReason"] = reason[:LONGEST_REASON]
            record |= changes
            if record["StepStatus"] in ("Succeeded", "Failed", "Stopped"):
                record |= {"EndTime": self._cloud.now(), "Clock": self._cloud.clock.now()}
            self._record["LastModifiedTime"] = self._cloud.now()
            if record["StepStatus"] != previous:
                self._teller.step(self._record, dict(record), previous)

    def _become(self, status: str, **more: Any) -> None:
        with self._cloud.lock:
            previous = self._record["PipelineExecutionStatus"]
            self._record |= more | {"PipelineExecutionStatus": status, "LastModifiedTime": self._cloud.now()}
            self._teller.execution(dict(self._record), previous)

    def _scope(self) -> Scope:
        def found(name: str) -> Mapping[str, Any]:
            if name not in self._known:
                begun = {each["StepName"]: each for each in self._record["Steps"]}
                record = begun.get(name) or self._selection.earlier[name]
                self._known[name] = properties.of(self._role, self._definition.steps[name], record)
            return self._known[name]

        def file(step: str, name: str) -> str:
            return properties.property_file(self._definition.steps[step], found(step), name)

        def read(uri: str) -> bytes:
            return properties.read(self._role, uri)

        return Scope(self._record["Values"], self._variables(), found, file, read)

    def _variables(self) -> dict[str, str]:
        """Source: the SDK's ExecutionVariables. Names of a step's own job are known to AWS only."""
        arn, pipeline = self._record["PipelineExecutionArn"], self._record["PipelineArn"]
        return {
            "StartDateTime": _iso(self._record["CreationTime"]),
            "CurrentDateTime": _iso(self._cloud.now()),
            "PipelineName": pipeline.rpartition("/")[2],
            "PipelineArn": pipeline,
            "PipelineExecutionId": arn.rpartition("/")[2],
            "PipelineExecutionArn": arn,
        }


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"
