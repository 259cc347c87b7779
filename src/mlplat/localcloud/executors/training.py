"""One training job, really run: data down, the container's program as a child process, artifacts up.

A thread per job. It moves the job's record through Starting, Downloading, Training, Uploading to its end; the log,
the metrics and the artifacts go to the local cloud's own services, as SageMaker's go to AWS's.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import drivers, images, training_config
from mlplat.localcloud.executors.cluster import GRACE, Cluster, End, Host
from mlplat.localcloud.executors.metrics import JobMetrics
from mlplat.localcloud.executors.mirror import Copying
from mlplat.localcloud.executors.progress import JobFailed, Progress, algorithm_error
from mlplat.localcloud.executors.s3_data import DataError
from mlplat.localcloud.executors.training_data import TrainingData
from mlplat.localcloud.executors.workspace import OPT_ML

log = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
TOOLKIT = Path(__file__).with_name("toolkit.py")
DAY = 86_400
"""MaxRuntimeInSeconds when the request has none."""

_RUNNING: weakref.WeakKeyDictionary[Cloud, dict[str, TrainingRun]] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def running(cloud: Cloud) -> dict[str, TrainingRun]:
    """The jobs of a region that run now, by name."""
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(cloud, {})


class NotInterruptible(Exception):
    """The job has no spot instances that could be taken away now; the message says why."""


def interrupt(cloud: Cloud, name: str, seconds: float) -> None:
    """Take a job's spot instances away; there are others after so many seconds. Raises NotInterruptible."""
    with cloud.lock:
        job, run = cloud.store("training_jobs").get(name), running(cloud).get(name)
        if job is None:
            raise NotInterruptible(f"there is no such job in {cloud.region}")
        if not job["EnableManagedSpotTraining"]:
            raise NotInterruptible("it has no spot instances (EnableManagedSpotTraining is false)")
        if run is None or job["SecondaryStatus"] not in ("Downloading", "Training"):
            raise NotInterruptible(f"it is {job['SecondaryStatus']}")
        run.interrupt(seconds)


class TrainingRun:
    """The execution of one job; `finished` is called at its end, `measured` with every value of a metric."""

    def __init__(
        self,
        cloud: Cloud,
        job: dict[str, Any],
        finished: Callable[[], None] = lambda: None,
        measured: Callable[[str, float], None] = lambda *_: None,
    ) -> None:
        self._cloud = cloud = acting(cloud, job["RoleArn"])
        self._job, self._finished, self._measured = job, finished, measured
        self._name: str = job["TrainingJobName"]
        self._progress = Progress(cloud, job)
        self._cluster = self._machines()
        self._changed = threading.Condition()
        self._stopping = False
        self._reclaimed: float | None = None
        """The spot instances are taken away, and there are others after so many seconds."""

    def start(self) -> None:
        """Begin, in a thread of its own."""
        running(self._cloud)[self._name] = self
        threading.Thread(target=self._run, name=f"training {self._name}", daemon=True).start()

    def stop(self) -> None:
        """Ask the job to end, in whatever phase it is; returns at once."""
        self._progress.stop()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._cluster.stop()

    def interrupt(self, seconds: float) -> None:
        """Take the spot instances away as EC2 does: two minutes' notice; there are others after so many `seconds`."""
        with self._changed:
            self._reclaimed = seconds
        self._cluster.stop()

    def _run(self) -> None:
        end, members = "Failed", dict[str, Any]()
        try:
            end, members = self._steps()
        except JobFailed as error:
            members = {"FailureReason": str(error)}
        except Exception as error:
            log.exception("training job %s", self._name)
            members = {"FailureReason": f"InternalServerError: the local cloud could not run the job: {error!r}"}
        self._cluster.remove()  # before anybody sees the end: a new job may then take the name, and the folder
        with self._cloud.lock:
            running(self._cloud).pop(self._name, None)
            self._progress.finish(end, **members)
        self._finished()

    def _steps(self) -> tuple[str, dict[str, Any]]:
        """Everything up to the end; (the last secondary status, members that come with it)."""
        command = self._command()
        while (end := self._attempt(command)) is None:
            self._cluster.remove()
            if gave_up := self._wait_for_capacity():
                return gave_up, {}
            with self._changed:
                self._cluster, self._reclaimed = self._machines(), None
            self._progress.enter("Starting")
        return end

    def _attempt(self, command: list[str]) -> tuple[str, dict[str, Any]] | None:
        """From the download to the end; None when the spot instances were taken away before."""
        self._progress.begin()
        data = TrainingData(self._cloud, self._job, self._cluster, self._is_ending)
        data.download()
        if self._stopping:
            return "Stopped", {}
        end = self._train(command, data) if self._reclaimed is None else "Interrupted"
        if end == "Interrupted":
            self._progress.pause()
            return None
        self._progress.enter("Uploading")
        return end, {"ModelArtifacts": data.upload()}

    def _wait_for_capacity(self) -> str | None:
        """Wait for other spot instances; how the job ends when there are none in time."""
        patience = min(self._reclaimed or 0.0, wait_left := self._wait_left())
        with self._changed:
            if self._changed.wait_for(lambda: self._stopping, patience):
                return "Stopped"
        return "MaxWaitTimeExceeded" if patience >= wait_left else None

    def _command(self) -> list[str]:
        """What the container runs: the request's entrypoint, or the toolkit in place of a framework image's own."""
        algorithm = self._job["AlgorithmSpecification"]
        if "ContainerEntrypoint" in algorithm:
            return [*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", ())]
        script = "sagemaker_program" in self._job.get("HyperParameters", {})
        if reason := images.why_not(algorithm["TrainingImage"], script=script):
            raise JobFailed(f"ClientError: {reason}")
        return [sys.executable, "-S", "-E", str(TOOLKIT), OPT_ML]

    def _train(self, command: list[str], data: TrainingData) -> str:
        """Run the container's program on every host; how it ended. Raises JobFailed when it fails by itself."""
        definitions = self._job["AlgorithmSpecification"].get("MetricDefinitions", ())
        metrics = JobMetrics(self._cloud, self._name, definitions, self._measured)
        if reason := drivers.why_not(self._cluster, self._environment(self._cluster.hosts[0])):
            raise JobFailed(f"ClientError: {reason}")
        self._cluster.image = drivers.image(self._cluster)
        self._progress.enter("Training")
        copying = Copying(data.checkpoints())
        try:
            self._cluster.start(command, self._environment, LOG_GROUP, self._name, metrics.see)
            return self._attend()
        finally:
            self._cluster.close()
            metrics.flush()
            if final := metrics.final():
                with self._cloud.lock:
                    self._job["FinalMetricDataList"] = final
            _save(copying)

    def _environment(self, host: Host) -> dict[str, str]:
        isolated, given = self._job["EnableNetworkIsolation"], self._job.get("Environment", {})
        return host.workspace.environment(training_config.variables(self._job), given, isolated=isolated)

    def _attend(self) -> str:
        """Wait for the containers, no longer than the limits allow; how they ended."""
        run_left = self._job["StoppingCondition"].get("MaxRuntimeInSeconds", DAY) - self._progress.ran
        wait_left = self._wait_left()
        end = self._cluster.wait(max(0.0, min(run_left, wait_left)))
        expired = end is None
        if expired and not self._is_ending():
            self._cluster.stop()
        end = end or self._cluster.wait(GRACE + 20)
        if self._stopping:
            return "Stopped"
        if self._reclaimed is not None:
            return "Interrupted"
        if expired:
            return "MaxRuntimeExceeded" if run_left <= wait_left else "MaxWaitTimeExceeded"
        if end is None or end.code != 0:
            raise JobFailed(_failure(end))
        return "Completed"

    def _wait_left(self) -> float:
        """Seconds until MaxWaitTimeInSeconds: of waiting for spot instances and of running, together."""
        longest = self._job["StoppingCondition"].get("MaxWaitTimeInSeconds")
        if longest is None or not self._job["EnableManagedSpotTraining"]:
            return math.inf
        return float(longest - (self._cloud.now() - self._job["CreationTime"]).total_seconds())

    def _is_ending(self) -> bool:
        return self._stopping or self._reclaimed is not None

    def _machines(self) -> Cluster:
        volume = self._job["ResourceConfig"].get("VolumeSizeInGB")
        return Cluster(self._cloud, "training", self._name, training_config.count(self._job), volume)


def _save(copying: Copying) -> None:
    """The last copy of the checkpoints."""
    try:
        copying.close()
    except DataError as error:
        raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error


def _failure(end: End | None) -> str:
    if end and end.verdict:
        return end.verdict.reason
    return algorithm_error(end.host.workspace.said("failure"), end.code) if end else algorithm_error("", 137)
