"""Tuning jobs really run, through plain boto3: their children are ordinary training jobs."""

import re

import pytest
from tests.localcloud.jobs import IMAGE, Jobs, channel, until
from tests.localcloud.searches import Tuning, value


@pytest.fixture(scope="module")
def jobs(cloud):
    """A bucket, a role, and the calls around training jobs."""
    return Jobs(cloud)


@pytest.fixture(scope="module")
def tuning(jobs):
    return Tuning(jobs)


@pytest.fixture(scope="module")
def found(tuning):
    """A tuning job that has ended, with tags."""
    request = tuning.request(strategy="Bayesian", RandomSeed=1) | {"Tags": [{"Key": "team", "Value": "churn"}]}
    tuning.sagemaker.create_hyper_parameter_tuning_job(**request)
    return tuning.wait(request["HyperParameterTuningJobName"])


def test_four_trials_two_at_once_find_the_better_region(found, tuning):
    assert found["HyperParameterTuningJobStatus"] == "Completed", found.get("FailureReason")
    children = tuning.children(found)
    assert len(children) == 4
    best = found["BestTrainingJob"]
    assert value(best) == max(value(each) for each in children)
    errors = {each["TrainingJobName"]: abs(float(each["TunedHyperParameters"]["x"]) - 0.3) for each in children}
    assert errors[best["TrainingJobName"]] == min(errors.values())
    assert errors[best["TrainingJobName"]] < 0.25
    begun = sorted((each["TrainingStartTime"], each["TrainingEndTime"]) for each in children)
    assert begun[1][0] < begun[0][1]  # the second began before the first had ended
    assert all(sum(a <= at < b for a, b in begun) <= 2 for at, _ in begun)


def test_it_counts_its_children(found):
    assert found["TrainingJobStatusCounters"] == {
        "Completed": 4, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0,
    }  # fmt: skip
    assert found["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    assert found["HyperParameterTuningEndTime"] >= found["CreationTime"]
    assert "FailureReason" not in found


def test_children_are_ordinary_training_jobs(found, tuning, jobs):
    name = found["HyperParameterTuningJobName"]
    for number, summary in enumerate(tuning.children(found), 1):
        assert re.fullmatch(rf"{name}-{number:03d}-[0-9a-f]{{8}}", summary["TrainingJobName"])
        job = jobs.describe(summary["TrainingJobName"])
        assert job["TuningJobArn"] == found["HyperParameterTuningJobArn"]
        assert job["HyperParameters"]["x"] == summary["TunedHyperParameters"]["x"]
        assert job["HyperParameters"]["fixed"] == "1"
        assert job["HyperParameters"]["_tuning_objective_metric"] == "validation:score"
        assert jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])["x"].decode() == job["HyperParameters"]["x"]
        tags = jobs.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
        assert tags == [{"Key": "team", "Value": "churn"}]


def test_children_are_listed_by_their_metric(found, tuning):
    order = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    values = [value(each) for each in tuning.children(found, **order)]
    assert values == sorted(values, reverse=True)
    assert tuning.children(found, **order)[0]["TrainingJobName"] == found["BestTrainingJob"]["TrainingJobName"]
    assert tuning.children(found, StatusEquals="Failed") == []


def test_equal_seeds_try_equal_parameters(tuning):
    first, again, other = (tuning.run(most=3, RandomSeed=seed) for seed in (5, 5, 6))
    assert tuning.tried(first) == tuning.tried(again) != tuning.tried(other)


def test_a_grid_tries_every_combination(tuning):
    ranges = {
        "CategoricalParameterRanges": [{"Name": "x", "Values": ["0.1", "0.3"]}, {"Name": "kind", "Values": ["a"]}]
    }
    job = tuning.run(strategy="Grid", most=None, ranges=ranges)
    assert sorted(each["x"] for each in tuning.tried(job)) == ["0.1", "0.3"]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "0.3", "kind": "a"}


def test_some_failed_children_do_not_matter(tuning):
    script = "import sys\nx = float(sys.argv[sys.argv.index('-x') + 1])\nassert x < 0.5\nprint(f'score={x}')"
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["0.1", "0.2", "0.9"]}]}
    job = tuning.run(script, strategy="Grid", most=None, ranges=ranges)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 1}
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "0.2"}
    (failed,) = tuning.children(job, StatusEquals="Failed")
    assert failed["ObjectiveStatus"] == "Failed"
    assert failed["FailureReason"].startswith("AlgorithmError: ")


def test_when_all_children_fail_it_fails(tuning):
    job = tuning.run("raise SystemExit(1)", most=2)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("All training jobs failed.")
    assert "BestTrainingJob" not in job
    job = tuning.run("raise SystemExit(1)", most=50)
    assert job["FailureReason"].startswith("No training job succeeded after ")
    assert 5 <= len(tuning.children(job)) <= 8


def test_a_metric_that_never_comes_fails_it(tuning):
    job = tuning.run("print('accuracy is fine')", most=2)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No objective metrics found after running 2 training jobs.")
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 2}
    assert [each["TrainingJobStatus"] for each in tuning.children(job)] == ["Completed", "Completed"]


def test_stop_stops_the_children(tuning, jobs):
    name = tuning.start("import time; print('score=0.5', flush=True); time.sleep(60)", most=8)
    until(
        lambda: [each["TrainingJobName"] for each in tuning.children({"HyperParameterTuningJobName": name})],
        lambda names: len(names) == 2 and all("score=0.5" in jobs.log(each) for each in names),
    )
    assert tuning.describe(name)["ObjectiveStatusCounters"]["Pending"] == 2
    refused = jobs.refused("delete_hyper_parameter_tuning_job", HyperParameterTuningJobName=name)
    assert refused[0] == "ValidationException"
    tuning.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = tuning.wait(name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    assert {each["TrainingJobStatus"] for each in tuning.children(job)} == {"Stopped"}


def test_a_target_ends_the_search(tuning):
    criteria = {"TargetObjectiveMetricValue": 0.1}
    job = tuning.run(most=20, parallel=1, TuningJobCompletionCriteria=criteria)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert len(tuning.children(job)) == 1


def test_jobs_are_listed_and_deleted_and_their_children_stay(tuning, jobs):
    job = tuning.run(most=1, parallel=1)
    name = job["HyperParameterTuningJobName"]
    (summary,) = jobs.sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name)["HyperParameterTuningJobSummaries"]
    assert summary["Strategy"] == "Random"
    assert summary["TrainingJobStatusCounters"]["Completed"] == 1
    (child,) = tuning.children(job)
    jobs.sagemaker.delete_training_job(TrainingJobName=child["TrainingJobName"])
    assert tuning.children(job) == [child]  # the tuning job remembers
    jobs.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert jobs.refused("describe_hyper_parameter_tuning_job", HyperParameterTuningJobName=name) == (
        "ResourceNotFound",
        f"Amazon SageMaker can't find a tuning job called {name}. Type another name.",
    )


def test_what_is_refused(tuning, jobs, found):
    def refused(change=None, **request):
        made = tuning.request(**request)
        if change:
            change(made)
        return jobs.refused("create_hyper_parameter_tuning_job", **made)

    name = found["HyperParameterTuningJobName"]
    assert refused(lambda made: made.update(HyperParameterTuningJobName=name)) == (
        "ResourceInUse",
        f"A hyperparameter tuning job with the name, {name}, already exists. Choose a different name.",
    )
    code, message = refused(
        lambda made: made["TrainingJobDefinition"].update(
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"}
        )
    )
    assert (code, message.partition(".")[0]) == (
        "ValidationException",
        "A metric is required for this hyperparameter tuning job objective",
    )
    few = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3"]}]}
    message = refused(most=10, ranges=few)[1]
    assert "provided ranges [3.0] must be equal or greater than the value of MaxNumberOfJobs, [10]" in message
    assert (
        "MinValue" in refused(ranges={"IntegerParameterRanges": [{"Name": "x", "MinValue": "3", "MaxValue": "1"}]})[1]
    )
    assert "both static and tunable: fixed" in refused(
        ranges={"IntegerParameterRanges": [{"Name": "fixed", "MinValue": "1", "MaxValue": "9"}]}
    )[1]  # fmt: skip
    missing = [channel("train", f"s3://{jobs.bucket}/no-such-data/")]
    assert "No S3 objects found" in refused(
        lambda made: made["TrainingJobDefinition"].update(InputDataConfig=missing)
    )[1]  # fmt: skip
