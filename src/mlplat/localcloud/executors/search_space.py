"""What a tuning job searches: SageMaker's ranges, as distributions of Optuna and back as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = {
    "ContinuousParameterRanges": "continuous",
    "IntegerParameterRanges": "integer",
    "CategoricalParameterRanges": "categorical",
}

WIDE = 100.0
"""Scaling Auto searches a range logarithmically when its ends differ by this factor; AWS doesn't say when it does."""


class RangeError(ValueError):
    """A range that can't be searched."""


@dataclass(frozen=True)
class Range:
    """One hyperparameter's range. Values of a trial are what Optuna samples; `text` makes them the job's."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    scaling: str = "Linear"
    values: tuple[str, ...] = ()

    @classmethod
    def parse(cls, kind: str, given: Mapping[str, Any]) -> Range:
        """From the API's shape. Raises RangeError for what AWS refuses."""
        name = given["Name"]
        if kind == "categorical":
            return cls(name, kind, values=tuple(given["Values"]))
        try:
            low, high = (float(given[end]) for end in ("MinValue", "MaxValue"))
        except ValueError as error:
            raise RangeError(f"the range of {name} is not a range of numbers") from error
        if kind == "integer" and not (low.is_integer() and high.is_integer()):
            raise RangeError(f"the range of {name} must have integers as its ends")
        if not low <= high:
            raise RangeError(f"the range of {name} must have a MinValue that is not greater than its MaxValue")
        return cls(name, kind, low, high, _scaling(name, kind, low, high, given.get("ScalingType", "Auto")))

    def distribution(self) -> Any:
        """What Optuna samples: for a reverse logarithmic scale, the distance to 1."""
        from optuna import distributions as of

        if self.kind == "categorical":
            return of.CategoricalDistribution(self.values)
        if self.scaling == "ReverseLogarithmic":
            return of.FloatDistribution(1 - self.high, 1 - self.low, log=True)
        log = self.scaling == "Logarithmic"
        if self.kind == "integer":
            return of.IntDistribution(int(self.low), int(self.high), log=log)
        return of.FloatDistribution(self.low, self.high, log=log)

    def text(self, sampled: Any) -> str:
        """The hyperparameter of the training job."""
        if self.kind != "continuous":
            return str(sampled)
        value = 1 - float(sampled) if self.scaling == "ReverseLogarithmic" else float(sampled)
        return repr(min(max(value, self.low), self.high))

    @property
    def count(self) -> float:
        """How many values it has."""
        if self.kind == "categorical":
            return len(self.values)
        return self.high - self.low + 1 if self.kind == "integer" else math.inf


def _scaling(name: str, kind: str, low: float, high: float, scaling: str) -> str:
    if scaling == "Auto":
        return "Logarithmic" if low > 0 and high / low >= WIDE else "Linear"
    if scaling == "Logarithmic" and low <= 0:
        raise RangeError(f"the range of {name} must be greater than 0 for logarithmic scaling")
    if scaling == "ReverseLogarithmic" and (kind != "continuous" or low < 0 or high >= 1):
        raise RangeError(f"the range of {name} must be continuous and within [0, 1) for reverse logarithmic scaling")
    return scaling


def parse(ranges: Mapping[str, Any]) -> list[Range]:
    """The ranges of a ParameterRanges shape. Raises RangeError."""
    found = [Range.parse(kind, each) for member, kind in KINDS.items() for each in ranges.get(member, ())]
    names = [each.name for each in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RangeError(f"several ranges are given for {', '.join(sorted(twice))}")
    return found


class Sampler:
    """Which values the next training job gets: Random, Bayesian or Grid; equal seeds give equal values.

    Bayesian is Optuna's tree-structured Parzen estimator. It learns from what `tell` says, so several jobs at once
    repeat themselves only if they end in the same order.
    """

    def __init__(self, ranges: list[Range], strategy: str, *, maximize: bool, seed: int | None, jobs: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._ranges = ranges
        self._distributions = {each.name: each.distribution() for each in ranges}
        sampler: Any = optuna.samplers.RandomSampler(seed=seed)
        if strategy == "Bayesian":
            first = max(3, min(10, jobs // 3))  # of a short search, Optuna's ten random trials would be all
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first)
        self._study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
        self._grid = grid(ranges) if strategy == "Grid" else None

    def ask(self) -> tuple[Any, dict[str, str]]:
        """A trial, and the hyperparameters that it tries."""
        if self._grid is not None:
            self._study.enqueue_trial(next(self._grid))
        trial = self._study.ask(self._distributions)
        return trial, {each.name: each.text(trial.params[each.name]) for each in self._ranges}

    def tell(self, trial: Any, value: float | None) -> None:
        """How a trial ended: the objective metric, or None when there is none."""
        import optuna

        if value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)


def grid(ranges: list[Range]) -> Iterator[dict[str, str]]:
    """Every combination of categorical values."""
    import itertools

    for values in itertools.product(*(each.values for each in ranges)):
        yield dict(zip((each.name for each in ranges), values, strict=True))
