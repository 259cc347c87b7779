"""One processing job, really run: inputs down, the request's program on every host, outputs up.

A thread per job. Inputs and outputs are folders under /opt/ml/processing; the container is told about its job in
/opt/ml/config, and what it writes to /opt/ml/output/message is the job's ExitMessage. Source: developer guide, "Build
Your Own Processing Container".
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import s3_data
from mlplat.localcloud.executors.cluster import GRACE, Cluster, Host
from mlplat.localcloud.executors.mirror import Copying, Mirror
from mlplat.localcloud.executors.progress import LONGEST_REASON, JobFailed, algorithm_error
from mlplat.localcloud.executors.s3_data import DataError, Place

log = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
DAY = 86_400
"""MaxRuntimeInSeconds when the request has none."""
LONGEST_MESSAGE = 1024
"""Bytes of the message files that ExitMessage holds."""
FOLDERS = ("config", "output", "processing/input", "processing/output")

_RUNNING: weakref.WeakKeyDictionary[Cloud, dict[str, ProcessingRun]] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def running(cloud: Cloud) -> dict[str, ProcessingRun]:
    """The jobs of a region that run now, by name."""
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(cloud, {})


class ProcessingRun:
    """The execution of one job; `finished` is called once its record has come to its end."""

    def __init__(self, cloud: Cloud, job: dict[str, Any], finished: Callable[[], None] = lambda: None) -> None:
        self._cloud = cloud = acting(cloud, job["RoleArn"])
        self._job, self._finished = job, finished
        self._name: str = job["ProcessingJobName"]
        self._cluster = Cluster(cloud, "processing", self._name, instances(job), volume(job))
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        running(self._cloud)[self._name] = self
        threading.Thread(target=self._run, name=f"processing {self._name}", daemon=True).start()

    def stop(self) -> None:
        """Ask the job to end, in whatever phase it is; returns at once."""
        with self._cloud.lock:
            self._job |= {"ProcessingJobStatus": "Stopping", "LastModifiedTime": self._cloud.now()}
        self._stopping.set()
        self._cluster.stop()

    def _run(self) -> None:
        status, members = "Failed", dict[str, Any]()
        try:
            status = self._steps()
        except JobFailed as error:
            members = {"FailureReason": str(error)[:LONGEST_REASON]}
        except Exception as error:
            log.exception("processing job %s", self._name)
            members = {"FailureReason": f"InternalServerError: the local cloud could not run the job: {error!r}"}
        try:
            members |= self._exit_message()
        except UnicodeDecodeError:
            status, members = "Failed", {"FailureReason": "ClientError: /opt/ml/output/message is not UTF-8"}
        self._cluster.remove()  # before anybody sees the end: a new job may then take the name, and the folder
        with self._cloud.lock:
            running(self._cloud).pop(self._name, None)
            now = self._cloud.now()
            self._job |= members | {
                "ProcessingJobStatus": status, "ProcessingEndTime": now, "LastModifiedTime": now
            }  # fmt: skip
        self._finished()

    def _steps(self) -> str:
        """Everything up to the end; the status."""
        command = self._command()
        with self._cloud.lock:
            self._job["ProcessingStartTime"] = self._cloud.now()
        self._download()
        if self._stopping.is_set():
            return "Stopped"
        copying = Copying(self._mirrors("Continuous"))
        try:
            ended = self._process(command)
        finally:
            self._upload(copying.close)
        if not ended:
            return "Stopped"
        for each in self._mirrors("EndOfJob"):
            self._upload(each.copy)
        return "Completed"

    def _command(self) -> list[str]:
        """What the containers run; an image's own entrypoint is not known here."""
        application = self._job["AppSpecification"]
        if "ContainerEntrypoint" not in application:
            raise JobFailed(
                f"ClientError: the local cloud has no runtime for the image {application['ImageUri']}: it runs "
                "processing jobs whose AppSpecification has a ContainerEntrypoint"
            )
        return [*application["ContainerEntrypoint"], *application.get("ContainerArguments", ())]

    def _download(self) -> None:
        self._cluster.make(FOLDERS)
        s3 = self._cloud.aws("s3")
        for number, host in enumerate(self._cluster.hosts):
            told = {"current_host": host.called, "hosts": self._cluster.called}
            host.workspace.configure("config", {"processingjobconfig": describe(self._job), "resourceconfig": told})
            for _, _, folder, _ in self._outputs(host):
                folder.mkdir(parents=True, exist_ok=True)
            for each in self._job.get("ProcessingInputs", ()):
                if not each["AppManaged"]:
                    self._download_input(s3, each["S3Input"], host, number)

    def _download_input(self, s3: Any, source: Mapping[str, Any], host: Host, number: int) -> None:
        folder = host.workspace.inside(source["LocalPath"])
        assert folder is not None  # checked when the job was made
        try:
            found = s3_data.sources(s3, source)
            if source["S3DataDistributionType"] == "ShardedByS3Key":
                found = s3_data.shard(found, number, len(self._cluster.hosts))
            s3_data.download(s3, found, folder, self._stopping.is_set)
        except DataError as error:
            raise JobFailed(f"ClientError: Data download failed:{error}") from error

    def _process(self, command: list[str]) -> bool:
        """Run the program; False when it was stopped, or took too long. Raises JobFailed when it fails by itself."""
        isolated = self._job.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        given = self._job.get("Environment", {})

        def environment(host: Host) -> dict[str, str]:
            return host.workspace.environment({}, given, isolated=isolated)

        self._cluster.start(command, environment, LOG_GROUP, self._name)
        try:
            end = self._cluster.wait(self._time_left())
            if end is None:
                self._stopping.set()
                self._cluster.stop()
                self._cluster.wait(GRACE + 20)
        finally:
            self._cluster.close()
        if self._stopping.is_set() or end is None:
            return False
        if end.verdict:
            raise JobFailed(end.verdict.reason)
        if end.code != 0:
            raise JobFailed(algorithm_error(end.host.workspace.said("message"), end.code))
        return True

    def _time_left(self) -> float:
        spent = self._cloud.now() - self._job["ProcessingStartTime"]
        longest = float(self._job["StoppingCondition"]["MaxRuntimeInSeconds"])
        return max(0.0, longest - float(spent.total_seconds()))

    def _outputs(self, host: Host) -> Iterator[tuple[Host, str, Path, Place]]:
        """(host, upload mode, folder, place) of each output that SageMaker uploads."""
        for each in self._job.get("ProcessingOutputConfig", {}).get("Outputs", ()):
            output = each.get("S3Output")
            if output and not each["AppManaged"]:
                folder = host.workspace.inside(output["LocalPath"])
                assert folder is not None  # checked when the job was made
                yield host, output["S3UploadMode"], folder, Place.parse(output["S3Uri"].rstrip("/"))

    def _mirrors(self, mode: str) -> list[Mirror]:
        s3, key = self._cloud.aws("s3"), self._job.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        outputs = [each for host in self._cluster.hosts for each in self._outputs(host)]
        return [Mirror(s3, folder, place, key) for _, how, folder, place in outputs if how == mode]

    def _upload(self, copy: Callable[[], None]) -> None:
        try:
            copy()
        except DataError as error:
            raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error

    def _exit_message(self) -> dict[str, str]:
        """ExitMessage: what all hosts have written, cut. Raises UnicodeDecodeError: SageMaker fails such a job."""
        files = [host.workspace.ml / "output" / "message" for host in self._cluster.hosts]
        text = "".join(each.read_bytes().decode() for each in files if each.is_file())
        return {"ExitMessage": text.encode()[:LONGEST_MESSAGE].decode(errors="ignore")} if text else {}


def instances(job: Mapping[str, Any]) -> int:
    """How many hosts the job has."""
    cluster = job["ProcessingResources"]["ClusterConfig"]
    return int(cluster.get("SelectedInstanceCount", cluster.get("InstanceCount", 1)))


def volume(job: Mapping[str, Any]) -> int | None:
    """Gigabytes of each host's volume."""
    found: int | None = job["ProcessingResources"]["ClusterConfig"].get("VolumeSizeInGB")
    return found


def describe(job: Mapping[str, Any]) -> dict[str, Any]:
    """processingjobconfig.json: what the container is told of the request."""
    application = {"ContainerEntrypoint": None, "ContainerArguments": None} | job["AppSpecification"]
    names = ("ProcessingJobArn", "ProcessingJobName", "ProcessingResources", "RoleArn", "StoppingCondition")
    outputs = {"Outputs": [], "KmsKeyId": None} | job.get("ProcessingOutputConfig", {})
    return {name: job[name] for name in names} | {
        "AppSpecification": application,
        "Environment": job.get("Environment", {}),
        "ProcessingInputs": job.get("ProcessingInputs", []),
        "ProcessingOutputConfig": outputs,
    }
