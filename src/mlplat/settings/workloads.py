"""What runs on the platform: workloads with their training and tuning, and endpoints."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mlplat.settings.limits import Name, OneLine, ServingInstanceType, TrainingInstanceType
from mlplat.settings.problems import Refusal, matching, nearest, refuse
from mlplat.settings.section import Section

Scalar = bool | int | float | str


def _metric_pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise refuse(Refusal(f"not a regular expression: {error}")) from error
    if groups == 0:
        raise refuse(Refusal("a metric's pattern has a group around the value, as in auc=([0-9.]+)"))
    return value


def _script(value: str) -> str:
    if not value.endswith(".py") or Path(value).is_absolute() or ".." in Path(value).parts:
        raise refuse(Refusal("a .py file, relative to the workload's source"))
    return value


def _channel(value: str) -> str:
    if not value or ("://" in value and not value.startswith("s3://")):
        raise refuse(Refusal("a file or folder here, or an s3:// address"))
    return value


_IMAGE = "an AWS framework image as name:version (scikit-learn:1.2-1), or the URI of your own"
Script = Annotated[str, AfterValidator(_script)]
ChannelName = Annotated[str, matching(r"[A-Za-z0-9._-]{1,64}", "a channel's name is up to 64 letters, digits, . - _")]
VariableName = Annotated[
    str, matching(r"[a-zA-Z_][a-zA-Z0-9_]{0,511}", "an environment variable's name is letters, digits and _")
]
MetricName = Annotated[
    str, matching(r"[\w .:/=+@-]{1,121}", "a metric's name is up to 121 letters, digits, spaces and _ . : / = + - @")
]
"""SageMaker takes more, the registry doesn't: `metric:<name>` is a key of a version's CustomerMetadataProperties."""
MetricPattern = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_metric_pattern)]
Channel = Annotated[str, AfterValidator(_channel)]
Hyperparameters = Annotated[dict[str, Scalar], Field(max_length=96)]
"""SageMaker takes 100, and script mode needs four of them."""
VariableValue = Annotated[str, StringConstraints(max_length=512)]


class _Interval(Section):
    type: Literal["continuous", "integer"]
    min: float
    max: float
    scaling: Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"] = "Auto"

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not (math.isfinite(self.min) and math.isfinite(self.max) and self.min < self.max):
            raise refuse(Refusal("must be greater than min", ("max",)))
        if self.scaling == "Logarithmic" and self.min <= 0:
            raise refuse(Refusal("must be greater than 0 for Logarithmic scaling", ("min",)))
        return self


class ContinuousRange(_Interval):
    """Any number between `min` and `max`."""

    type: Literal["continuous"]

    @model_validator(mode="after")
    def _suits_reverse(self) -> Self:
        if self.scaling == "ReverseLogarithmic" and not 0 <= self.min < self.max < 1:
            raise refuse(Refusal("ReverseLogarithmic needs 0 <= min < max < 1", ("scaling",)))
        return self


class IntegerRange(_Interval):
    """Any whole number from `min` to `max`."""

    type: Literal["integer"]
    min: int
    max: int
    scaling: Literal["Auto", "Linear", "Logarithmic"] = "Auto"


class CategoricalRange(Section):
    """One of `values`."""

    type: Literal["categorical"]
    values: Annotated[list[str], Field(min_length=1, max_length=30)]


Range = Annotated[ContinuousRange | IntegerRange | CategoricalRange, Field(discriminator="type")]


class Tuning(Section):
    """How `mlplat train --tune` searches."""

    strategy: Literal["Bayesian", "Random"] = "Bayesian"
    max_jobs: Annotated[int, Field(ge=1, le=10_000)] = 10
    max_parallel_jobs: Annotated[int, Field(ge=1, le=100)] = 2
    seed: Annotated[int, Field(ge=0)] | None = None
    """Makes a search that is run again draw the same parameters (RandomSeed)."""
    fixed: Hyperparameters = {}
    ranges: Annotated[dict[str, Range], Field(min_length=1, max_length=30)]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = [
            Refusal("both fixed and a range; SageMaker takes a hyperparameter once", ("fixed", name))
            for name in self.fixed
            if name in self.ranges
        ]
        if self.strategy == "Bayesian" and self.max_jobs > 750:
            found.append(Refusal("at most 750 for Bayesian", ("max_jobs",)))
        if self.max_parallel_jobs > self.max_jobs:
            found.append(Refusal(f"more than max_jobs, which is {self.max_jobs}", ("max_parallel_jobs",)))
        if found:
            raise refuse(*found)
        return self


class Workload(Section):
    """A model that is trained here: its code, data, metrics, and the group that its versions are registered in."""

    description: Annotated[str, StringConstraints(max_length=1024), OneLine] = ""
    source: Annotated[Path, Field(strict=False)]
    """A folder; absolute once loaded."""
    entry_point: Script = "train.py"
    inference_entry_point: Script = "inference.py"
    image: Annotated[str, matching(r"[a-z0-9][a-z0-9-]*:[\w.-]+|\S+/\S+", _IMAGE)]
    model_package_group: Name
    objective_metric: str | None = None
    objective_type: Literal["Maximize", "Minimize"] = "Maximize"
    instance_type: TrainingInstanceType | None = None
    """Without it, and the two that follow, what [training] says."""
    instance_count: Annotated[int, Field(ge=1)] | None = None
    max_runtime_minutes: Annotated[int, Field(ge=1, le=28 * 24 * 60)] | None = None
    channels: Annotated[dict[ChannelName, Channel], Field(min_length=1, max_length=20)]
    """Channel -> an absolute path, or an s3:// address."""
    hyperparameters: Hyperparameters = {}
    metrics: Annotated[dict[MetricName, MetricPattern], Field(max_length=40)] = {}
    tuning: Tuning | None = None
    environment: Annotated[dict[VariableName, VariableValue], Field(max_length=100)] = {}
    """Environment variables of the job."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.objective_metric is not None and self.objective_metric not in self.metrics:
            guess = nearest(self.objective_metric, self.metrics)
            raise refuse(Refusal("not one of the workload's metrics", ("objective_metric",), guess))
        if self.tuning is not None and self.objective_metric is None:
            raise refuse(Refusal("missing; tuning needs a metric to go by", ("objective_metric",)))
        return self


class Endpoint(Section):
    """Where a workload's models are served. Which versions, and at which weights, is the release's matter."""

    description: str = ""
    workload: str
    instance_type: ServingInstanceType | None = None
    """Without it, and the next, what [serving] says."""
    instance_count: Annotated[int, Field(ge=1)] | None = None
