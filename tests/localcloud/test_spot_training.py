"""Managed spot training: instances that are taken away, checkpoints that are there again, and what is waited for."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest
from tests.localcloud.jobs import Jobs, until

from mlplat.errors import LocalCloudError
from mlplat.localcloud import daemon

RESUME = """
import sys, time
from pathlib import Path
checkpoint = Path("/opt/ml/checkpoints/epoch")
first = int(checkpoint.read_text()) if checkpoint.exists() else 0
for epoch in range(first, 6):
    print(f"epoch {epoch}", flush=True)
    if epoch == 3 and first == 0: time.sleep(60)  # here the instance is taken away
    partial = checkpoint.with_suffix(".partial")
    partial.write_text(str(epoch + 1))
    partial.rename(checkpoint)
Path("/opt/ml/model/began-at").write_text(str(first))
"""
WAIT = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120}


@pytest.fixture(scope="module")
def jobs(cloud: Any) -> Jobs:
    """A bucket, a role, and the calls around training jobs."""
    return Jobs(cloud)


def spot(jobs: Jobs, script: str, **members: Any) -> str:
    """A job on spot instances, and its name once its script has printed something."""
    given = {"EnableManagedSpotTraining": True, "StoppingCondition": WAIT} | members
    name = jobs.start(script, **given)
    until(lambda: jobs.log(name), lambda lines: any("epoch 3" in line or "up" in line for line in lines), 20)
    return name


def interrupt(jobs: Jobs, name: str, seconds: float = 0.5) -> None:
    daemon.interrupt(jobs.cloud.address, name, region="us-east-1", seconds=seconds)


def statuses(job: dict[str, Any]) -> list[str]:
    return [each["Status"] for each in job["SecondaryStatusTransitions"]]


def test_an_interrupted_job_goes_on_from_its_checkpoint(jobs):
    place = f"s3://{jobs.bucket}/spot/"
    name = spot(jobs, RESUME, CheckpointConfig={"S3Uri": place})
    # the checkpoint is on S3 while the script runs
    until(lambda: jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix="spot/").get("KeyCount"), bool, 10)
    interrupt(jobs, name, seconds=1.5)
    until(lambda: jobs.describe(name), lambda job: job["SecondaryStatus"] == "Interrupted", 10)
    with pytest.raises(LocalCloudError, match="it is Interrupted"):
        interrupt(jobs, name)
    job = jobs.wait(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert statuses(job) == [
        "Starting", "Downloading", "Training", "Interrupted", "Starting", "Downloading", "Training", "Uploading",
        "Completed",
    ]  # fmt: skip
    assert jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"began-at": b"3"}
    body = jobs.s3.get_object(Bucket=jobs.bucket, Key="spot/epoch")["Body"].read()
    assert body == b"6"
    assert 1 <= job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_each_attempt_has_a_log_stream(jobs):
    script = "import os, time; print('up', flush=True)\nos.path.exists('/opt/ml/checkpoints/epoch') or time.sleep(60)"
    name = spot(jobs, script, CheckpointConfig={"S3Uri": f"s3://{jobs.bucket}/streams"})
    jobs.put("streams/epoch", "1")
    interrupt(jobs, name, seconds=1.1)
    assert jobs.wait(name)["TrainingJobStatus"] == "Completed"
    group = "/aws/sagemaker/TrainingJobs"
    found = jobs.client("logs").describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")
    assert len(found["logStreams"]) == 2


def test_a_job_that_waits_too_long_for_instances_is_stopped(jobs):
    name = spot(
        jobs,
        "import time; print('up', flush=True); time.sleep(60)",
        StoppingCondition={"MaxRuntimeInSeconds": 5, "MaxWaitTimeInSeconds": 6},
    )
    interrupt(jobs, name, seconds=60)
    job = jobs.wait(name, within=20)
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxWaitTimeExceeded"
    assert statuses(job)[-2:] == ["Interrupted", "MaxWaitTimeExceeded"]


def test_waiting_does_not_count_as_running(jobs):
    script = "import time; print('up', flush=True); time.sleep(60)"
    name = spot(jobs, script, StoppingCondition={"MaxRuntimeInSeconds": 4, "MaxWaitTimeInSeconds": 60})
    interrupt(jobs, name, seconds=4)
    job = jobs.wait(name, within=30)
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert job["TrainingTimeInSeconds"] >= 7
    assert job["BillableTimeInSeconds"] <= 3


def test_a_job_can_be_stopped_while_it_waits_for_instances(jobs):
    name = spot(jobs, "import time; print('up', flush=True); time.sleep(60)")
    interrupt(jobs, name, seconds=100)
    until(lambda: jobs.describe(name), lambda job: job["SecondaryStatus"] == "Interrupted", 10)
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    job = jobs.wait(name, within=5)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"


def test_only_spot_instances_are_taken_away_and_only_by_the_owner(jobs):
    name = jobs.start("import time; time.sleep(20)")
    with pytest.raises(LocalCloudError, match=r"it has no spot instances \(EnableManagedSpotTraining is false\)"):
        interrupt(jobs, name)
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    path = f"/_localcloud/interrupt?job={name}&region=us-east-1&seconds=1"
    with pytest.raises(HTTPError) as caught:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(jobs.cloud.url + path)
    assert caught.value.code == 403
    jobs.wait(name)
