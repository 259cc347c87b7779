"""What a job of the local cloud costs beside its bare script, and whether a tuning job keeps the machine busy.

The bound is the same script with the same arguments, started by hand in the same run: once for a training job, twenty
times in two threads for a tuning job of 20 trainings at 2 in parallel. How busy the cores were is the CPU time of the
local cloud's process and of all that it has started, or of the scripts, over the time of as many cores. `--write` puts
the tables into docs/performance.md.
"""

from __future__ import annotations

import io
import json
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from load.page import table, write
from load.raw import Signed
from mlplat.localcloud import daemon

HEADING = "## Jobs of the local cloud"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
SCRIPT = """
import argparse
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
given = argparse.ArgumentParser()
given.add_argument("--strength", type=float)
rows, classes = make_classification(4000, 40, random_state=1)
model = LogisticRegression(C=given.parse_args().strength, max_iter=3000, tol=1e-9, solver="saga").fit(rows, classes)
print(f"score={model.score(rows, classes)}")
"""
JOBS, PARALLEL, TIMES = 20, 2, 5
ENDED = ("Completed", "Failed", "Stopped")


class Place:
    """A local cloud with a role and the script on S3."""

    def __init__(self, address: daemon.Address) -> None:
        self.process = psutil.Process(address.pid)
        signed = Signed(address.url, address.access_key, address.secret_key)
        self.sagemaker, s3, iam = (signed.client(each) for each in ("sagemaker", "s3", "iam"))
        policy = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        self.role = iam.create_role(RoleName="bench", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
        s3.create_bucket(Bucket="bench")
        s3.put_object(Bucket="bench", Key="code.tar.gz", Body=packed())

    def definition(self) -> dict[str, Any]:
        """What training and tuning jobs say alike."""
        metrics = [{"Name": "score", "Regex": r"score=([0-9.]+)"}]
        return {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": metrics,
            },
            "RoleArn": self.role,
            "OutputDataConfig": {"S3OutputPath": "s3://bench/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }  # fmt: skip

    def train(self, name: str) -> float:
        """Seconds of one job, from the request to its end."""
        begun = time.perf_counter()
        parameters = {**submitted(), "strength": "0.5"}
        self.sagemaker.create_training_job(TrainingJobName=name, HyperParameters=parameters, **self.definition())
        while True:
            job = self.sagemaker.describe_training_job(TrainingJobName=name)
            if job["TrainingJobStatus"] in ENDED:
                assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
                return time.perf_counter() - begun
            time.sleep(0.02)

    def cpu(self) -> float:
        """Seconds of CPU that the local cloud has had, and every process that it has started and that has ended."""
        times = self.process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)

    def tune(self) -> tuple[float, float, float]:
        """A tuning job of JOBS trainings: seconds, how busy the cores were, and each of the PARALLEL places."""
        ranges = {"ContinuousParameterRanges": [{"Name": "strength", "MinValue": "0.1", "MaxValue": "1"}]}
        config = {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": JOBS, "MaxParallelTrainingJobs": PARALLEL},
            "ParameterRanges": ranges,
        }
        name, definition = {"HyperParameterTuningJobName": "tune"}, self.definition()
        begun, before = time.perf_counter(), self.cpu()
        self.sagemaker.create_hyper_parameter_tuning_job(
            **name,
            HyperParameterTuningJobConfig=config,
            TrainingJobDefinition={**definition, "StaticHyperParameters": submitted()},
        )
        while True:
            job = self.sagemaker.describe_hyper_parameter_tuning_job(**name)
            if job["HyperParameterTuningJobStatus"] in ENDED:
                assert job["TrainingJobStatusCounters"]["Completed"] == JOBS, job
                seconds = time.perf_counter() - begun
                busy = (self.cpu() - before) / seconds / PARALLEL
                return seconds, busy, sum(self._spans(name)) / seconds / PARALLEL
            time.sleep(0.05)

    def _spans(self, name: dict[str, str]) -> list[float]:
        """Seconds between start and end of each training."""
        listed = self.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(**name, MaxResults=100)
        jobs = listed["TrainingJobSummaries"]
        return [(each["TrainingEndTime"] - each["TrainingStartTime"]).total_seconds() for each in jobs]


def submitted() -> dict[str, str]:
    """The hyperparameters that name the script."""
    return {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://bench/code.tar.gz"}


def packed() -> bytes:
    """The script as the SDK uploads it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("train.py")
        info.size = len(SCRIPT)
        tar.addfile(info, io.BytesIO(SCRIPT.encode()))
    return archive.getvalue()


def bare(script: Path, strength: float) -> float:
    """Seconds of the script, started by hand."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, str(script), "--strength", str(strength)], check=True, capture_output=True)
    return time.perf_counter() - begun


def cpu_of_scripts() -> float:
    """Seconds of CPU that the processes have had which this one has started and waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def bare_tuning(script: Path) -> tuple[float, float]:
    """JOBS scripts in PARALLEL threads: seconds, and how busy the cores were."""
    begun, before = time.perf_counter(), cpu_of_scripts()
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda number: bare(script, 0.1 + 0.9 * number / JOBS), range(JOBS)))
    seconds = time.perf_counter() - begun
    return seconds, (cpu_of_scripts() - before) / seconds / PARALLEL


def measure(folder: Path) -> Iterator[str]:
    """All lines, as they are found."""
    script = folder / "train.py"
    script.write_text(SCRIPT)
    cloud = folder / ".mlplat" / "local"
    try:
        place = Place(daemon.start(cloud, transition_delay=0.0))
        yield table("", "bare script", "local cloud", "")
        runs = [(bare(script, 0.5), place.train(f"bench-{number}")) for number in range(TIMES)]
        alone, job = (statistics.median(each) for each in zip(*runs, strict=True))
        yield f"| a training job, median of {TIMES} | {alone:.2f} s | {job:.2f} s | +{job - alone:.2f} s |"
        (alone, theirs), (tuned, busy, taken) = bare_tuning(script), place.tune()
        shown = f"{tuned / alone:.2f} of the bare scripts; both places taken {taken:.0%} of the time"
        yield f"| {JOBS} trainings, {PARALLEL} in parallel | {alone:.1f} s | {tuned:.1f} s | {shown} |"
        yield f"| {PARALLEL} cores busy meanwhile | {theirs:.0%} | {busy:.0%} | {busy / theirs:.2f} of the scripts' |"
    finally:
        daemon.stop(cloud)


def main() -> None:
    """Print the table, and write it when asked."""
    with tempfile.TemporaryDirectory() as name:
        write(HEADING, "bench/jobs.py", __doc__ or "", measure(Path(name)))


if __name__ == "__main__":
    main()
