"""Processing jobs: CreateProcessingJob and its kin. The jobs themselves run in `executors.processing`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import processing
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE, FINISHED
from mlplat.localcloud.sagemaker import instances
from mlplat.localcloud.sagemaker.errors import in_use, invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page
from mlplat.localcloud.sagemaker.roles import check_role
from mlplat.localcloud.sagemaker.training_jobs import check_name

MEMBERS = Members(name="ProcessingJobName", status="ProcessingJobStatus")

SUMMARY = (
    "ProcessingJobName", "ProcessingJobArn", "CreationTime", "ProcessingEndTime", "LastModifiedTime",
    "ProcessingJobStatus", "FailureReason", "ExitMessage",
)  # fmt: skip

FOLDER = "/opt/ml/processing/"
"""Where inputs and outputs are. Source: developer guide, "How ... Configures Input and Output"."""

S3_INPUT = {"S3InputMode": "File", "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}


class ProcessingJobs:
    """The operations on processing jobs of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._jobs = cloud.store("processing_jobs")

    def create_processing_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Check the request as AWS does, and start the job."""
        check_name("processingJobName", request["ProcessingJobName"], 63)
        self._refuse_duplicate(request["ProcessingJobName"])
        check_processing(request)
        check_role(self._cloud, request["RoleArn"], f"processing-job/{request['ProcessingJobName']}")
        instances.check(self._cloud, "processing job", instances.of_processing(request))
        return {"ProcessingJobArn": self.start(request)}

    def start(self, request: Mapping[str, Any], *, finished: Callable[[], None] = lambda: None, **about: str) -> str:
        """Start a job whose request has been checked; its ARN. `about`: MonitoringScheduleArn and such."""
        job = self._record(request) | about
        with self._cloud.lock:
            self._refuse_duplicate(request["ProcessingJobName"])
            self._jobs[request["ProcessingJobName"]] = job
            self._cloud.tag(job["ProcessingJobArn"], request.get("Tags"))
            processing.ProcessingRun(self._cloud, job, finished).start()  # whoever sees the job can stop it
        return str(job["ProcessingJobArn"])

    def describe_processing_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """All that is known of a job."""
        with self._cloud.lock:
            return copy.deepcopy(self._find(request))

    def list_processing_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Summaries, filtered and in order."""
        with self._cloud.lock:
            jobs, token = page(self._jobs.values(), request, MEMBERS)
            summaries = [{name: job.get(name) for name in SUMMARY} for job in jobs]
        return {"ProcessingJobSummaries": summaries, "NextToken": token}

    def stop_processing_job(self, request: dict[str, Any]) -> None:
        """Ask a job to end; it goes on as Stopping for up to 120 seconds."""
        with self._cloud.lock:
            job = self._find(request)
            status = job["ProcessingJobStatus"]
            run = processing.running(self._cloud).get(job["ProcessingJobName"])
            if status in FINISHED:  # wording not verified
                raise invalid(f"The request was rejected because the processing job is in status {status}.")
            if status != "Stopping" and run is not None:
                run.stop()

    def delete_processing_job(self, request: dict[str, Any]) -> None:
        """Forget a job that has ended; its name is free again."""
        with self._cloud.lock:
            job = self._find(request)
            if job["ProcessingJobStatus"] not in FINISHED:  # wording not verified
                name, status = job["ProcessingJobName"], job["ProcessingJobStatus"]
                raise in_use(
                    f"Cannot delete the processing job {name} in status {status}: only jobs in a terminal state can be "
                    "deleted."
                )
            del self._jobs[job["ProcessingJobName"]]
            self._cloud.tags.pop(job["ProcessingJobArn"], None)

    def resume(self) -> None:
        """After a restart: jobs that were running have failed."""
        with self._cloud.lock:
            for job in self._jobs.values():
                if job["ProcessingJobStatus"] not in FINISHED:
                    now = self._cloud.now()
                    job |= {"ProcessingJobStatus": "Failed", "FailureReason": ENDED_MEANWHILE}
                    job |= {"ProcessingEndTime": now, "LastModifiedTime": now}

    def _find(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request["ProcessingJobName"]
        if name not in self._jobs:
            raise invalid(f"Could not find requested job with name: {name}")
        found: dict[str, Any] = self._jobs[name]
        return found

    def _refuse_duplicate(self, name: str) -> None:
        if name in self._jobs:
            raise in_use(
                "Job name must be unique within an AWS account and region, and a job with this name already exists "
                f"({self._jobs[name]['ProcessingJobArn']})"
            )

    def _record(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A new job, in the shape of DescribeProcessingJob."""
        now, name = self._cloud.now(), request["ProcessingJobName"]
        given = copy.deepcopy({key: value for key, value in request.items() if key != "Tags"})
        for each in given.get("ProcessingInputs", ()):
            each.setdefault("AppManaged", False)
            if "S3Input" in each:
                each["S3Input"] = S3_INPUT | each["S3Input"]
        for each in given.get("ProcessingOutputConfig", {}).get("Outputs", ()):
            each.setdefault("AppManaged", False)
        _select_instances(given["ProcessingResources"]["ClusterConfig"])
        return {"StoppingCondition": {"MaxRuntimeInSeconds": processing.DAY}} | given | {
            "ProcessingJobArn": self._cloud.arn(f"processing-job/{name}"),
            "ProcessingJobStatus": "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
        }  # fmt: skip


def _select_instances(cluster: dict[str, Any]) -> None:
    """The first preference: there is always capacity here."""
    if preferences := cluster.get("InstancePreferences"):
        first = preferences[0]
        cluster["SelectedInstanceType"] = first["InstanceType"]
        cluster["SelectedInstanceCount"] = first.get("InstanceCount", cluster.get("InstanceCount", 1))
    else:
        cluster.setdefault("InstanceCount", 1)


def check_processing(request: Mapping[str, Any]) -> None:
    """Refuse what AWS refuses, and honestly what the local cloud can't do. Wordings are not verified."""
    _check_resources(request["ProcessingResources"]["ClusterConfig"])
    inputs = request.get("ProcessingInputs", ())
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", ())
    _check_names("input", [each["InputName"] for each in inputs])
    _check_names("output", [each["OutputName"] for each in outputs])
    for each in inputs:
        _check_input(each)
    for each in outputs:
        _check_output(each)


def _check_resources(cluster: Mapping[str, Any]) -> None:
    preferences = cluster.get("InstancePreferences")
    if bool(preferences) == bool(cluster.get("InstanceType")):
        raise invalid("Exactly one of InstanceType and InstancePreferences must be given in ClusterConfig.")


def _check_names(kind: str, names: list[str]) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise invalid(f"The {kind} name {min(twice)} is used more than once.")


def _check_input(given: Mapping[str, Any]) -> None:
    name, source = given["InputName"], given.get("S3Input")
    if ("DatasetDefinition" in given) == (source is not None):
        raise invalid(f"The input {name} must have exactly one of S3Input and DatasetDefinition.")
    if source is None:
        raise invalid(f"The local cloud does not implement dataset definitions: input {name}.")
    if source.get("S3InputMode") == "Pipe":
        raise invalid(f"The local cloud has no Pipe mode: use File for the input {name}.")
    if source.get("S3CompressionType") == "Gzip":
        raise invalid(f"Gzip can only be used when Pipe mode is specified as the S3InputMode: input {name}.")
    _check_path("input", name, source, given)


def _check_output(given: Mapping[str, Any]) -> None:
    name, target = given["OutputName"], given.get("S3Output")
    if ("FeatureStoreOutput" in given) == (target is not None):
        raise invalid(f"The output {name} must have exactly one of S3Output and FeatureStoreOutput.")
    if target is not None:
        _check_path("output", name, target, given)
    elif not given.get("AppManaged"):
        raise invalid(f"FeatureStoreOutput is only supported when AppManaged is specified: output {name}.")


def _check_path(kind: str, name: str, place: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    path = place.get("LocalPath")
    if path is None and given.get("AppManaged"):
        return
    if path is None:
        raise invalid(f"LocalPath is required when AppManaged is false: {kind} {name}.")
    if not f"{path}/".startswith(FOLDER) or ".." in path.split("/"):
        raise invalid(f"The LocalPath of the {kind} {name} must begin with {FOLDER}, not {path}.")
