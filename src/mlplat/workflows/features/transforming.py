"""Runs of a transformation: started or joined, followed to their end, and what their reports say."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlplat.errors import MlplatError, OutcomeUnknown, UsageError, telling
from mlplat.settings import Transformation
from mlplat.templates.transformations import kept
from mlplat.templates.versions import FEATURE_STORE
from mlplat.workflows import data, files
from mlplat.workflows.choice import chosen
from mlplat.workflows.platform import Platform

JOB_LOGS = {"processing": "/aws/sagemaker/ProcessingJobs", "glue": "/aws-glue/python-jobs/error"}
ENDED = frozenset({"Succeeded", "Failed", "Stopped"})
GLUE = {
    "SUCCEEDED": "Succeeded", "FAILED": "Failed", "ERROR": "Failed", "TIMEOUT": "Failed", "EXPIRED": "Failed",
    "STOPPED": "Stopped", "STOPPING": "Stopping",
}  # fmt: skip
"""The states of a run of Glue in the words of pipelines; all others are Executing."""


@dataclass(frozen=True)
class Status:
    """Where a run stands; `job` is the job that does it, by whose name its log is found."""

    run: str
    status: str
    reason: str = ""
    job: str = ""


@dataclass
class Run:
    """One run. `id` is what AWS calls it by: the ARN of a pipeline's execution, or the id of a Glue job's run."""

    platform: Platform
    name: str
    spec: Transformation
    id: str
    joined: bool = False

    def status(self) -> Status:
        """Asked now."""
        return _of_glue(self) if self.spec.engine == "glue" else _of_pipeline(self)

    def follow(self, *, every: float = 5.0) -> Iterator[Status]:
        """Each new status, until it has ended. Stopping and calling again goes on following."""
        said, pause = None, 0.2
        while True:
            now = self.status()
            if now != said:
                said, pause = now, 0.2
                yield now
            if now.status in ENDED:
                return
            self.platform.session.pause(pause)
            pause = min(pause * 1.5, every)


def transformation_of(platform: Platform, name: str | None) -> tuple[str, Transformation]:
    """The transformation of that name, or the only one there is. Raises UsageError with the nearest name."""
    return chosen(platform.settings.transformations, name, "transformation", "mlplat features transform")


def start(platform: Platform, name: str, spec: Transformation, *, every_file: bool = False) -> Run:
    """Start a run, or join the one that goes on."""
    kind, find, begin = (
        ("glue_job", _glue_running, _start_glue)
        if spec.engine == "glue"
        else ("pipeline", _pipeline_running, _start_pipeline)
    )
    target = str(platform.output(f"{FEATURE_STORE}.{kind}.transformation_{name}", "name"))
    if (id := find(platform, target)) is not None:
        return Run(platform, name, spec, id, joined=True)
    with telling(f"starting transformation {name}", "mlplat plan --template ml_feature_store"):
        return Run(platform, name, spec, begin(platform, target, "all" if every_file else "new"))


def report(platform: Platform, name: str, run: str | None = None) -> dict[str, Any] | None:
    """What a run did, file by file; of the last that wrote a report when none is named. None when there is none."""
    bucket, prefix = data.bucket(platform, "processed"), f"{kept(name)}reports/"
    s3 = platform.session.client("s3")
    if run is None:
        listed = list(files.list_objects(platform.session, bucket, prefix))
        if not listed:
            return None
        key = max(listed, key=lambda each: each["LastModified"])["Key"]
    else:
        key = f"{prefix}{run}.json"
    answer = platform.session.find(lambda: s3.get_object(Bucket=bucket, Key=key))
    if answer is None:
        return None
    found: dict[str, Any] = json.loads(answer["Body"].read())
    return found


def check_source(platform: Platform, spec: Transformation) -> None:
    """Raises UsageError when there is nothing to transform, which a run would not call a failure."""
    found = files.list_objects(platform.session, data.bucket(platform, "raw"), spec.source)
    if next(iter(found), None) is None:
        raise UsageError(
            f"looking for raw files: there are none in {spec.source} of the raw bucket",
            hint=f"mlplat data put raw/{spec.source.rstrip('/')} FILE",
        )


def failure(run: Run, status: Status) -> MlplatError:
    """What to say of a run that failed without a report."""
    group = JOB_LOGS[run.spec.engine]
    stream = f" --log-stream-name-prefix {status.job}" if status.job else ""
    return MlplatError(
        f"transforming {run.name}: {status.status}: {status.reason or 'no reason given'}",
        hint=f"aws logs tail {group}{stream}",
    )


def _pipeline_running(platform: Platform, pipeline: str) -> str | None:
    listed = platform.session.client("sagemaker").pages(
        "list_pipeline_executions", "PipelineExecutionSummaries", PipelineName=pipeline
    )
    return next(
        (each["PipelineExecutionArn"] for each in listed if each["PipelineExecutionStatus"] == "Executing"), None
    )


def _start_pipeline(platform: Platform, pipeline: str, which: str) -> str:
    """The token makes it safe to send again what may have arrived."""
    request = {
        "PipelineName": pipeline,
        "PipelineParameters": [{"Name": "Files", "Value": which}],
        "ClientRequestToken": uuid.uuid4().hex,
    }
    start_execution = platform.session.client("sagemaker").start_pipeline_execution
    try:
        answer = start_execution(**request)
    except OutcomeUnknown:
        answer = start_execution(**request)
    return str(answer["PipelineExecutionArn"])


def _of_pipeline(run: Run) -> Status:
    sagemaker = run.platform.session.client("sagemaker")
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=run.id)
    steps = list(
        sagemaker.pages("list_pipeline_execution_steps", "PipelineExecutionSteps", PipelineExecutionArn=run.id)
    )
    step = steps[0] if steps else {}
    job = step.get("Metadata", {}).get("ProcessingJob", {}).get("Arn", "").rpartition("/")[2]
    reason = step.get("FailureReason") or found.get("FailureReason", "")
    return Status(run.id.rpartition("/")[2], found["PipelineExecutionStatus"], reason, job)


def _glue_running(platform: Platform, job: str) -> str | None:
    runs = platform.session.client("glue").pages("get_job_runs", "JobRuns", JobName=job)
    return next((each["Id"] for each in runs if GLUE.get(each["JobRunState"], "Executing") == "Executing"), None)


def _start_glue(platform: Platform, job: str, which: str) -> str:
    """A run whose start has an unknown outcome is found by the name that its arguments give it."""
    glue, name = platform.session.client("glue"), uuid.uuid4().hex
    try:
        answer = glue.start_job_run(JobName=job, Arguments={"--run": name, "--files": which})
    except OutcomeUnknown:
        runs = glue.pages("get_job_runs", "JobRuns", JobName=job)
        mine = [each["Id"] for each in runs if each.get("Arguments", {}).get("--run") == name]
        if not mine:
            raise
        return str(mine[0])
    return str(answer["JobRunId"])


def _of_glue(run: Run) -> Status:
    job = str(run.platform.output(f"{FEATURE_STORE}.glue_job.transformation_{run.name}", "name"))
    found = run.platform.session.client("glue").get_job_run(JobName=job, RunId=run.id)["JobRun"]
    state = GLUE.get(found["JobRunState"], "Executing")
    return Status(found.get("Arguments", {}).get("--run", ""), state, found.get("ErrorMessage", ""), run.id)
