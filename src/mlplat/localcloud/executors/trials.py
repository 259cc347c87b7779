"""What is known of a tuning job's training jobs: derived from their records, as lists and counters show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.progress import FINISHED

IMPROVED = 0.01
"""A smaller improvement of the objective metric is none."""


def trials(cloud: Cloud, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """HyperParameterTrainingJobSummary of each child, in the order of their launch."""
    with cloud.lock:
        children = cloud.store("training_jobs")
        return [_summary(job, each, children.get(each["TrainingJobName"])) for each in job["Trials"]]


def _summary(job: Mapping[str, Any], trial: Mapping[str, Any], child: Mapping[str, Any] | None) -> dict[str, Any]:
    """A trial with what its training job says; what it said last, when somebody has deleted the job."""
    if child is None or child.get("TuningJobArn") != job["HyperParameterTuningJobArn"]:
        return {"TrainingJobStatus": "Stopped", "ObjectiveStatus": "Failed", **trial}
    names = (
        "TrainingJobArn",
        "CreationTime",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingJobStatus",
        "FailureReason",
    )
    summary = {**trial, **{name: child[name] for name in names if name in child}}
    objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    found = {each["MetricName"]: each["Value"] for each in child.get("FinalMetricDataList", ())}
    ended = child["TrainingJobStatus"] in FINISHED
    if ended and objective in found:
        metric = {"MetricName": objective, "Value": found[objective]}
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = metric
    good = objective in found and child["TrainingJobStatus"] != "Failed"
    summary["ObjectiveStatus"] = "Pending" if not ended else "Succeeded" if good else "Failed"
    return summary


def value_of(trial: Mapping[str, Any]) -> float | None:
    """The objective metric of a trial that counts; None while it runs and when it failed."""
    if trial.get("ObjectiveStatus") != "Succeeded":
        return None
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def best(job: Mapping[str, Any], seen: list[dict[str, Any]]) -> dict[str, Any] | None:
    """BestTrainingJob."""
    scored = [(value, each) for each in seen if (value := value_of(each)) is not None]
    if not scored:
        return None
    return (max if maximizes(job) else min)(scored, key=lambda pair: pair[0])[1]


def not_improving(job: Mapping[str, Any], seen: list[dict[str, Any]]) -> int:
    """How many training jobs in a row were not better than all before by 1 % (API of BestObjectiveNotImproving)."""
    sign, top, count = (1 if maximizes(job) else -1), None, 0
    for value in (found for each in seen if (found := value_of(each)) is not None):
        if top is None or (sign * (value - top) > 0 and abs(value - top) >= IMPROVED * abs(top)):
            top, count = value, 0
        else:
            count += 1
    return count


def maximizes(job: Mapping[str, Any]) -> bool:
    """Whether more of the objective metric is better."""
    return bool(job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] == "Maximize")


def counters(seen: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """TrainingJobStatusCounters and ObjectiveStatusCounters."""
    status = Counter(each["TrainingJobStatus"] for each in seen)
    objective = Counter(each.get("ObjectiveStatus", "Pending") for each in seen)
    return {
        "TrainingJobStatusCounters": {
            "Completed": status["Completed"],
            "InProgress": status["InProgress"] + status["Stopping"],
            "RetryableError": 0,
            "NonRetryableError": status["Failed"],
            "Stopped": status["Stopped"],
        },
        "ObjectiveStatusCounters": {name: objective[name] for name in ("Succeeded", "Pending", "Failed")},
    }
