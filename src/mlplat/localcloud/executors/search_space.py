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

    def sampled(self, text: str) -> Any:
        """What Optuna would have sampled for this hyperparameter. Raises RangeError for what isn't in the range."""
        if self.kind == "categorical":
            if text not in self.values:
                raise RangeError(f"{text} is not one of the values of {self.name}")
            return text
        try:
            value = float(text.strip('"'))
        except ValueError as error:
            raise RangeError(f"{text} is no number") from error
        if not self.low <= value <= self.high:
            raise RangeError(f"{text} is not in the range of {self.name}")
        if self.kind == "integer":
            return int(value)
        return 1 - value if self.scaling == "ReverseLogarithmic" else value

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
    """Which values the next training job gets: Random, Bayesian, Grid, Hyperband; equal seeds give equal values.

    Bayesian is Optuna's tree-structured Parzen estimator, which Hyperband uses, too. It learns from what `tell` says,
    so several jobs at once repeat themselves only if they end in the same order.
    """

    def __init__(
        self,
        ranges: list[Range],
        strategy: str,
        *,
        maximize: bool,
        seed: int | None,
        jobs: int,
        resources: tuple[int, int] = (1, 1),
    ) -> None:
        """`resources`: MinResource and MaxResource of Hyperband."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._ranges = ranges
        self._distributions = {each.name: each.distribution() for each in ranges}
        sampler: Any = optuna.samplers.RandomSampler(seed=seed)
        pruner: Any = optuna.pruners.NopPruner()
        if strategy in ("Bayesian", "Hyperband"):
            first = max(3, min(10, jobs // 3))  # of a short search, Optuna's ten random trials would be all
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first)
        if strategy == "Hyperband":
            pruner = optuna.pruners.HyperbandPruner(min_resource=resources[0], max_resource=resources[1])
        direction = "maximize" if maximize else "minimize"
        self._study = optuna.create_study(direction=direction, sampler=sampler, pruner=pruner)
        self._grid = grid(ranges) if strategy == "Grid" else None

    def learn(self, tried: Mapping[str, str], value: float) -> bool:
        """What an earlier tuning job found; False when it is outside of what is searched now."""
        import optuna

        params = self._params(tried)
        if params is None:
            return False
        made = optuna.trial.create_trial(params=params, distributions=self._distributions, value=value)
        self._study.add_trial(made)
        return True

    def begin_with(self, tried: Mapping[str, str]) -> bool:
        """Try these hyperparameters before others; False when they are outside of what is searched now."""
        params = self._params(tried)
        if params is None:
            return False
        self._study.enqueue_trial(params)
        return True

    def _params(self, tried: Mapping[str, str]) -> dict[str, Any] | None:
        try:
            return {each.name: each.sampled(tried[each.name]) for each in self._ranges}
        except (RangeError, KeyError):
            return None

    def ask(self) -> tuple[Any, dict[str, str]]:
        """A trial, and the hyperparameters that it tries."""
        if self._grid is not None:
            self._study.enqueue_trial(next(self._grid))
        trial = self._study.ask(self._distributions)
        return trial, {each.name: each.text(trial.params[each.name]) for each in self._ranges}

    def tell(self, trial: Any, value: float | None, *, pruned: bool = False) -> None:
        """How a trial ended: the objective metric, or None when there is none; `pruned`: it was stopped early."""
        import optuna

        if value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif pruned:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, value)


def grid(ranges: list[Range]) -> Iterator[dict[str, str]]:
    """Every combination of categorical values."""
    import itertools

    for values in itertools.product(*(each.values for each in ranges)):
        yield dict(zip((each.name for each in ranges), values, strict=True))
