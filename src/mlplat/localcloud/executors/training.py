"""One training job, really run: data down, the container's program as a child process, artifacts up.

A thread per job. It moves the job's record through Starting, Downloading, Training, Uploading to its end; the log,
the metrics and the artifacts go to the local cloud's own services, as SageMaker's go to AWS's.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import images, s3_data
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.metrics import JobMetrics
from mlplat.localcloud.executors.progress import Progress
from mlplat.localcloud.executors.s3_data import DataError, Place
from mlplat.localcloud.executors.toolkit import decoded
from mlplat.localcloud.executors.workspace import OPT_ML, Workspace
from mlplat.localcloud.supervisor import Child

log = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
TOOLKIT = Path(__file__).with_name("toolkit.py")
HOSTS = ("algo-1",)

GRACE = 120.0
"""Seconds between SIGTERM and SIGKILL. Source: StopTrainingJob's documentation."""
DAY = 86_400
"""MaxRuntimeInSeconds when the request has none."""


class JobFailed(Exception):
    """The job has failed; the message is its FailureReason."""


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
    """The execution of one job; `finished` is called once its record has come to its end."""

    def __init__(self, cloud: Cloud, job: dict[str, Any], finished: Callable[[], None] = lambda: None) -> None:
        self._cloud, self._job, self._finished = cloud, job, finished
        self._name: str = job["TrainingJobName"]
        self._progress = Progress(cloud, job)
        self._workspace = Workspace(cloud, self._name)
        self._stopping = threading.Event()
        self._expired = False
        self._child: Child | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        running(self._cloud)[self._name] = self
        threading.Thread(target=self._run, name=f"training {self._name}", daemon=True).start()

    def stop(self) -> None:
        """Ask the job to end, in whatever phase it is; returns at once."""
        self._progress.stop()
        self._stopping.set()
        if self._child is not None:
            threading.Thread(target=self._child.stop, args=(GRACE,), daemon=True).start()

    def _run(self) -> None:
        end, members = "Failed", dict[str, Any]()
        try:
            end, members = self._steps()
        except JobFailed as error:
            members = {"FailureReason": str(error)}
        except Exception as error:
            log.exception("training job %s", self._name)
            members = {"FailureReason": f"InternalServerError: the local cloud could not run the job: {error!r}"}
        self._workspace.remove()  # before anybody sees the end: a new job may then take the name, and the folder
        with self._cloud.lock:
            running(self._cloud).pop(self._name, None)
            self._progress.finish(end, **members)
        self._finished()

    def _steps(self) -> tuple[str, dict[str, Any]]:
        """Everything up to the end; (the last secondary status, members that come with it)."""
        command = self._command()
        self._progress.enter("Downloading", TrainingStartTime=self._cloud.now())
        self._download()
        if self._stopping.is_set():
            return "Stopped", {}
        self._train(command)
        self._progress.enter("Uploading")
        artifacts = self._upload()
        end = "MaxRuntimeExceeded" if self._expired else "Stopped" if self._stopping.is_set() else "Completed"
        return end, {"ModelArtifacts": artifacts}

    def _command(self) -> list[str]:
        """What the container runs: the request's entrypoint, or the toolkit in place of a framework image's own."""
        algorithm = self._job["AlgorithmSpecification"]
        if "ContainerEntrypoint" in algorithm:
            return [*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", ())]
        script = "sagemaker_program" in self._job.get("HyperParameters", {})
        if reason := images.why_not(algorithm["TrainingImage"], script=script):
            raise JobFailed(f"ClientError: {reason}")
        return [sys.executable, "-S", "-E", str(TOOLKIT), OPT_ML]

    def _download(self) -> None:
        self._workspace.make()
        self._workspace.configure(self._job, HOSTS, HOSTS[0])
        s3 = self._cloud.aws("s3")
        try:
            for channel in self._job.get("InputDataConfig", ()):
                self._download_channel(s3, channel)
            self._restore_checkpoints(s3)
        except DataError as error:
            raise JobFailed(f"ClientError: Data download failed:{error}") from error
        self._unpack_code(s3)
        if not self._cloud.supervisor.private:
            self._workspace.name_real_paths()

    def _download_channel(self, s3: Any, channel: Mapping[str, Any]) -> None:
        source = channel["DataSource"]["S3DataSource"]
        found = s3_data.sources(s3, source)
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            found = s3_data.shard(found, 0, len(HOSTS))
        s3_data.download(s3, found, self._workspace.channel(channel["ChannelName"]), self._stopping.is_set)

    def _unpack_code(self, s3: Any) -> None:
        """Classic script mode: the toolkit takes its script from an archive on S3."""
        submitted = str(decoded(self._job.get("HyperParameters", {})).get("sagemaker_submit_directory", ""))
        if not submitted.startswith("s3://") or self._stopping.is_set():
            return
        try:
            s3_data.unpack(s3, submitted, self._workspace.ml / "code")
        except DataError as error:
            raise JobFailed(f"AlgorithmError: framework error: \n{error}, exit code: 1") from error

    def _train(self, command: list[str]) -> None:
        """Run the container's program to its end. Raises JobFailed when it fails by itself."""
        stream = f"{self._name}/{HOSTS[0]}-{int(time.time())}"
        metrics = JobMetrics(self._cloud, self._name, self._job["AlgorithmSpecification"].get("MetricDefinitions", ()))
        output = ContainerLog(self._cloud, LOG_GROUP, stream)

        def heard(line: str) -> None:
            metrics.see(line)
            output.line(line)

        self._progress.enter("Training")
        try:
            code = self._attend(self._spawn(command, heard))
        finally:
            output.close()
            metrics.flush()
            if final := metrics.final():
                with self._cloud.lock:
                    self._job["FinalMetricDataList"] = final
        if code != 0 and not self._expired and not self._stopping.is_set():
            self._save_checkpoints(self._cloud.aws("s3"))
            raise JobFailed(algorithm_error(self._workspace.failure(), code))

    def _spawn(self, command: list[str], heard: Callable[[str], None]) -> Child:
        child = self._cloud.supervisor.spawn(
            command,
            env=self._workspace.environment(self._job),
            cwd=self._workspace.root / "home",
            opt_ml=self._workspace.ml,
            on_line=heard,
            label=f"training-job/{self._name}",
        )
        self._child = child
        if self._stopping.is_set():  # it was asked to stop while the child was being made
            child.stop(GRACE)
        return child

    def _attend(self, child: Child) -> int:
        """Wait for the child, no longer than MaxRuntimeInSeconds allows; its exit code."""
        limit = self._job["StoppingCondition"].get("MaxRuntimeInSeconds", DAY)
        spent = (self._cloud.now() - self._job["TrainingStartTime"]).total_seconds()
        code = child.wait(max(0.0, limit - spent))
        if code is None:
            self._expired = not self._stopping.is_set()
            code = child.stop(GRACE)
        return -1 if code is None else code

    def _upload(self) -> dict[str, str]:
        """Upload model, output and checkpoints; ModelArtifacts."""
        s3, output = self._cloud.aws("s3"), self._job["OutputDataConfig"]
        target = Place.parse(f"{output['S3OutputPath'].rstrip('/')}/{self._name}/output")
        plain = output.get("CompressionType") == "NONE"
        try:
            for folder, name in (
                (self._workspace.ml / "model", "model"),
                (self._workspace.ml / "output/data", "output"),
            ):
                if not folder.is_dir() or not any(folder.iterdir()):
                    continue
                if plain:
                    s3_data.upload_tree(s3, folder, target.below(name), output.get("KmsKeyId"))
                else:
                    s3_data.pack(s3, folder, target.below(f"{name}.tar.gz"), output.get("KmsKeyId"))
        except DataError as error:
            raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error
        self._save_checkpoints(s3)
        return {"S3ModelArtifacts": target.below("model/" if plain else "model.tar.gz").uri}

    def _restore_checkpoints(self, s3: Any) -> None:
        """What an earlier job left at CheckpointConfig.S3Uri is there when this one starts."""
        if config := self._job.get("CheckpointConfig"):
            folder = self._checkpoints(config)
            folder.mkdir(parents=True, exist_ok=True)
            s3_data.download(s3, s3_data.under(s3, Place.parse(config["S3Uri"])), folder, self._stopping.is_set)

    def _save_checkpoints(self, s3: Any) -> None:
        if config := self._job.get("CheckpointConfig"):
            try:
                s3_data.upload_tree(s3, self._checkpoints(config), Place.parse(config["S3Uri"].rstrip("/")))
            except DataError as error:
                raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error

    def _checkpoints(self, config: Mapping[str, str]) -> Path:
        local = Path(os.path.normpath(config.get("LocalPath", f"{OPT_ML}/checkpoints")))
        if not local.is_relative_to(OPT_ML):
            raise JobFailed(f"ClientError: the local cloud keeps checkpoints only under {OPT_ML}, not at {local}")
        return self._workspace.ml / local.relative_to(OPT_ML)


def algorithm_error(failure: str, code: int) -> str:
    """FailureReason of a container that failed: what its failure file says, and how it ended."""
    return f"AlgorithmError: {failure}, exit code: {code}"
