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
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors import early_stopping, search_space, warm_start
from mlplat.localcloud.executors.early_stopping import Judge
from mlplat.localcloud.executors.progress import FINISHED
from mlplat.localcloud.executors.trials import best, maximizes, not_improving, trials, value_of

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

CONVERGED = 10
"""Training jobs without an improvement after which the search has converged; AWS doesn't say when it has."""

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
        self._curves: dict[str, list[float]] = {}
        """Every value of the objective metric that a child has printed, by job name."""
        self._judged: dict[str, int] = {}
        """How many of them were judged."""
        self._hopeless: set[str] = set()
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
        limits, jobs = self._config["ResourceLimits"], most_jobs(self._config)
        sampler = self._sampler(jobs)
        warm_start.teach(sampler, self._cloud, self._job, jobs)
        judge = self._judge()
        while True:
            with self._changed:
                self._collect(sampler)
                if end := self._end(jobs):
                    return end
                hopeless = self._newly_hopeless(judge)
                room = min(limits["MaxParallelTrainingJobs"] - len(self._asked), jobs - len(self._job["Trials"]))
                if room <= 0 and not hopeless:
                    self._changed.wait(timeout=1.0)
                    continue
            for name in hopeless:
                self._stop_child(name)
            if room > 0:
                self._launch(sampler)

    def _sampler(self, jobs: int) -> search_space.Sampler:
        return search_space.Sampler(
            search_space.parse(self._config.get("ParameterRanges", {})),
            self._config["Strategy"],
            maximize=maximizes(self._job),
            seed=self._config.get("RandomSeed"),
            jobs=jobs,
            resources=self._resources(),
        )

    def _resources(self) -> tuple[int, int]:
        if self._config["Strategy"] != "Hyperband":
            return 1, 1
        static = self._job["TrainingJobDefinition"].get("StaticHyperParameters", {})
        return early_stopping.resources(self._config, static)

    def _judge(self) -> Judge:
        if self._config["Strategy"] == "Hyperband":
            return early_stopping.Hyperband(self._resources()[1])
        if self._config.get("TrainingJobEarlyStoppingType") == "Auto":
            return early_stopping.MedianRule(maximize=maximizes(self._job))
        return early_stopping.Off()

    def _collect(self, sampler: search_space.Sampler) -> None:
        """Tell the sampler of the children that have ended, in the order in which they were launched."""
        for number, trial in enumerate(trials(self._cloud, self._job)):
            name = trial["TrainingJobName"]
            if name in self._asked and trial["TrainingJobStatus"] in FINISHED:
                self._job["Trials"][number] = trial  # kept, should somebody delete the training job
                sampler.tell(self._asked.pop(name), value_of(trial), pruned=name in self._hopeless)

    def _measured(self, child: str, metric: str, value: float) -> None:
        """A child has printed a value."""
        if metric == self._config["HyperParameterTuningJobObjective"]["MetricName"]:
            with self._changed:
                self._curves.setdefault(child, []).append(value)
                self._changed.notify_all()

    def _newly_hopeless(self, judge: Judge) -> list[str]:
        """The running children that are not worth going on with, by what they have printed since the last look."""
        earlier = [curve for name, curve in self._curves.items() if name not in self._asked]
        found = []
        for name, asked in self._asked.items():
            curve = self._curves.get(name, [])
            for length in range(self._judged.get(name, 0) + 1, len(curve) + 1):
                self._judged[name] = length
                if name not in self._hopeless and judge.is_hopeless(asked, curve[:length], earlier):
                    self._hopeless.add(name)
                    found.append(name)
        return found

    def _stop_child(self, name: str) -> None:
        try:
            self._children.stop_training_job({"TrainingJobName": name})
        except AwsError:
            log.debug("%s has ended by itself", name)

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
        target, top = criteria.get("TargetObjectiveMetricValue"), best(self._job, ended)
        if target is not None and top is not None:
            sign = 1 if maximizes(self._job) else -1
            if sign * (value_of(top) or 0.0) >= sign * target:
                return True
        since = not_improving(self._job, ended)
        most = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        if criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled" and since >= CONVERGED:
            with self._cloud.lock:
                self._job["ConvergenceDetectedTime"] = self._cloud.now()
            return True
        return most is not None and since >= most

    def _launch(self, sampler: search_space.Sampler) -> None:
        asked, tuned = sampler.ask()
        number = len(self._job["Trials"]) + 1
        name = f"{self._job['HyperParameterTuningJobName']}-{number:03d}-{uuid.uuid4().hex[:8]}"
        self._asked[name] = asked
        arn = self._job["HyperParameterTuningJobArn"]
        request = child_request(self._job, name, tuned)
        request["Tags"] = [{"Key": key, "Value": value} for key, value in self._cloud.tags.get(arn, {}).items()]
        measured = partial(self._measured, name)
        self._children.start(request, tuning_arn=arn, finished=self._wake, measured=measured)
        with self._cloud.lock:
            self._job["Trials"].append({"TrainingJobName": name, "TunedHyperParameters": tuned})
            self._job["LastModifiedTime"] = self._cloud.now()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _end_children(self) -> None:
        """Stop what still runs, and wait until it has ended."""
        for name in list(self._asked):
            self._stop_child(name)
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


def _why(ended: list[dict[str, Any]], over: bool) -> str:
    if any(each["TrainingJobStatus"] == "Completed" for each in ended):
        return NO_METRIC.format(len(ended))
    return ALL_FAILED if over and len(ended) < ATTEMPTS else NO_SUCCESS.format(len(ended))
