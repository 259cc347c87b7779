"""One step of an execution, run: its job made in the name of the pipeline's role and waited for, again if need be."""

from __future__ import annotations

import json
import re
import secrets
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.pipelines import caching, conditions, retrying
from mlplat.localcloud.pipelines.calls import Failed, call
from mlplat.localcloud.pipelines.definitions import Step
from mlplat.localcloud.pipelines.expressions import Scope, Unresolved, evaluated
from mlplat.localcloud.pipelines.retrying import Failure
from mlplat.localcloud.pipelines.step_types import MAKING, Made

LOOK = 0.1
"""Seconds between two looks at a job."""
RANDOM, LONGEST_STEP = 10, 20
"""Characters at the end of a name, and of a step in one: `pipelines-8pk6dxn4cfvl-Rossmann-Model-Train-bPVYsMzUlc`."""
ENDED = frozenset({"Completed", "Failed", "Stopped"})

Record = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What the steps of one execution share. `cloud` acts as the pipeline's role."""

    cloud: Cloud
    execution: Mapping[str, Any]
    scope: Scope
    stopping: Event
    update: Callable[..., None]
    """Called with a step's record and what changes in it."""


def run(context: Context, step: Step, record: Record) -> None:
    """Run the step to its end; its record says how it ended."""
    try:
        end = _RUNNING.get(step.type, _make)(context, step, record)
    except Unresolved as error:
        end = {"StepStatus": "Failed", "FailureReason": f"ClientError: {error}"}
    except Failed as error:
        end = {"StepStatus": "Failed", "FailureReason": error.failure.reason}
    context.update(record, **end)


def _make(context: Context, step: Step, record: Record) -> Record:
    """A job, or an object: from the cache, or made, and made again as the retry policies say."""
    clock = context.cloud.clock
    begun, arguments = clock.now(), evaluated(step.arguments, context.scope)
    if caching.is_on(step):
        record["Signature"] = signature = caching.signature(step, arguments)
        hit = caching.find(context.cloud, context.execution["PipelineArn"], step, signature, begun)
        if hit is not None:
            source = {"SourcePipelineExecutionArn": hit[0]["PipelineExecutionArn"]}
            return {"StepStatus": "Succeeded", "CacheHitResult": source, "Metadata": hit[1]["Metadata"]}
    while True:
        try:
            return _attempt(context, step, record, arguments)
        except Failed as error:
            spent = (clock.now() - begun).total_seconds()
            wait = retrying.pause(step, error.failure, record["AttemptCount"], spent)
            if wait is None or not _waited(context, wait):
                raise Failed(Failure(None, _final(context, step, error.failure))) from error
            context.update(record, AttemptCount=record["AttemptCount"] + 1)


def _final(context: Context, step: Step, failure: Failure) -> str:
    """The reason of a step that is not tried again; AWS adds this where it might have been (recorded)."""
    if failure.kind is None or step.document.get("RetryPolicies") or failure.kind.startswith("Step."):
        return failure.reason
    kind = re.sub(r"\W", "_", failure.kind).upper()
    return (
        f"{failure.reason}\nRetry not appropriate on execution of step with PipelineExecutionArn "
        f"{context.execution['PipelineExecutionArn']} and StepId {step.name}. No retry policy configured for the "
        f"exception type {kind}."
    )


def _waited(context: Context, seconds: float) -> bool:
    """By the local cloud's clock; False when the execution is being stopped."""
    begin = context.cloud.clock.now()
    while (context.cloud.clock.now() - begin).total_seconds() < seconds:
        if context.stopping.wait(LOOK):
            return False
    return True


def _attempt(context: Context, step: Step, record: Record, arguments: Mapping[str, Any]) -> Record:
    made = MAKING[step.type]
    request = _request(context, step, made, arguments)
    if context.stopping.is_set():
        return {"StepStatus": "Stopped"}
    arn = str(call(context.cloud, made.create, **request)[made.arn])
    context.update(record, StepStatus="Executing", Metadata={made.metadata: {"Arn": arn}})
    if not made.status:
        return {"StepStatus": "Succeeded"}
    name = {made.name: str(request[made.name])}
    _wait(context, made, name, record)
    job = call(context.cloud, made.describe, **name)
    if job[made.status] == "Completed":
        return {"StepStatus": "Succeeded"}
    if job[made.status] == "Stopped" and record["StepStatus"] == "Stopping":
        return {"StepStatus": "Stopped"}
    raise Failed(retrying.of_job(step, job.get("FailureReason") or "The job was stopped."))


def _wait(context: Context, made: Made, name: Mapping[str, str], record: Record) -> None:
    """Until the job has ended; it is stopped when the execution is."""
    jobs = context.cloud.store(made.store)
    while (job := jobs.get(name[made.name])) is not None and job[made.status] not in ENDED:
        if context.stopping.is_set() and record["StepStatus"] != "Stopping":
            context.update(record, StepStatus="Stopping")
            try:
                call(context.cloud, made.stop, **name)
            except Failed:
                if job[made.status] not in ENDED:  # else it has just ended by itself
                    raise
        time.sleep(LOOK)


def _request(context: Context, step: Step, made: Made, arguments: Mapping[str, Any]) -> Record:
    """The Create request: AWS names the object, and tags it with the execution (where the SDK's lineage looks)."""
    request = {name: each for name, each in arguments.items() if each is not None}
    if "ModelPackageGroupName" not in request:  # a version has no name of its own, and no tags
        request[made.name] = name_of(context.execution, step, made, request.get(made.name))
        own = {"Key": "sagemaker:pipeline-execution-arn", "Value": context.execution["PipelineExecutionArn"]}
        request["Tags"] = [*request.get("Tags", ()), own]
    return request


def name_of(execution: Mapping[str, Any], step: Step, made: Made, prefix: str | None) -> str:
    """`pipelines-<execution>-<step>-<random>`, the step cut as AWS cuts it; or with a prefix that the step gives."""
    run_id = execution["PipelineExecutionArn"].rpartition("/")[2]
    end = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(RANDOM))
    middle = re.sub(r"[^a-zA-Z0-9]+", "-", prefix or step.name)
    begin = f"{run_id}-" if made.longest_name < 63 or prefix else f"pipelines-{run_id}-"
    room = min(LONGEST_STEP if not prefix else 63, made.longest_name - len(begin) - RANDOM - 1)
    return f"{begin}{middle[:room].strip('-')}-{end}" if not prefix else f"{middle[:room].strip('-')}-{begin}{end}"


def _condition(context: Context, step: Step, _record: Record) -> Record:
    found = all(conditions.holds(each, context.scope) for each in step.arguments["Conditions"])
    return {"StepStatus": "Succeeded", "Metadata": {"Condition": {"Outcome": str(found)}}}


def _fail(context: Context, step: Step, _record: Record) -> Record:
    message = str(evaluated(step.arguments.get("ErrorMessage", ""), context.scope))
    told = {"FailureReason": message} if message else {}
    return {"StepStatus": "Failed", "Metadata": {"Fail": {"ErrorMessage": message}}} | told


def _lambda(context: Context, step: Step, record: Record) -> Record:
    """Invoke the function and keep the outputs that the step declares."""
    arn = str(evaluated(step.document["FunctionArn"], context.scope))
    payload = json.dumps(evaluated(step.arguments, context.scope))
    context.update(record, StepStatus="Executing", Metadata={"Lambda": {"Arn": arn}})
    answer = call(context.cloud, "Invoke", service="lambda", FunctionName=arn, Payload=payload)
    said = answer["Payload"].read().decode()
    if "FunctionError" in answer:  # wording not verified
        raise Failed(Failure(None, f"ClientError: The Lambda function failed: {said}"))
    outputs = _outputs(step, json.loads(said or "null"))
    return {"StepStatus": "Succeeded", "Metadata": {"Lambda": {"Arn": arn, "OutputParameters": outputs}}}


def _outputs(step: Step, answer: Any) -> list[dict[str, str]]:
    names = [each["OutputName"] for each in step.document.get("OutputParameters") or ()]
    found = answer if isinstance(answer, Mapping) else {}
    if missing := [name for name in names if name not in found]:  # wording not verified
        raise Failed(Failure(None, f"ClientError: The Lambda function did not return the outputs {missing}."))
    return [{"Name": name, "Value": _told(found[name])} for name in names]


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_RUNNING: dict[str, Callable[[Context, Step, Record], Record]] = {
    "Condition": _condition,
    "Fail": _fail,
    "Lambda": _lambda,
}
