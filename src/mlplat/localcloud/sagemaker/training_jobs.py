"""Training jobs: CreateTrainingJob and its kin. The jobs themselves run in `executors.training`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import s3_data, training
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE, FINISHED, MESSAGES, Progress
from mlplat.localcloud.executors.s3_data import DataError, Place
from mlplat.localcloud.sagemaker import instances
from mlplat.localcloud.sagemaker.errors import AwsError, in_use, invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page
from mlplat.localcloud.sagemaker.roles import check_role

MEMBERS = Members(name="TrainingJobName", status="TrainingJobStatus")

SUMMARY = (
    "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime", "TrainingJobStatus",
    "SecondaryStatus",
)  # fmt: skip

DEFAULTS: dict[str, Any] = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
    "ProfilingStatus": "Disabled",
}
"""What DescribeTrainingJob answers for members that the request left out."""


class TrainingJobs:
    """The operations on training jobs of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._jobs = cloud.store("training_jobs")

    def create_training_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Check the request as AWS does, and start the job."""
        check_name("trainingJobName", request["TrainingJobName"], 63)
        self._refuse_duplicate(request["TrainingJobName"])
        check_request(self._cloud, request)
        instances.check(self._cloud, *instances.of_training(request))
        return {"TrainingJobArn": self.start(request)}

    def start(
        self,
        request: Mapping[str, Any],
        *,
        tuning_arn: str | None = None,
        finished: Callable[[], None] = lambda: None,
        measured: Callable[[str, float], None] = lambda *_: None,
    ) -> str:
        """Start a job whose request has been checked; its ARN. `tuning_arn`: the tuning job whose child it is."""
        name = request["TrainingJobName"]
        job = self._record(request)
        if tuning_arn:
            job["TuningJobArn"] = tuning_arn
        with self._cloud.lock:
            self._refuse_duplicate(name)
            self._jobs[name] = job
            self._cloud.tag(job["TrainingJobArn"], request.get("Tags"))
            training.TrainingRun(self._cloud, job, finished, measured).start()  # whoever sees the job can stop it
        return str(job["TrainingJobArn"])

    def describe_training_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """All that is known of a job."""
        with self._cloud.lock:
            return copy.deepcopy(self._find(request["TrainingJobName"]))

    def list_training_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Summaries, filtered and in order."""
        if request.get("WarmPoolStatusEquals") or request.get("TrainingPlanArnEquals"):
            return {"TrainingJobSummaries": []}  # nothing here has either
        with self._cloud.lock:
            jobs, token = page(self._jobs.values(), request, MEMBERS)
            summaries = [{name: job.get(name) for name in SUMMARY} for job in jobs]
        return {"TrainingJobSummaries": summaries, "NextToken": token}

    def stop_training_job(self, request: dict[str, Any]) -> None:
        """Ask a job to end; it goes on as Stopping for up to 120 seconds."""
        with self._cloud.lock:
            job = self._find(request["TrainingJobName"])
            status = job["TrainingJobStatus"]
            run = training.running(self._cloud).get(job["TrainingJobName"])
            if status in FINISHED:
                raise invalid(f"The request was rejected because the training job is in status {status}.")
            if status != "Stopping" and run is not None:
                run.stop()

    def delete_training_job(self, request: dict[str, Any]) -> None:
        """Forget a job that has ended; its name is free again."""
        with self._cloud.lock:
            job = self._find(request["TrainingJobName"])
            if job["TrainingJobStatus"] not in FINISHED:
                raise in_use(
                    f"Cannot delete the training job {job['TrainingJobName']} in status {job['TrainingJobStatus']}: "
                    "only jobs in a terminal state can be deleted."
                )
            del self._jobs[job["TrainingJobName"]]
            self._cloud.tags.pop(job["TrainingJobArn"], None)

    def resume(self) -> None:
        """After a restart: jobs that were running have failed."""
        with self._cloud.lock:
            for job in self._jobs.values():
                if job["TrainingJobStatus"] not in FINISHED:
                    Progress(self._cloud, job).finish("Failed", FailureReason=ENDED_MEANWHILE)

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self._jobs:
            raise invalid("Requested resource not found.")
        found: dict[str, Any] = self._jobs[name]
        return found

    def _refuse_duplicate(self, name: str) -> None:
        if name in self._jobs:
            raise in_use(
                "Training job names must be unique within an AWS account and region, and a training job with this "
                f"name already exists ({self._jobs[name]['TrainingJobArn']})"
            )

    def _record(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A new job, in the shape of DescribeTrainingJob."""
        now = self._cloud.now()
        given = copy.deepcopy({name: value for name, value in request.items() if name != "Tags"})
        given["AlgorithmSpecification"].setdefault("EnableSageMakerMetricsTimeSeries", False)
        given["OutputDataConfig"] = {"KmsKeyId": "", "CompressionType": "GZIP"} | given["OutputDataConfig"]
        given["StoppingCondition"] = {"MaxRuntimeInSeconds": training.DAY} | given.get("StoppingCondition", {})
        for channel in given.get("InputDataConfig", ()):
            channel |= {"CompressionType": "None", "RecordWrapperType": "None"} | channel
        return DEFAULTS | given | {
            "TrainingJobArn": self._cloud.arn(f"training-job/{request['TrainingJobName']}"),
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [
                {"Status": "Starting", "StartTime": now, "StatusMessage": MESSAGES["Starting"]}
            ],
            "CreationTime": now,
            "LastModifiedTime": now,
        }  # fmt: skip


def check_name(member: str, name: str, longest: int) -> None:
    """Names are folders here, too: only what the model's pattern allows."""
    if len(name) > longest:
        raise invalid(
            f"1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {longest}"
        )
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: ^[a-zA-Z0-9](-*[a-zA-Z0-9]){{0,{longest - 1}}}"
        )


def check_request(cloud: Cloud, request: Mapping[str, Any]) -> None:
    """Refuse what AWS refuses, and honestly what the local cloud can't do. Don't hold the cloud's lock."""
    check_algorithm(request.get("AlgorithmSpecification", {}))
    check_resources(request.get("ResourceConfig", {}))
    _check_stopping(request)
    check_role(cloud, request["RoleArn"], f"training-job/{request['TrainingJobName']}")
    for channel in request.get("InputDataConfig", ()):
        _check_channel(cloud, channel, request["RoleArn"])


def check_algorithm(algorithm: Mapping[str, Any]) -> None:
    """The image, the input mode and the metrics."""
    if bool(algorithm.get("TrainingImage")) == bool(algorithm.get("AlgorithmName")):
        raise invalid("Exactly one of TrainingImage and AlgorithmName must be given in AlgorithmSpecification.")
    if "AlgorithmName" in algorithm:
        raise invalid("The local cloud has no algorithms of its own: give a TrainingImage instead of an AlgorithmName.")
    if algorithm.get("TrainingInputMode") == "Pipe":
        raise invalid("The local cloud has no Pipe mode: use File or FastFile.")
    for definition in algorithm.get("MetricDefinitions", ()):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise invalid(f"Invalid regular expression for the metric {definition['Name']}: {error}.") from error


def check_resources(resources: Mapping[str, Any]) -> None:
    """Instances of one type, or in groups."""
    groups = resources.get("InstanceGroups", ())
    if bool(groups) == bool(resources.get("InstanceType")):
        raise invalid("ResourceConfig must have exactly one of InstanceType and InstanceGroups.")
    if any(each.get("InstanceCount", 1) < 1 for each in groups or [resources]):
        raise invalid("InstanceCount must be at least 1.")  # wording not verified


def _check_stopping(request: Mapping[str, Any]) -> None:
    stopping = request.get("StoppingCondition", {})
    longest, patience = stopping.get("MaxRuntimeInSeconds", training.DAY), stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining") and (patience is None or patience < longest):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _check_channel(cloud: Cloud, channel: Mapping[str, Any], role: str) -> None:
    """The data must be there when the job is made."""
    name = channel["ChannelName"]
    if not re.fullmatch(r"[A-Za-z0-9.\-_]+", name) or name in (".", ".."):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'inputDataConfig.member.channelName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [A-Za-z0-9\\.\\-_]+"
        )
    source = channel["DataSource"].get("S3DataSource")
    if source is None or source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise invalid(f"The local cloud reads channels from S3 by prefix or manifest only: {name}.")
    place = Place.parse(source["S3Uri"])
    try:
        s3_data.sources(acting(cloud, role).aws("s3"), source)
    except DataError as error:
        raise no_objects(cloud, source["S3Uri"], place.bucket, role) from error


def no_objects(cloud: Cloud, uri: str, bucket: str, role: str) -> AwsError:
    """AWS's words for data that isn't there, or that the role can't see."""
    return invalid(
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in '
        f"the selected region ({cloud.region}), that objects exist under that S3 prefix, and that the role "
        f'"{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
    )
