"""Pipeline definitions: read, checked and turned into a graph of steps.

The JSON schema of version 2020-12-01. Texts begin as AWS's do ("Unable to parse pipeline definition."); what follows is
recorded where a source is named, else it is ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mlplat.localcloud.pipelines import arguments, conditions, durations, forms
from mlplat.localcloud.pipelines.expressions import Unresolved, references
from mlplat.localcloud.pipelines.parameters import Parameter
from mlplat.localcloud.pipelines.step_types import CACHEABLE, MAKING, NOT_RUN, OTHERS, RETRYABLE, VERSION
from mlplat.localcloud.sagemaker.errors import AwsError, invalid

EXECUTION = frozenset(
    {
        "StartDateTime", "CurrentDateTime", "PipelineName", "PipelineArn", "PipelineExecutionId",
        "PipelineExecutionArn", "TrainingJobName", "ProcessingJobName",
    }
)  # fmt: skip
"""Source: the SDK's ExecutionVariables."""

EXCEPTIONS = frozenset(
    {
        "Step.SERVICE_FAULT", "Step.THROTTLING", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR",
        "SageMaker.RESOURCE_LIMIT",
    }
)  # fmt: skip
MOST_STEPS, MOST_PARAMETERS = 50, 200
"""Source: SageMaker's quotas for pipelines."""


@dataclass(frozen=True)
class Branch:
    """The side of a Condition step that a step is on."""

    condition: str
    outcome: bool


@dataclass(frozen=True)
class Step:
    """One step, with the names of those that must have succeeded before it begins."""

    name: str
    type: str
    document: Mapping[str, Any] = field(repr=False)
    after: frozenset[str]
    branch: Branch | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What it is given; of a Condition step without the steps inside."""
        found: Mapping[str, Any] = self.document.get("Arguments") or {}
        inside = ("IfSteps", "ElseSteps") if self.type == "Condition" else ()
        return {name: each for name, each in found.items() if name not in inside}


@dataclass(frozen=True)
class Definition:
    """A definition that can be run."""

    parameters: Mapping[str, Parameter]
    steps: Mapping[str, Step]


def parse(text: str) -> Definition:
    """Read and check a definition. Raises AwsError as CreatePipeline does."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise malformed(f"Malformed JSON: {error}.") from error
    if not isinstance(document, dict):
        raise malformed("Expecting start of Json Object.")
    if document.get("Version") != VERSION:
        raise malformed(f"Version '{document.get('Version')}' is not supported: use {VERSION}.")
    parameters = _parameters(document.get("Parameters") or [])
    steps = {step.name: step for step in _unique(list(_steps(document.get("Steps"), None)))}
    if not 0 < len(steps) <= MOST_STEPS:
        raise malformed(f"A pipeline has 1 to {MOST_STEPS} steps, not {len(steps)}.")
    for step in steps.values():
        _check_references(step, parameters, steps)
    _check_order(steps)
    return Definition(parameters, steps)


def malformed(why: str) -> AwsError:
    """A definition that AWS doesn't take."""
    return invalid(f"Unable to parse pipeline definition. {why}")


def _parameters(given: Any) -> dict[str, Parameter]:
    if not isinstance(given, list):
        raise malformed("Expecting start of Json Array.")
    try:
        found = [Parameter.parse(each) for each in given]
    except ValueError as error:
        raise malformed(str(error)) from error
    if twice := _twice([each.name for each in found]):
        raise malformed(f"The parameter {twice} is defined more than once.")
    if len(found) > MOST_PARAMETERS:
        raise malformed(f"A pipeline has at most {MOST_PARAMETERS} parameters.")
    return {each.name: each for each in found}


def _steps(given: Any, branch: Branch | None) -> Iterator[Step]:
    if not isinstance(given, list):
        raise malformed("Expecting start of Json Array.")
    for document in given:
        if wrong := forms.fault(document, forms.STEP):
            raise malformed(wrong)
        step = _step(document, branch)
        _check_arguments(step)
        _check_policies(step)
        yield step
        if step.type == "Condition":
            inside = document["Arguments"]
            yield from _steps(inside.get("IfSteps") or [], Branch(step.name, outcome=True))
            yield from _steps(inside.get("ElseSteps") or [], Branch(step.name, outcome=False))


def _step(document: Mapping[str, Any], branch: Branch | None) -> Step:
    name, kind = document.get("Name"), document.get("Type")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9\-_]{1,64}", name):
        raise malformed(f"Invalid step name: {name}.")
    if kind in NOT_RUN:
        raise invalid(f"The local cloud does not run steps of type {kind} (step {name}): it runs {_supported()}.")
    if kind not in MAKING and kind not in OTHERS:
        raise malformed(f"Unknown step type '{kind}' of step {name}.")
    depends = document.get("DependsOn") or []
    step = Step(name, kind, document, frozenset(), branch)
    try:
        used = {each.name for each in references(_evaluated_part(step)) if each.kind == "Steps"}
    except Unresolved as error:
        raise malformed(f"{error} (step {name}).") from error
    inside = {branch.condition} if branch else set()
    return Step(name, kind, document, frozenset({*depends, *used, *inside}), branch)


def _evaluated_part(step: Step) -> list[Any]:
    return [step.arguments, step.document.get("FunctionArn")]


def _supported() -> str:
    return ", ".join(sorted([*MAKING, *OTHERS]))


def _unique(steps: Sequence[Step]) -> Sequence[Step]:
    if twice := _twice([each.name for each in steps]):
        raise malformed(f"Pipeline steps cannot have duplicate names: {twice}.")
    return steps


def _twice(names: list[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")


def _check_arguments(step: Step) -> None:
    given = step.document.get("Arguments") or {}
    if step.type in MAKING:
        made = MAKING[step.type]
        for fault in arguments.faults(given, _shape(made.create), left_out=made.name):
            raise malformed(f"{fault} (step {step.name})")
    elif step.type == "Condition":
        if wrong := forms.fault(given, forms.CONDITION_ARGUMENTS):
            raise malformed(f"{wrong} (step {step.name})")
        if not given.get("Conditions"):
            raise malformed(f"The step {step.name} has no Conditions.")
        for wrong in filter(None, map(conditions.fault, given["Conditions"])):
            raise malformed(f"{wrong} (step {step.name})")
    elif step.type == "Lambda" and not step.document.get("FunctionArn"):
        raise malformed(f"The step {step.name} has no FunctionArn.")


@cache
def _shape(operation: str) -> Any:
    from moto.core.utils import get_service_model

    return get_service_model("sagemaker").operation_model(operation).input_shape


def _check_policies(step: Step) -> None:
    """CacheConfig and RetryPolicies. Sources: the SDK's CacheConfig and `mlops.workflow.retry`."""
    cache_config = step.document.get("CacheConfig") or {}
    if cache_config.get("Enabled"):
        if step.type not in CACHEABLE:
            raise malformed(f"Caching is not supported for steps of type {step.type} (step {step.name}).")
        if durations.seconds(cache_config.get("ExpireAfter")) is None:
            raise malformed(f"Invalid ExpireAfter '{cache_config.get('ExpireAfter')}' (step {step.name}).")
    policies = step.document.get("RetryPolicies") or []
    if policies and step.type not in RETRYABLE:
        raise malformed(f"Retry policies are not supported for steps of type {step.type} (step {step.name}).")
    for policy in policies:
        if unknown := set(policy.get("ExceptionType", ())) - EXCEPTIONS:
            raise malformed(f"Unknown exception type {min(unknown)} (step {step.name}).")
        if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
            raise malformed(f"A retry policy has either MaxAttempts or ExpireAfterMin (step {step.name}).")


def _check_references(step: Step, parameters: Mapping[str, Parameter], steps: Mapping[str, Step]) -> None:
    for each in references(_evaluated_part(step)):
        known = {"Parameters": parameters, "Execution": EXECUTION, "Steps": steps}[each.kind]
        if each.name not in known:
            raise malformed(f"{each.kind}.{each.name} is not defined (step {step.name}).")
        if each.kind == "Steps" and each.path[:1] == ("PropertyFiles",):
            _check_property_file(step, steps[each.name], str(each.path[1]) if len(each.path) > 1 else "")
    for name in step.after:
        if name not in steps:
            raise malformed(f"The step {step.name} depends on {name}, which is not defined.")
        if steps[name].type == "Fail":  # the SDK's own tests against AWS
            raise malformed(f"{step.name} can not depends on {name}")


def _check_property_file(step: Step, producer: Step, name: str) -> None:
    files = {each.get("PropertyFileName"): each for each in producer.document.get("PropertyFiles") or []}
    outputs = producer.arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    if name not in files or files[name].get("OutputName") not in [each.get("OutputName") for each in outputs]:
        raise malformed(f"Property file {name} is not defined in step {producer.name} (step {step.name}).")


def _check_order(steps: Mapping[str, Step]) -> None:
    try:
        TopologicalSorter({name: step.after for name, step in steps.items()}).prepare()
    except CycleError as error:
        raise malformed(f"The steps depend on each other: {' -> '.join(error.args[1])}.") from error
