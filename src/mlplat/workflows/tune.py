"""A tuning job: the same training over ranges of hyperparameters, its trials, and its winner."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlplat.errors import MlplatError, UsageError, telling
from mlplat.settings import Workload
from mlplat.workflows import train
from mlplat.workflows.files import digest
from mlplat.workflows.platform import Platform
from mlplat.workflows.train import Event, Inputs

NAME_LIMIT = 32
"""Characters of a tuning job's name (CreateHyperParameterTuningJob)."""

RANGES = {
    "continuous": "ContinuousParameterRanges",
    "integer": "IntegerParameterRanges",
    "categorical": "CategoricalParameterRanges",
}


def prepare(platform: Platform, name: str, spec: Workload) -> Inputs:
    """The inputs of all trials; the digest also covers ranges, strategy and limits. Raises UsageError."""
    if spec.tuning is None or not spec.tuning.ranges or not spec.objective_metric:
        what = "objective_metric" if spec.tuning and spec.tuning.ranges else f"[workloads.{name}.tuning.ranges]"
        raise UsageError(
            f"tuning workload {name}: the configuration has no {what}",
            hint="mlplat config show",
        )
    tuned = {key: value for key, value in spec.hyperparameters.items() if key not in spec.tuning.ranges}
    salt = json.dumps(spec.tuning.model_dump(mode="json"), sort_keys=True)
    return train.prepare(platform, name, spec, {**tuned, **spec.tuning.fixed}, salt=salt)


def submit(platform: Platform, inputs: Inputs, *, force: bool = False) -> tuple[str, bool]:
    """The tuning job of these inputs: (name, started now). One that runs or has completed is joined."""
    latest = None
    for attempt in itertools.count(1):
        name = job_name(platform, inputs, attempt)
        status = _status(platform, name)
        if status is None:
            break
        latest = (name, status)
    if latest and not force and _joins(platform, *latest):
        return latest[0], False
    wanted = request(platform, inputs, name)
    create = platform.session.client("sagemaker").create_hyper_parameter_tuning_job
    with telling(f"starting tuning job {name}", f"mlplat config show workloads.{inputs.workload}.tuning"):
        create(**wanted)
    return name, True


def _joins(platform: Platform, job: str, status: str) -> bool:
    """Whether a job needs no repetition: it runs, or it has completed and the winner's model is still there."""
    if status != "Completed":
        return status in ("InProgress", "Stopping")
    client = platform.session.client("sagemaker")
    found = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
    best = found.get("BestTrainingJob")
    return best is None or train.has_model(platform, best["TrainingJobName"])


def job_name(platform: Platform, inputs: Inputs, attempt: int) -> str:
    """`<workload>-<namespace>-<digest>`, the words cut so that it fits into 32 characters."""
    tail = inputs.digest if attempt == 1 else digest(inputs.digest, str(attempt))
    words = f"{inputs.workload}-{platform.settings.namespace}".replace("_", "-")
    return f"{words[: NAME_LIMIT - len(tail) - 1].rstrip('-')}-{tail}"


def _status(platform: Platform, name: str) -> str | None:
    client = platform.session.client("sagemaker")
    found = platform.session.find(lambda: client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))
    return found["HyperParameterTuningJobStatus"] if found else None


def request(platform: Platform, inputs: Inputs, name: str) -> dict[str, Any]:
    """CreateHyperParameterTuningJob, whole."""
    spec = inputs.spec
    assert spec.tuning is not None
    definition = train.job_definition(platform, inputs)
    definition["StaticHyperParameters"] = {**inputs.hyperparameters, **train.script_mode(platform, inputs)}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": spec.tuning.strategy,
            "HyperParameterTuningJobObjective": {"Type": spec.objective_type, "MetricName": spec.objective_metric},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": spec.tuning.max_jobs,
                "MaxParallelTrainingJobs": spec.tuning.max_parallel_jobs,
            },
            "ParameterRanges": parameter_ranges(spec),
            "TrainingJobEarlyStoppingType": "Off",
            **({"RandomSeed": spec.tuning.seed} if spec.tuning.seed is not None else {}),
        },
        "TrainingJobDefinition": definition,
        "Tags": train.run_tags(platform, inputs.workload),
    }


def parameter_ranges(spec: Workload) -> dict[str, list[dict[str, Any]]]:
    """The configured ranges in AWS's three lists; all values are strings."""
    ranges: dict[str, list[dict[str, Any]]] = {}
    for name, each in (spec.tuning.ranges if spec.tuning else {}).items():
        one: dict[str, Any] = {"Name": name}
        if each.type == "categorical":
            one["Values"] = [str(value) for value in each.values or ()]
        else:
            one |= {"MinValue": str(each.min), "MaxValue": str(each.max), "ScalingType": each.scaling}
        ranges.setdefault(RANGES[each.type], []).append(one)
    return ranges


def follow(platform: Platform, job: str, *, every: float = 5.0) -> Iterator[Event]:
    """Statuses of a tuning job, with all its trials each time something changed, until it has ended."""
    client = platform.session.client("sagemaker")
    said, pause = "", 0.3
    while True:
        found = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
        rows = trials(platform, job)
        now = json.dumps([found["HyperParameterTuningJobStatus"], rows], default=str)
        if now != said:
            said, pause = now, 0.3
            yield Event("trials", found["HyperParameterTuningJobStatus"], rows)
        if found["HyperParameterTuningJobStatus"] in train.TERMINAL:
            return
        platform.session.pause(pause)
        pause = min(pause * 1.5, every)


def trials(platform: Platform, job: str) -> list[dict[str, Any]]:
    """The trials in the order they were started: name, status, objective (None until known), parameters."""
    listed = platform.session.client("sagemaker").pages(
        "list_training_jobs_for_hyper_parameter_tuning_job",
        "TrainingJobSummaries",
        HyperParameterTuningJobName=job,
        SortBy="CreationTime",
        SortOrder="Ascending",
    )
    return [
        {
            "trial": each["TrainingJobName"],
            "status": each["TrainingJobStatus"],
            "objective": each.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value"),
            "parameters": each.get("TunedHyperParameters", {}),
        }
        for each in listed
    ]


def result(platform: Platform, job: str) -> dict[str, Any]:
    """The winner of a completed tuning job, as `train.result` tells it, with all trials.

    Raises MlplatError with AWS's reason when the tuning failed or no trial reached the objective.
    """
    found: Mapping[str, Any] = platform.session.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=job
    )
    best = found.get("BestTrainingJob")
    if found["HyperParameterTuningJobStatus"] != "Completed" or not best:
        reason = found.get("FailureReason", "no trial reported the objective metric")
        raise MlplatError(f"tuning job {job}: {found['HyperParameterTuningJobStatus']}: {reason}", hint="mlplat status")
    return {**train.result(platform, best["TrainingJobName"]), "tuning": job, "trials": trials(platform, job)}
