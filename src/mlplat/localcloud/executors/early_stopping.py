"""Which training jobs of a tuning job are not worth going on with, by the objective metric that they print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, Protocol

ENOUGH = 3
"""Earlier training jobs that must have come as far before one is compared with them; AWS doesn't say how many."""

RESOURCES = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Static hyperparameters that tell Hyperband its MaxResource. Source: API reference of HyperbandStrategyConfig."""


class Judge(Protocol):
    """Decides after each value of the objective metric."""

    def is_hopeless(self, trial: Any, curve: Sequence[float], earlier: Sequence[Sequence[float]]) -> bool:
        """Whether the job of `curve` (its values so far) should be stopped; `earlier` are those of jobs that ended."""


class Off:
    """Nothing is stopped early."""

    def is_hopeless(self, trial: Any, curve: Sequence[float], earlier: Sequence[Sequence[float]]) -> bool:
        """Never."""
        return False


class MedianRule:
    """TrainingJobEarlyStoppingType Auto.

    A job is stopped when its metric is worse than the median of the running averages of earlier jobs up to the same
    epoch. Source: developer guide, "Stop Training Jobs Early".
    """

    def __init__(self, *, maximize: bool) -> None:
        self._sign = 1 if maximize else -1

    def is_hopeless(self, trial: Any, curve: Sequence[float], earlier: Sequence[Sequence[float]]) -> bool:
        """Whether the newest value is worse than the median."""
        epoch = len(curve)
        averages = [fmean(each[:epoch]) for each in earlier if len(each) >= epoch]
        return len(averages) >= ENOUGH and self._sign * (curve[-1] - median(averages)) < 0


class Hyperband:
    """Strategy Hyperband: successive halving in brackets, by Optuna's pruner; a value is one unit of the resource."""

    def __init__(self, max_resource: int) -> None:
        self._max_resource = max_resource

    def is_hopeless(self, trial: Any, curve: Sequence[float], earlier: Sequence[Sequence[float]]) -> bool:
        """Whether the job has used all of its resource, or was left behind in its bracket."""
        trial.report(curve[-1], len(curve))
        return len(curve) >= self._max_resource or bool(trial.should_prune())


def resources(config: Mapping[str, Any], static: Mapping[str, str]) -> tuple[int, int]:
    """(MinResource, MaxResource) of a Hyperband search. Raises ValueError when there is no MaxResource."""
    asked = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    most = asked.get("MaxResource")
    if most is None:
        told = next((static[name] for name in RESOURCES if name in static), "")
        most = int(told.strip('"'))
    return int(asked.get("MinResource", 1)), int(most)
