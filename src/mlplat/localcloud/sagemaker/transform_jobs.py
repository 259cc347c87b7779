"""Transform jobs: CreateTransformJob and its kin. The jobs themselves run in `executors.transform`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import joining, transform
from mlplat.localcloud.executors.joining import Joining
from mlplat.localcloud.executors.json_path import PathError
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE, FINISHED
from mlplat.localcloud.sagemaker import instances
from mlplat.localcloud.sagemaker.errors import in_use, invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page
from mlplat.localcloud.sagemaker.models import NEWEST_FIRST, absent_model
from mlplat.localcloud.sagemaker.roles import check_role
from mlplat.localcloud.sagemaker.training_jobs import check_name

MEMBERS = Members(name="TransformJobName", status="TransformJobStatus")

SUMMARY = (
    "TransformJobName", "TransformJobArn", "CreationTime", "TransformEndTime", "LastModifiedTime",
    "TransformJobStatus", "FailureReason",
)  # fmt: skip

PAYLOAD, MOST_MEGABYTES = 6, 100
"""MaxPayloadInMB when the request has none, and what it times MaxConcurrentTransforms must not exceed."""


class TransformJobs:
    """The operations on transform jobs of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._jobs = cloud.store("transform_jobs")

    def create_transform_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Check the request as AWS does, and start the job."""
        name = request["TransformJobName"]
        check_name("transformJobName", name, 63)
        check_transform(request)
        if role := self._cloud.store("models").get(request["ModelName"], {}).get("ExecutionRoleArn"):
            check_role(self._cloud, role, f"transform-job/{name}")
        instances.check(self._cloud, "transform job", instances.of_transform(request))
        job = self._record(request)
        with self._cloud.lock:
            if name in self._jobs:  # wording not verified
                raise in_use(
                    "Job name must be unique within an AWS account and region, and a job with this name already exists "
                    f"({self._jobs[name]['TransformJobArn']})"
                )
            if request["ModelName"] not in self._cloud.store("models"):
                raise absent_model(self._cloud, request["ModelName"])
            self._jobs[name] = job
            self._cloud.tag(job["TransformJobArn"], request.get("Tags"))
            transform.TransformRun(self._cloud, job).start()  # whoever sees the job can stop it
        return {"TransformJobArn": job["TransformJobArn"]}

    def describe_transform_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """All that is known of a job."""
        with self._cloud.lock:
            return copy.deepcopy(self._find(request))

    def list_transform_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Summaries, filtered and in order, the newest first unless told otherwise."""
        with self._cloud.lock:
            jobs, token = page(self._jobs.values(), {**NEWEST_FIRST, **request}, MEMBERS)
            summaries = [{name: job.get(name) for name in SUMMARY} for job in jobs]
        return {"TransformJobSummaries": summaries, "NextToken": token}

    def stop_transform_job(self, request: dict[str, Any]) -> None:
        """Ask a job to end; it stores no output."""
        with self._cloud.lock:
            job = self._find(request)
            status = job["TransformJobStatus"]
            run = transform.running(self._cloud).get(job["TransformJobName"])
            if status in FINISHED:  # wording not verified
                raise invalid(f"The request was rejected because the transform job is in status {status}.")
            if status != "Stopping" and run is not None:
                run.stop()

    def resume(self) -> None:
        """After a restart: jobs that were running have failed."""
        with self._cloud.lock:
            for job in self._jobs.values():
                if job["TransformJobStatus"] not in FINISHED:
                    now = self._cloud.now()
                    job |= {"TransformJobStatus": "Failed", "FailureReason": ENDED_MEANWHILE}
                    job |= {"TransformEndTime": now, "LastModifiedTime": now}

    def _find(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request["TransformJobName"]
        if name not in self._jobs:
            raise invalid(f"Could not find requested job with name: {name}")
        found: dict[str, Any] = self._jobs[name]
        return found

    def _record(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A new job, in the shape of DescribeTransformJob."""
        now, name = self._cloud.now(), request["TransformJobName"]
        given = copy.deepcopy({key: value for key, value in request.items() if key != "Tags"})
        given["TransformInput"] = {"CompressionType": "None", "SplitType": "None"} | given["TransformInput"]
        given["TransformOutput"] = {"AssembleWith": "None"} | given["TransformOutput"]
        given["DataProcessing"] = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"} | given.get(
            "DataProcessing", {}
        )
        return given | {
            "MaxConcurrentTransforms": given.get("MaxConcurrentTransforms") or 1,
            "MaxPayloadInMB": given.get("MaxPayloadInMB", PAYLOAD),
            "TransformJobArn": self._cloud.arn(f"transform-job/{name}"),
            "TransformJobStatus": "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
        }


def check_transform(request: Mapping[str, Any]) -> None:
    """Refuse what AWS refuses, and honestly what the local cloud can't do. Wordings are not verified."""
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise invalid(f"S3DataType {source['S3DataType']} is not supported for batch transform.")
    megabytes, parallel = request.get("MaxPayloadInMB", PAYLOAD), request.get("MaxConcurrentTransforms") or 1
    if megabytes > MOST_MEGABYTES or megabytes * parallel > MOST_MEGABYTES:
        raise invalid(
            f"MaxPayloadInMB ({megabytes}) and MaxConcurrentTransforms * MaxPayloadInMB ({megabytes * parallel}) must "
            f"not exceed {MOST_MEGABYTES} MB."
        )
    _check_data_processing(request)


def _check_data_processing(request: Mapping[str, Any]) -> None:
    """Source: developer guide, "Associate Prediction Results with Input Records"."""
    try:
        asked = Joining.of(request)
    except PathError as error:
        raise invalid(f"Invalid JSONPath in DataProcessing: {error}.") from error
    if asked.is_plain:
        return
    accept = joining.media_type(request["TransformOutput"].get("Accept", ""))
    if asked.content_type not in joining.FORMATS or accept not in joining.FORMATS:
        known = ", ".join(joining.FORMATS)
        raise invalid(f"DataProcessing needs a ContentType and an Accept that are one of {known}.")
    if (asked.content_type == joining.CSV) != (accept == joining.CSV):
        raise invalid(f"DataProcessing can't turn {asked.content_type} into {accept}.")
    lines = (request["TransformInput"].get("SplitType"), request["TransformOutput"].get("AssembleWith"))
    if asked.content_type == joining.CSV and lines != ("Line", "Line"):
        raise invalid("DataProcessing of text/csv needs SplitType and AssembleWith to be Line.")
