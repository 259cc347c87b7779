"""One tuning job, really run: asks the sampler for hyperparameters and lets ordinary training jobs try them.

A thread per job, woken whenever a child ends. What is known of the trials is derived from the children's own
records, and kept with the tuning job once they have ended.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors import search_space
from mlplat.localcloud.executors.progress import FINISHED

if TYPE_CHECKING:
    from mlplat.localcloud.sagemaker.training_jobs import TrainingJobs

log = logging.getLogger(__name__)

OBJECTIVE_PARAMETER = "_tuning_objective_metric"
"""The hyperparameter that tells a child which metric counts."""

ATTEMPTS = 5
"""After so many training jobs without a success, or without the metric, AWS gives a tuning job up."""

NO_SUCCESS = (
    "No training job succeeded after {} attempts. Please take a look at the training job failures to get more details."
)
ALL_FAILED = "All training jobs failed. Please take a look at the training job failures to get more details."
NO_METRIC = (
    "No objective metrics found after running {} training jobs. Please ensure that the custom algorithm is emitting "
    "the objective metric as defined by the regular expression provided."
)

_RUNNING: weakref.WeakKeyDictionary[Cloud, dict[str, TuningRun]] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def running(cloud: Cloud) -> dict[str, TuningRun]:
    """The tuning jobs of a region that run now, by name."""
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(cloud, {})


class TuningRun:
    """The execution of one tuning job. `job` is its record in the store, whose `Trials` it appends to."""

    def __init__(self, cloud: Cloud, job: dict[str, Any], children: TrainingJobs) -> None:
        self._cloud, self._job, self._children = cloud, job, children
        self._config = job["HyperParameterTuningJobConfig"]
        self._changed = threading.Condition()
        self._stopping = False
        self._asked: dict[str, Any] = {}
        """Optuna's trials of the children that run, by job name."""
        self._begun = time.monotonic()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        name = self._job["HyperParameterTuningJobName"]
        running(self._cloud)[name] = self
        threading.Thread(target=self._run, name=f"tuning {name}", daemon=True).start()

    def stop(self) -> None:
        """Ask for the end; the children are stopped too. Returns at once."""
        with self._cloud.lock:
            self._job |= {"HyperParameterTuningJobStatus": "Stopping", "LastModifiedTime": self._cloud.now()}
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        status, reason = "Failed", None
        try:
            status, reason = self._search()
        except AwsError as error:
            reason = f"ClientError: {error.message}"
        except Exception as error:
            log.exception("tuning job %s", self._job["HyperParameterTuningJobName"])
            reason = f"InternalServerError: the local cloud could not run the job: {error!r}"
        finally:
            self._end_children()
            self._finish(status, reason)

    def _search(self) -> tuple[str, str | None]:
        """Launch and collect until there is an end; (status, reason)."""
        limits, objective = self._config["ResourceLimits"], self._config["HyperParameterTuningJobObjective"]
        jobs = most_jobs(self._config)
        sampler = search_space.Sampler(
            search_space.parse(self._config.get("ParameterRanges", {})),
            self._config["Strategy"],
            maximize=objective["Type"] == "Maximize",
            seed=self._config.get("RandomSeed"),
            jobs=jobs,
        )
        while True:
            with self._changed:
                self._collect(sampler)
                if end := self._end(jobs):
                    return end
                room = min(limits["MaxParallelTrainingJobs"] - len(self._asked), jobs - len(self._job["Trials"]))
                if room <= 0:
                    self._changed.wait(timeout=1.0)
                    continue
            self._launch(sampler)

    def _collect(self, sampler: search_space.Sampler) -> None:
        """Tell the sampler of the children that have ended, in the order in which they were launched."""
        for number, trial in enumerate(trials(self._cloud, self._job)):
            name = trial["TrainingJobName"]
            if name in self._asked and trial["TrainingJobStatus"] in FINISHED:
                self._job["Trials"][number] = trial  # kept, should somebody delete the training job
                sampler.tell(self._asked.pop(name), value_of(trial))

    def _end(self, jobs: int) -> tuple[str, str | None] | None:
        """Whether it is over, and how."""
        if self._stopping:
            return "Stopped", None
        seen = trials(self._cloud, self._job)
        ended = [each for each in seen if each["TrainingJobStatus"] in FINISHED]
        over = len(ended) == len(seen) == jobs
        if (over or len(ended) >= ATTEMPTS) and not any(value_of(each) is not None for each in ended):
            return "Failed", _why(ended, over)
        if over or self._is_enough(ended):
            return "Completed", None
        return None

    def _is_enough(self, ended: list[dict[str, Any]]) -> bool:
        """Whether a completion criterion or MaxRuntimeInSeconds ends the search early."""
        longest = self._config["ResourceLimits"].get("MaxRuntimeInSeconds")
        if longest is not None and time.monotonic() - self._begun > longest:
            return True
        criteria = self._config.get("TuningJobCompletionCriteria", {})
        target, patience = criteria.get("TargetObjectiveMetricValue"), criteria.get("BestObjectiveNotImproving", {})
        top = best(self._job, ended)
        if target is not None and top is not None:
            sign = 1 if self._config["HyperParameterTuningJobObjective"]["Type"] == "Maximize" else -1
            if sign * (value_of(top) or 0.0) >= sign * target:
                return True
        most = patience.get("MaxNumberOfTrainingJobsNotImproving")
        return most is not None and not_improving(self._job, ended) >= most

    def _launch(self, sampler: search_space.Sampler) -> None:
        asked, tuned = sampler.ask()
        number = len(self._job["Trials"]) + 1
        name = f"{self._job['HyperParameterTuningJobName']}-{number:03d}-{uuid.uuid4().hex[:8]}"
        self._asked[name] = asked
        arn = self._job["HyperParameterTuningJobArn"]
        request = child_request(self._job, name, tuned)
        request["Tags"] = [{"Key": key, "Value": value} for key, value in self._cloud.tags.get(arn, {}).items()]
        self._children.start(request, tuning_arn=arn, finished=self._wake)
        with self._cloud.lock:
            self._job["Trials"].append({"TrainingJobName": name, "TunedHyperParameters": tuned})
            self._job["LastModifiedTime"] = self._cloud.now()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _end_children(self) -> None:
        """Stop what still runs, and wait until it has ended."""
        for name in list(self._asked):
            try:
                self._children.stop_training_job({"TrainingJobName": name})
            except AwsError:
                continue  # it has ended by itself
        with self._changed:
            while any(each["TrainingJobStatus"] not in FINISHED for each in trials(self._cloud, self._job)):
                self._changed.wait(timeout=1.0)

    def _finish(self, status: str, reason: str | None) -> None:
        with self._cloud.lock:
            finish(self._cloud, self._job, status, reason)
            running(self._cloud).pop(self._job["HyperParameterTuningJobName"], None)


def finish(cloud: Cloud, job: dict[str, Any], status: str, reason: str | None) -> None:
    """The end of a tuning job; what is known of its children is kept with it. Call it with the cloud's lock held."""
    now = cloud.now()
    job["Trials"] = trials(cloud, job)
    job |= {"HyperParameterTuningJobStatus": status, "HyperParameterTuningEndTime": now, "LastModifiedTime": now}
    if reason:
        job["FailureReason"] = reason


def most_jobs(config: Mapping[str, Any]) -> int:
    """How many training jobs may be launched; a grid that says nothing means every combination."""
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if most is None:
        combinations = 1.0
        for each in search_space.parse(config.get("ParameterRanges", {})):
            combinations *= each.count
        return int(combinations)
    return int(most)


def child_request(job: Mapping[str, Any], name: str, tuned: Mapping[str, str]) -> dict[str, Any]:
    """The CreateTrainingJob request of a child."""
    definition = copy.deepcopy(job["TrainingJobDefinition"])
    static = definition.pop("StaticHyperParameters", {})
    machines = definition.pop("HyperParameterTuningResourceConfig", None)
    for own in ("DefinitionName", "TuningObjective", "HyperParameterRanges"):
        definition.pop(own, None)
    request: dict[str, Any] = definition | {"TrainingJobName": name, "HyperParameters": static | dict(tuned)}
    if machines:
        first = machines.get("InstanceConfigs", [machines])[0]
        request["ResourceConfig"] = {k: v for k, v in first.items() if k.startswith(("Instance", "Volume"))}
    if "CheckpointConfig" in request:  # children must not share their checkpoints
        request["CheckpointConfig"]["S3Uri"] = f"{request['CheckpointConfig']['S3Uri'].rstrip('/')}/{name}"
    return request


def trials(cloud: Cloud, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """HyperParameterTrainingJobSummary of each child, in the order of their launch."""
    with cloud.lock:
        children = cloud.store("training_jobs")
        return [_summary(job, each, children.get(each["TrainingJobName"])) for each in job["Trials"]]


def _summary(job: Mapping[str, Any], trial: Mapping[str, Any], child: Mapping[str, Any] | None) -> dict[str, Any]:
    """A trial with what its training job says; what it said last, when somebody has deleted the job."""
    if child is None or child.get("TuningJobArn") != job["HyperParameterTuningJobArn"]:
        return {"TrainingJobStatus": "Stopped", "ObjectiveStatus": "Failed", **trial}
    names = (
        "TrainingJobArn",
        "CreationTime",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingJobStatus",
        "FailureReason",
    )
    summary = {**trial, **{name: child[name] for name in names if name in child}}
    objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    found = {each["MetricName"]: each["Value"] for each in child.get("FinalMetricDataList", ())}
    ended = child["TrainingJobStatus"] in FINISHED
    if ended and objective in found:
        metric = {"MetricName": objective, "Value": found[objective]}
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = metric
    good = objective in found and child["TrainingJobStatus"] != "Failed"
    summary["ObjectiveStatus"] = "Pending" if not ended else "Succeeded" if good else "Failed"
    return summary


def value_of(trial: Mapping[str, Any]) -> float | None:
    """The objective metric of a trial that counts; None while it runs and when it failed."""
    if trial.get("ObjectiveStatus") != "Succeeded":
        return None
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def best(job: Mapping[str, Any], seen: list[dict[str, Any]]) -> dict[str, Any] | None:
    """BestTrainingJob."""
    scored = [(value, each) for each in seen if (value := value_of(each)) is not None]
    if not scored:
        return None
    maximize = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    return (max if maximize else min)(scored, key=lambda pair: pair[0])[1]


def not_improving(job: Mapping[str, Any], seen: list[dict[str, Any]]) -> int:
    """How many training jobs with a metric came after the best one."""
    scored = [each for each in seen if value_of(each) is not None]
    top = best(job, scored)
    return len(scored) - 1 - scored.index(top) if top else 0


def counters(seen: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """TrainingJobStatusCounters and ObjectiveStatusCounters."""
    status = Counter(each["TrainingJobStatus"] for each in seen)
    objective = Counter(each.get("ObjectiveStatus", "Pending") for each in seen)
    return {
        "TrainingJobStatusCounters": {
            "Completed": status["Completed"],
            "InProgress": status["InProgress"] + status["Stopping"],
            "RetryableError": 0,
            "NonRetryableError": status["Failed"],
            "Stopped": status["Stopped"],
        },
        "ObjectiveStatusCounters": {name: objective[name] for name in ("Succeeded", "Pending", "Failed")},
    }


def _why(ended: list[dict[str, Any]], over: bool) -> str:
    if any(each["TrainingJobStatus"] == "Completed" for each in ended):
        return NO_METRIC.format(len(ended))
    return ALL_FAILED if over and len(ended) < ATTEMPTS else NO_SUCCESS.format(len(ended))
