"""Hyperparameter tuning jobs. The jobs themselves run in `executors.tuning`, their children are training jobs."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import early_stopping, search_space, trials, tuning
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE
from mlplat.localcloud.executors.search_space import Range, RangeError
from mlplat.localcloud.sagemaker import instances
from mlplat.localcloud.sagemaker.errors import in_use, invalid, limit_exceeded, not_found
from mlplat.localcloud.sagemaker.job_lists import Members, page
from mlplat.localcloud.sagemaker.training_jobs import MEMBERS as CHILD_MEMBERS
from mlplat.localcloud.sagemaker.training_jobs import TrainingJobs, check_name, check_request
from mlplat.localcloud.sagemaker.warm_starts import best_of_parents, check_warm_start

MEMBERS = Members(name="HyperParameterTuningJobName", status="HyperParameterTuningJobStatus")

FINISHED = frozenset({"Completed", "Failed", "Stopped"})

ABSENT = {
    "Autotune": "Autotune",
    "TrainingJobDefinitions": "several training job definitions in one tuning job",
}
"""Members of the request that the local cloud can't honour, and so refuses."""

MOST_HYPERPARAMETERS, MOST_VALUES, LONGEST_NAME = 30, 30, 32
MOST_PARALLEL, MOST_JOBS, MOST_JOBS_RANDOM, MOST_RESOURCES = 100, 750, 10_000, 20_000
"""Source: automatic model tuning's limits."""


class TuningJobs:
    """The operations on hyperparameter tuning jobs of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._jobs = cloud.store("tuning_jobs")
        self._children = TrainingJobs(cloud)

    def create_hyper_parameter_tuning_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Check the request and that of its children as AWS does, and start the search."""
        name = request["HyperParameterTuningJobName"]
        self._refuse_duplicate(name)
        check_tuning(request)
        with self._cloud.lock:
            check_warm_start(self._cloud, request)
            job = self._record(request)
        check_request(self._cloud, tuning.child_request(job, name, {}))
        self._check_instances(job)
        with self._cloud.lock:
            self._refuse_duplicate(name)
            self._jobs[name] = job
            self._cloud.tag(job["HyperParameterTuningJobArn"], request.get("Tags"))
            tuning.TuningRun(self._cloud, job, self._children).start()
        return {"HyperParameterTuningJobArn": job["HyperParameterTuningJobArn"]}

    def _check_instances(self, job: dict[str, Any]) -> None:
        """Its training jobs that run at once must fit into the quota together."""
        usage, one = instances.of_training(tuning.child_request(job, job["HyperParameterTuningJobName"], {}))
        at_once = job["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"]
        instances.check(self._cloud, usage, [(kind, count * at_once) for kind, count in one])

    def describe_hyper_parameter_tuning_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """All that is known of a tuning job, with its best training job so far."""
        with self._cloud.lock:
            job = self._find(request)
            seen = trials.trials(self._cloud, job)
            details = {
                "NumberOfTrainingJobsObjectiveNotImproving": trials.not_improving(job, seen),
                "ConvergenceDetectedTime": job.get("ConvergenceDetectedTime"),
            }
            until = job.get("HyperParameterTuningEndTime", self._cloud.now())
            return {
                **copy.deepcopy(job),
                **trials.counters(seen),
                "BestTrainingJob": trials.best(job, seen),
                "OverallBestTrainingJob": self._overall_best(job, seen),
                "TuningJobCompletionDetails": details,
                "ConsumedResources": {"RuntimeInSeconds": int((until - job["CreationTime"]).total_seconds())},
            }

    def list_hyper_parameter_tuning_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Summaries, filtered and in order."""
        with self._cloud.lock:
            jobs, token = page(self._jobs.values(), request, MEMBERS, sort_by="Name")
            return {"HyperParameterTuningJobSummaries": [self._summary(job) for job in jobs], "NextToken": token}

    def list_training_jobs_for_hyper_parameter_tuning_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """The children; in the order of the objective metric, only those that have one."""
        with self._cloud.lock:
            seen = trials.trials(self._cloud, self._find(request))
        if request.get("SortBy") == "FinalObjectiveMetricValue":
            seen = [each for each in seen if trials.value_of(each) is not None]
        jobs, token = page(seen, request, CHILD_MEMBERS, sort_by="Name")
        return {"TrainingJobSummaries": jobs, "NextToken": token}

    def stop_hyper_parameter_tuning_job(self, request: dict[str, Any]) -> None:
        """Ask a tuning job and its children to end; what has ended already is left as it is."""
        with self._cloud.lock:
            job = self._find(request)
            run = tuning.running(self._cloud).get(job["HyperParameterTuningJobName"])
            stoppable = run is not None and job["HyperParameterTuningJobStatus"] == "InProgress"
        if run is not None and stoppable:
            run.stop()

    def delete_hyper_parameter_tuning_job(self, request: dict[str, Any]) -> None:
        """Forget a tuning job that has ended; its training jobs stay."""
        with self._cloud.lock:
            job = self._find(request)
            status = job["HyperParameterTuningJobStatus"]
            if status not in FINISHED:
                name = job["HyperParameterTuningJobName"]
                raise invalid(f"The hyperparameter tuning job {name} can't be deleted in status {status}.")
            del self._jobs[job["HyperParameterTuningJobName"]]
            self._cloud.tags.pop(job["HyperParameterTuningJobArn"], None)

    def resume(self) -> None:
        """After a restart: jobs that were running have failed, and so have their children."""
        self._children.resume()
        with self._cloud.lock:
            for job in self._jobs.values():
                if job["HyperParameterTuningJobStatus"] not in FINISHED:
                    tuning.finish(self._cloud, job, "Failed", ENDED_MEANWHILE)

    def _overall_best(self, job: Mapping[str, Any], seen: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The best training job of a warm start and its parents."""
        if "ParentBest" not in job:
            return None
        mine = [{**each, "TuningJobName": job["HyperParameterTuningJobName"]} for each in seen]
        return trials.best(job, [job["ParentBest"], *mine])

    def _find(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request["HyperParameterTuningJobName"]
        if name not in self._jobs:
            raise not_found(f"Amazon SageMaker can't find a tuning job called {name}. Type another name.")
        found: dict[str, Any] = self._jobs[name]
        return found

    def _refuse_duplicate(self, name: str) -> None:
        if name in self._jobs:
            raise in_use(f"A hyperparameter tuning job with the name, {name}, already exists. Choose a different name.")

    def _record(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A new job, in the shape of DescribeHyperParameterTuningJob; `Trials` is ours."""
        now, name = self._cloud.now(), request["HyperParameterTuningJobName"]
        given = copy.deepcopy({key: value for key, value in request.items() if key != "Tags"})
        config, definition = given["HyperParameterTuningJobConfig"], given["TrainingJobDefinition"]
        config.setdefault("TrainingJobEarlyStoppingType", "Off")
        objective = config["HyperParameterTuningJobObjective"]["MetricName"]
        definition.setdefault("StaticHyperParameters", {})[tuning.OBJECTIVE_PARAMETER] = objective
        return given | {
            "HyperParameterTuningJobArn": self._cloud.arn(f"hyper-parameter-tuning-job/{name}"),
            "HyperParameterTuningJobStatus": "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
            "Trials": [],
            **({"ParentBest": top} if (top := best_of_parents(self._cloud, request)) else {}),
        }

    def _summary(self, job: Mapping[str, Any]) -> dict[str, Any]:
        config = job["HyperParameterTuningJobConfig"]
        own = {"Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}
        return {**job, **own, **trials.counters(trials.trials(self._cloud, job))}


def check_tuning(request: Mapping[str, Any]) -> None:
    """Refuse what AWS refuses of the search itself, and honestly what the local cloud can't do."""
    for member, what in ABSENT.items():
        if request.get(member):
            raise invalid(f"The local cloud does not implement {what}.")
    if "TrainingJobDefinition" not in request:
        raise invalid("A TrainingJobDefinition is required.")
    check_name("hyperParameterTuningJobName", request["HyperParameterTuningJobName"], LONGEST_NAME)
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    _check_strategy(config, definition)
    _check_limits(config)
    _check_objective(config, definition)
    _check_ranges(config, definition)


def _check_strategy(config: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    """Hyperband stops jobs itself, and must know of how much. Source: API reference of HyperbandStrategyConfig."""
    if config["Strategy"] != "Hyperband":
        if "StrategyConfig" in config:
            raise invalid("HyperbandStrategyConfig is only supported for the Hyperband strategy.")
        return
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise invalid("TrainingJobEarlyStoppingType must be Off for the Hyperband strategy.")
    try:
        least, most = early_stopping.resources(config, definition.get("StaticHyperParameters", {}))
    except ValueError as error:
        raise invalid("MaxResource is required for the Hyperband strategy, and can't be inferred.") from error
    if not 0 < least <= most <= MOST_RESOURCES:
        raise invalid(f"MinResource must not exceed MaxResource, and MaxResource not {MOST_RESOURCES}.")


def _check_limits(config: Mapping[str, Any]) -> None:
    """Source: automatic model tuning's limits."""
    limits, random = config["ResourceLimits"], config["Strategy"] == "Random"
    parallel, most = limits["MaxParallelTrainingJobs"], MOST_JOBS_RANDOM if random else MOST_JOBS
    if parallel > MOST_PARALLEL or limits.get("MaxNumberOfTrainingJobs", 0) > most:
        raise limit_exceeded(f"A tuning job has at most {most} training jobs, {MOST_PARALLEL} of them at once.")


def _check_objective(config: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    if "HyperParameterTuningJobObjective" not in config:
        raise invalid("A HyperParameterTuningJobObjective is required.")
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    defined = definition["AlgorithmSpecification"].get("MetricDefinitions", ())
    if metric not in [each["Name"] for each in defined]:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            "definitions."
        )


def _check_ranges(config: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    try:
        ranges = search_space.parse(config.get("ParameterRanges", {}))
    except RangeError as error:
        raise invalid(f"Invalid hyperparameter range: {error}.") from error
    if not 0 < len(ranges) <= MOST_HYPERPARAMETERS or any(len(each.values) > MOST_VALUES for each in ranges):
        raise invalid(
            f"A tuning job searches 1 to {MOST_HYPERPARAMETERS} hyperparameters, with at most {MOST_VALUES} values for "
            "each categorical one."
        )
    static = definition.get("StaticHyperParameters", {})
    if both := sorted(each.name for each in ranges if each.name in static):
        raise invalid(f"Hyperparameters can't be both static and tunable: {', '.join(both)}.")
    _check_number(config, ranges)


def _check_number(config: Mapping[str, Any], ranges: list[Range]) -> None:
    combinations = math.prod(each.count for each in ranges)
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if config["Strategy"] == "Grid":
        if any(each.kind != "categorical" for each in ranges):
            raise invalid("Grid search takes categorical parameter ranges only.")
        if most not in (None, int(combinations)):
            raise invalid(f"Grid search tries all {int(combinations)} combinations: leave MaxNumberOfTrainingJobs out.")
    elif most is None:
        raise invalid("ResourceLimits must have a MaxNumberOfTrainingJobs.")
    elif combinations < most:
        raise invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{combinations:.1f}] must be equal or greater than the value of "
            f"MaxNumberOfJobs, [{most}]. Provide additional ranges."
        )
