"""Ranges as SageMaker means them, and which values the strategies choose."""

import math

import pytest

from mlplat.localcloud.executors.search_space import Range, RangeError, Sampler, parse


def continuous(low, high, scaling="Linear"):
    return Range.parse("continuous", {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scaling})


def drawn(ranges, strategy="Random", seed=7, jobs=200):
    sampler = Sampler(ranges, strategy, maximize=True, seed=seed, jobs=jobs)
    values = []
    for _ in range(jobs):
        trial, tuned = sampler.ask()
        values.append(tuned)
        sampler.tell(trial, -abs(float(tuned["x"]) - 0.3))
    return values


@pytest.mark.parametrize(
    ("scaling", "low", "high", "below"),
    [("Linear", "0", "1", 0.5), ("Logarithmic", "0.0001", "1", 0.01), ("ReverseLogarithmic", "0", "0.9999", 0.99)],
)
def test_a_scale_puts_half_of_the_values_below_its_middle(scaling, low, high, below):
    values = [float(each["x"]) for each in drawn([continuous(low, high, scaling)], jobs=400)]
    assert all(float(low) <= value <= float(high) for value in values)
    assert 0.4 < sum(value < below for value in values) / len(values) < 0.6


def test_auto_is_logarithmic_for_wide_ranges_only():
    assert continuous("0.001", "1", "Auto").scaling == "Logarithmic"
    assert continuous("0.1", "1", "Auto").scaling == "Linear"
    assert continuous("0", "1", "Auto").scaling == "Linear"


def test_values_are_text():
    ranges = parse(
        {
            "ContinuousParameterRanges": [{"Name": "x", "MinValue": "0.5", "MaxValue": "0.5"}],
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "3", "MaxValue": "3"}],
            "CategoricalParameterRanges": [{"Name": "kind", "Values": ['"tree"']}],
        }
    )
    assert drawn(ranges, jobs=1) == [{"x": "0.5", "depth": "3", "kind": '"tree"'}]
    assert math.prod(each.count for each in ranges) == math.inf


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_equal_seeds_choose_equal_values(strategy):
    ranges = [continuous("0", "1"), Range.parse("categorical", {"Name": "c", "Values": ["a", "b"]})]
    first = drawn(ranges, strategy, seed=3, jobs=15)
    assert drawn(ranges, strategy, seed=3, jobs=15) == first
    assert drawn(ranges, strategy, seed=4, jobs=15) != first


def test_bayesian_learns_where_the_metric_is_good():
    def distance(strategy):
        runs = [drawn([continuous("0", "1")], strategy, seed=seed, jobs=40)[20:] for seed in range(4)]
        late = [abs(float(each["x"]) - 0.3) for run in runs for each in run]
        return sum(late) / len(late)

    assert distance("Bayesian") < 0.7 * distance("Random")


def test_a_grid_tries_every_combination_once():
    ranges = [Range.parse("categorical", {"Name": name, "Values": ["1", "2", "3"]}) for name in ("x", "y")]
    seen = drawn(ranges, "Grid", jobs=9)
    assert {(each["x"], each["y"]) for each in seen} == {(x, y) for x in "123" for y in "123"}


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("continuous", {"MinValue": "2", "MaxValue": "1"}, "MinValue"),
        ("continuous", {"MinValue": "a", "MaxValue": "1"}, "numbers"),
        ("integer", {"MinValue": "1.5", "MaxValue": "3"}, "integers"),
        ("continuous", {"MinValue": "0", "MaxValue": "1", "ScalingType": "Logarithmic"}, "greater than 0"),
        ("continuous", {"MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}, "[0, 1)"),
    ],
)
def test_ranges_that_can_not_be_searched(kind, given, words):
    with pytest.raises(RangeError) as caught:
        Range.parse(kind, {"Name": "x", **given})
    assert words in str(caught.value)


def test_a_name_has_one_range():
    one = {"Name": "x", "MinValue": "1", "MaxValue": "2"}
    with pytest.raises(RangeError):
        parse({"ContinuousParameterRanges": [one], "IntegerParameterRanges": [one]})
