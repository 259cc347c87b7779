"""Tuning jobs that stop what isn't worth going on with, and those that begin with what others have found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.localcloud.jobs import IMAGE, Jobs
from tests.localcloud.searches import Tuning, value

from mlplat.localcloud.executors import early_stopping, trials
from mlplat.localcloud.executors.early_stopping import MedianRule
from mlplat.localcloud.executors.search_space import Range, Sampler
from mlplat.localcloud.executors.tuning import TuningRun

EPOCHS = """
import argparse, time
given = argparse.ArgumentParser()
given.add_argument("-x", type=float); given.add_argument("--epochs", type=int, default=9)
given.add_argument("--fixed"); given.add_argument("--kind")
given = given.parse_args()
for epoch in range(given.epochs):
    print(f"score={given.x * (epoch + 1)}", flush=True)
    time.sleep(0.25)
"""
"""A score that grows with each epoch, faster for a larger x."""


@pytest.fixture(scope="module")
def tuning(cloud: Any) -> Tuning:
    """Tuning jobs as a user's own boto3 program makes them."""
    return Tuning(Jobs(cloud))


def categorical(*values: str) -> dict[str, Any]:
    return {"CategoricalParameterRanges": [{"Name": "x", "Values": list(values)}]}


def test_a_job_worse_than_the_median_of_earlier_ones_is_stopped(tuning):
    ranges = categorical("5", "6", "7", "1")
    auto = {"TrainingJobEarlyStoppingType": "Auto"}
    job = tuning.run(EPOCHS, strategy="Grid", most=None, parallel=1, ranges=ranges, **auto)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    children = tuning.children(job)
    assert [each["TrainingJobStatus"] for each in children] == ["Completed"] * 3 + ["Stopped"]
    assert children[3]["ObjectiveStatus"] == "Succeeded"
    assert value(children[3]) < 5
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "7"}


def test_off_stops_nothing(tuning):
    job = tuning.run(EPOCHS, strategy="Grid", most=None, parallel=2, ranges=categorical("5", "6", "7", "1"))
    assert {each["TrainingJobStatus"] for each in tuning.children(job)} == {"Completed"}


def test_the_median_rule():
    earlier = [[1.0, 3.0], [2.0, 4.0], [3.0, 5.0], [9.0]]  # averages after two epochs: 2, 3, 4
    up, down = MedianRule(maximize=True), MedianRule(maximize=False)
    assert [up.is_hopeless(None, [0.0, last], earlier) for last in (2.9, 3.0)] == [True, False]
    assert [down.is_hopeless(None, [0.0, last], earlier) for last in (3.1, 3.0)] == [True, False]
    assert not up.is_hopeless(None, [0.0, 0.0, 0.0], earlier)  # nobody came as far
    assert not up.is_hopeless(None, [0.0], earlier[:2])


def hyperband(**resource: int) -> dict[str, Any]:
    return {"StrategyConfig": {"HyperbandStrategyConfig": resource}} if resource else {}


def test_hyperband_gives_most_epochs_to_the_best(tuning):
    ranges = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}
    config = hyperband(MinResource=1, MaxResource=9)
    job = tuning.run(EPOCHS, strategy="Hyperband", most=8, parallel=2, ranges=ranges, RandomSeed=3, **config)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    children = tuning.children(job)
    assert len(children) == 8
    stopped = [each for each in children if each["TrainingJobStatus"] == "Stopped"]
    assert stopped
    used = {each["TrainingJobName"]: value(each) / float(each["TunedHyperParameters"]["x"]) for each in children}
    assert min(used.values()) < 6  # some were left behind after few epochs
    assert used[job["BestTrainingJob"]["TrainingJobName"]] > 6


def test_hyperband_knows_its_resource_or_is_refused(tuning):
    def refused(**config):
        return tuning.jobs.refused(
            "create_hyper_parameter_tuning_job", **tuning.request(strategy="Hyperband", **config)
        )

    assert "MaxResource is required" in refused()[1]
    auto = {"TrainingJobEarlyStoppingType": "Auto"}
    assert "must be Off for the Hyperband strategy" in refused(**auto, **hyperband(MaxResource=9))[1]
    assert "must not exceed MaxResource" in refused(**hyperband(MinResource=9, MaxResource=3))[1]
    made = tuning.request(**hyperband(MaxResource=9))
    assert "only supported for the Hyperband" in tuning.jobs.refused("create_hyper_parameter_tuning_job", **made)[1]
    assert early_stopping.resources({}, {"n_epochs": '"12"'}) == (1, 12)


@pytest.fixture(scope="module")
def parent(tuning):
    """A tuning job whose best is near 0.3."""
    return tuning.run(strategy="Random", most=6, parallel=2, RandomSeed=11)


def warm(parent, kind="IdenticalDataAndAlgorithm"):
    name = parent["HyperParameterTuningJobName"]
    return {"WarmStartType": kind, "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name}]}


def child_of(tuning, parent, kind, *args, **config):
    """A request like the parent's, with a warm start from it."""
    return tuning.request(*args, **config) | {"WarmStartConfig": warm(parent, kind)}


def as_parent(request, parent):
    """Its data and its script are the parent's, too."""
    request["TrainingJobDefinition"]["StaticHyperParameters"] = {
        name: text
        for name, text in parent["TrainingJobDefinition"]["StaticHyperParameters"].items()
        if name != "_tuning_objective_metric"
    }
    return request


def test_a_warm_start_on_identical_data_goes_on_and_knows_the_best_of_all(tuning, parent):
    request = as_parent(child_of(tuning, parent, "IdenticalDataAndAlgorithm", strategy="Bayesian", most=2), parent)
    tuning.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = tuning.wait(request["HyperParameterTuningJobName"])
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["WarmStartConfig"] == request["WarmStartConfig"]
    scores = {value(each): each["TrainingJobName"] for each in [*tuning.children(parent), *tuning.children(job)]}
    best = job["OverallBestTrainingJob"]
    assert best["TrainingJobName"] == scores[max(scores)]
    assert best["TuningJobName"] in (job["HyperParameterTuningJobName"], parent["HyperParameterTuningJobName"])
    assert value(job["BestTrainingJob"]) == max(value(each) for each in tuning.children(job))


def test_a_transfer_begins_with_the_best_of_its_parents(tuning, parent):
    request = child_of(tuning, parent, "TransferLearning", strategy="Bayesian", most=1, parallel=1)
    tuning.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = tuning.wait(request["HyperParameterTuningJobName"])
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert tuning.tried(job) == [parent["BestTrainingJob"]["TunedHyperParameters"]]
    assert "OverallBestTrainingJob" not in job


def test_a_warm_start_is_refused_where_aws_refuses_it(tuning, parent):
    def refused(change, kind="TransferLearning"):
        request = child_of(tuning, parent, kind)
        change(request)
        return tuning.jobs.refused("create_hyper_parameter_tuning_job", **request)

    def other_metric(request):
        config = request["HyperParameterTuningJobConfig"]
        config["HyperParameterTuningJobObjective"] = {"Type": "Minimize", "MetricName": "validation:score"}

    def one_more(request):
        request["TrainingJobDefinition"]["StaticHyperParameters"]["new"] = "1"

    def other_kind(request):
        integer = {"IntegerParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "9"}]}
        request["HyperParameterTuningJobConfig"]["ParameterRanges"] = integer

    def nobody(request):
        request["WarmStartConfig"]["ParentHyperParameterTuningJobs"][0]["HyperParameterTuningJobName"] = "nobody"

    def other_image(request):
        request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = IMAGE.replace("1.2-1", "1.4-2")

    assert "objective metric must be the same" in refused(other_metric)[1]
    assert "total number of static plus tunable hyperparameters must be the same" in refused(one_more)[1]
    assert "type of hyperparameters must not change" in refused(other_kind)[1]
    assert refused(nobody) == (
        "ResourceNotFound",
        "Amazon SageMaker can't find a tuning job called nobody. Type another name.",
    )
    assert "use TransferLearning" in refused(other_image, "IdenticalDataAndAlgorithm")[1]
    running = tuning.start("import time; time.sleep(30)", most=1, parallel=1)
    unfinished = tuning.request() | {"WarmStartConfig": warm({"HyperParameterTuningJobName": running})}
    assert "must have ended" in tuning.jobs.refused("create_hyper_parameter_tuning_job", **unfinished)[1]
    tuning.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=running)
    tuning.wait(running)


def test_what_was_found_outside_of_the_new_ranges_is_not_learned():
    ranges = [
        Range.parse(
            "continuous", {"Name": "x", "MinValue": "0", "MaxValue": "0.5", "ScalingType": "ReverseLogarithmic"}
        ),
        Range.parse("categorical", {"Name": "kind", "Values": ["a", "b"]}),
    ]
    sampler = Sampler(ranges, "Bayesian", maximize=True, seed=1, jobs=5)
    assert sampler.learn({"x": "0.25", "kind": "a"}, 1.0)
    assert not sampler.learn({"x": "0.75", "kind": "a"}, 1.0)
    assert not sampler.learn({"x": "0.25", "kind": "c"}, 1.0)
    assert not sampler.learn({"x": "0.25"}, 1.0)
    assert sampler.begin_with({"x": "0.125", "kind": "b"})
    assert sampler.ask()[1] == {"x": "0.125", "kind": "b"}


def test_a_search_that_does_not_improve_ends(tuning):
    script = "print('score=0.5')"
    patient = {"TuningJobCompletionCriteria": {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}}
    job = tuning.run(script, most=30, parallel=2, **patient)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert 4 <= len(tuning.children(job)) <= 6
    assert job["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] >= 3
    converging = {"TuningJobCompletionCriteria": {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}}
    job = tuning.run(script, most=30, parallel=2, **converging)
    assert job["TuningJobCompletionDetails"]["ConvergenceDetectedTime"] <= job["HyperParameterTuningEndTime"]
    assert 11 <= len(tuning.children(job)) <= 13


def test_an_improvement_counts_from_one_percent_on():
    objective = {"Type": "Maximize", "MetricName": "m"}
    job = {"HyperParameterTuningJobConfig": {"HyperParameterTuningJobObjective": objective}}

    def count(*values):
        seen = [
            {"ObjectiveStatus": "Succeeded", "FinalHyperParameterTuningJobObjectiveMetric": {"Value": each}}
            for each in values
        ]
        return trials.not_improving(job, [*seen, {"ObjectiveStatus": "Failed"}])

    assert (count(), count(1.0), count(1.0, 1.005), count(1.0, 1.02), count(1.0, 0.5, 1.02, 1.02)) == (0, 0, 1, 0, 1)


def test_the_time_limit_and_the_size_of_a_search(tuning):
    request = tuning.request()
    limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"] | {"MaxRuntimeInSeconds": 120}
    request["HyperParameterTuningJobConfig"]["ResourceLimits"] = limits
    run = TuningRun(SimpleNamespace(), request, SimpleNamespace())  # type: ignore[arg-type]
    assert not run._is_enough([])
    run._begun -= 121
    assert run._is_enough([])
    request["HyperParameterTuningJobConfig"]["ResourceLimits"] = limits | {"MaxParallelTrainingJobs": 101}
    assert tuning.jobs.refused("create_hyper_parameter_tuning_job", **request)[0] == "ResourceLimitExceeded"
