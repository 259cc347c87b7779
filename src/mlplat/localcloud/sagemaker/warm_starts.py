"""What AWS asks of a warm start's parents. Source: developer guide, "Warm Start Tuning Restrictions".

The wording of the refusals is not verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import search_space, trials, warm_start
from mlplat.localcloud.executors.tuning import OBJECTIVE_PARAMETER
from mlplat.localcloud.sagemaker.errors import invalid, not_found

FINISHED = frozenset({"Completed", "Failed", "Stopped"})
MOST_CHANGES = 10
"""Hyperparameters that become static, or static ones that change their value."""


def check_warm_start(cloud: Cloud, request: Mapping[str, Any]) -> None:
    """Refuse parents that aren't there, haven't ended or searched something else."""
    config = request.get("WarmStartConfig")
    for name in warm_start.names(config):
        parent = cloud.store("tuning_jobs").get(name)
        if parent is None:
            raise not_found(f"Amazon SageMaker can't find a tuning job called {name}. Type another name.")
        if parent["HyperParameterTuningJobStatus"] not in FINISHED:
            raise invalid(f"The parent tuning job {name} must have ended before a warm start from it.")
        _check_search(request, parent)
        if config and config["WarmStartType"] == warm_start.IDENTICAL:
            _check_identical(request, parent)


def _check_search(request: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
    name = parent["HyperParameterTuningJobName"]
    objective, before = (each["HyperParameterTuningJobConfig"] for each in (request, parent))
    if objective["HyperParameterTuningJobObjective"] != before["HyperParameterTuningJobObjective"]:
        raise invalid(f"The objective metric must be the same as that of the parent tuning job {name}.")
    (ranges, static), (old_ranges, old_static) = _parameters(request), _parameters(parent)
    if len(ranges) + len(static) != len(old_ranges) + len(old_static):
        raise invalid(
            "The total number of static plus tunable hyperparameters must be the same as in the parent tuning job "
            f"{name}: {len(old_ranges) + len(old_static)}."
        )
    if changed := sorted(each for each, kind in ranges.items() if old_ranges.get(each, kind) != kind):
        raise invalid(f"The type of hyperparameters must not change from the parent tuning job {name}: {changed[0]}.")
    changes = sum(each in old_ranges or old_static.get(each) != value for each, value in static.items())
    if changes > MOST_CHANGES:
        raise invalid(f"{changes} hyperparameters are fixed or changed since the parent tuning job {name}: at most 10.")


def _check_identical(request: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
    mine, theirs = (each["TrainingJobDefinition"] for each in (request, parent))
    same_image = mine["AlgorithmSpecification"].get("TrainingImage") == theirs["AlgorithmSpecification"].get(
        "TrainingImage"
    )
    if not same_image or _sources(mine) != _sources(theirs):
        raise invalid(
            "A warm start with IdenticalDataAndAlgorithm uses the training image and the input data of its parents: "
            "use TransferLearning for others."
        )


def _sources(definition: Mapping[str, Any]) -> dict[str, str]:
    channels = definition.get("InputDataConfig", ())
    return {each["ChannelName"]: each["DataSource"].get("S3DataSource", {}).get("S3Uri", "") for each in channels}


def _parameters(job: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """(kind of each tunable hyperparameter, value of each static one)."""
    ranges = search_space.parse(job["HyperParameterTuningJobConfig"].get("ParameterRanges", {}))
    static = job["TrainingJobDefinition"].get("StaticHyperParameters", {})
    own = {name: value for name, value in static.items() if name != OBJECTIVE_PARAMETER}
    return {each.name: each.kind for each in ranges}, own


def best_of_parents(cloud: Cloud, job: Mapping[str, Any]) -> dict[str, Any] | None:
    """The best training job of the parents; only results for identical data can be compared."""
    config = job.get("WarmStartConfig")
    if not config or config["WarmStartType"] != warm_start.IDENTICAL:
        return None
    found = list[dict[str, Any]]()
    for name in warm_start.names(config):
        parent = cloud.store("tuning_jobs")[name]
        if top := trials.best(parent, trials.trials(cloud, parent)):
            found.append({**top, "TuningJobName": name})
    return trials.best(job, found)
