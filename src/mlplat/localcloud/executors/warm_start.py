"""What a tuning job learns from earlier ones before it tries anything itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.search_space import Sampler
from mlplat.localcloud.executors.trials import maximizes, trials, value_of

IDENTICAL = "IdenticalDataAndAlgorithm"
FIRST = 3
"""How many of the parents' best hyperparameters a transfer begins with; AWS doesn't say."""


def names(config: Mapping[str, Any] | None) -> list[str]:
    """The parents that a WarmStartConfig names."""
    return [each["HyperParameterTuningJobName"] for each in (config or {}).get("ParentHyperParameterTuningJobs", ())]


def teach(sampler: Sampler, cloud: Cloud, job: Mapping[str, Any], jobs: int) -> None:
    """Tell the sampler what the parents have found.

    Results for identical data count like own ones. Those for other data (TransferLearning) are only where the search
    begins: their values can't be compared. Not recursive: a parent's own parents are not asked.
    """
    config = job.get("WarmStartConfig")
    parents = [each for name in names(config) if (each := cloud.store("tuning_jobs").get(name)) is not None]
    found = sorted(_tried(cloud, parents), key=lambda pair: pair[1], reverse=maximizes(job))
    if not config or config["WarmStartType"] == IDENTICAL:
        for tried, value in found:
            sampler.learn(tried, value)
    else:
        taken = (sampler.begin_with(tried) for tried, _ in found)
        for number, _ in enumerate(filter(None, taken), 1):
            if number >= min(FIRST, jobs):
                break


def _tried(cloud: Cloud, parents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[dict[str, str], float]]:
    """(hyperparameters, objective metric) of the parents' training jobs that have one."""
    for parent in parents:
        static = parent["TrainingJobDefinition"].get("StaticHyperParameters", {})
        for each in trials(cloud, parent):
            value = value_of(each)
            if value is not None:
                yield static | each["TunedHyperParameters"], value
