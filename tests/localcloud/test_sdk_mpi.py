"""The SageMaker SDK v3's MPI driver, unmodified, with Open MPI and mpi4py: real ranks on one host and on several.

The hosts poll each other each 5 and 30 seconds; a sitecustomize.py of the job's makes that half a second.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.localcloud.jobs import Jobs

from mlplat.localcloud import processes, sandbox

TRAIN = """
import argparse, json, os, socket, time
from pathlib import Path
from mpi4py import MPI
given = argparse.ArgumentParser()
given.add_argument("--epochs", type=int)
given.add_argument("--ends", default="well")
given.add_argument("--meeting", type=Path)
given = given.parse_args()
world, job = MPI.COMM_WORLD, os.environ["TRAINING_JOB_NAME"]
told = world.bcast(socket.gethostname() if world.rank == 0 else None)
(given.meeting / f"{job}.{world.rank}").touch()
while len(list(given.meeting.iterdir())) < 6:
    time.sleep(0.05)
total = world.allreduce(world.rank + 1)
if given.ends == "badly" and world.rank == 1:
    raise ValueError("rank 1 was told to fail")
while given.ends == "never":
    time.sleep(1)
about = {"rank": world.rank, "size": world.size, "host": socket.gethostname(), "told": told, "total": total,
         "epochs": given.epochs, "job": job}
(Path(os.environ["SM_MODEL_DIR"]) / f"rank-{world.rank}.json").write_text(json.dumps(about))
"""
"""Its job and two others, of two ranks each, compute together no sooner than all three do."""

PATIENCE = """
import time
time.sleep = lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.5))
"""

PROGRAM = """
import json, sys
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, OutputDataConfig, SourceCode
from sagemaker.train.distributed import MPI

for given in json.load(sys.stdin):
    trainer = ModelTrainer(
        training_image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5-cpu-py311",
        source_code=SourceCode(source_dir="source", entry_script="train.py"),
        distributed=MPI(process_count_per_node=given["processes"], mpi_additional_options=given["options"]),
        compute=Compute(instance_type="ml.m5.large", instance_count=given["instances"], volume_size_in_gb=5),
        output_data_config=OutputDataConfig(s3_output_path=given["output"]),
        environment=given["environment"],
        base_job_name=given["name"],
        role=given["role"],
        hyperparameters=given["hyperparameters"],
    )
    trainer.train(wait=False)
    print("started", trainer._latest_training_job.training_job_name)
"""

SPREAD = ["--map-by", "node"]
"""The driver gives mpirun the processes of one host in all; this puts them on all hosts."""


class MpiJobs(Jobs):
    """Jobs as the SDK makes them, with a role that may do everything."""

    def __init__(self, cloud: Any, folder: Path) -> None:
        super().__init__(cloud)
        self._folder = folder
        allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        cloud.client("iam").put_role_policy(
            RoleName=self.role.rpartition("/")[2], PolicyName="all", PolicyDocument=json.dumps(allowed)
        )
        (folder / "source").mkdir()
        (folder / "source" / "train.py").write_text(TRAIN)
        (folder / "patience").mkdir()
        (folder / "patience" / "sitecustomize.py").write_text(PATIENCE)

    def job(self, name: str, instances: int, *options: str, **hyperparameters: Any) -> dict[str, Any]:
        meeting = self._folder / "patience" / "meeting"
        meeting.mkdir(exist_ok=True)
        return {
            "name": f"sdk-mpi-{name}", "instances": instances, "processes": 2, "options": options, "role": self.role,
            "output": f"s3://{self.bucket}/out", "hyperparameters": {**hyperparameters, "meeting": str(meeting)},
            "environment": {"PYTHONPATH": str(self._folder / "patience")},
        }  # fmt: skip

    def started(self, *jobs: dict[str, Any]) -> list[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder), **self.cloud.environment}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            command, env=environment, cwd=self._folder, input=json.dumps(jobs), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("started ")]

    def ranks(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        files = self.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])
        return sorted((json.loads(body) for body in files.values()), key=lambda each: int(each["rank"]))


def most_hosts() -> int:
    """How many a job may have: the driver wants port 22 of several, which a machine may keep for root or have taken."""
    try:
        socket.create_server(("127.9.77.1", 22)).close()
    except OSError:
        return 1
    return 2


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_three_jobs_at_once_that_end_well_badly_and_when_they_are_stopped(cloud: Any, tmp_path: Path) -> None:
    if sandbox.probe() == "none":
        pytest.skip("no rung of this machine has mounts of its own")
    jobs, hosts = MpiJobs(cloud, tmp_path), most_hosts()
    well, badly, never = names = jobs.started(
        jobs.job("well", hosts, *SPREAD, epochs=3),
        jobs.job("badly", 1, epochs=4, ends="badly"),
        jobs.job("never", hosts, *SPREAD, ends="never"),
    )
    told = {"size": 2, "told": "algo-1", "total": 3, "epochs": 3, "job": well}
    assert jobs.ranks(jobs.wait(well, 400)) == [
        {"rank": 0, "host": "algo-1", **told},
        {"rank": 1, "host": f"algo-{hosts}", **told},
    ]
    failed = jobs.wait(badly, 200)
    assert failed["TrainingJobStatus"] == "Failed"
    assert failed["FailureReason"].startswith("AlgorithmError: Traceback (most recent call last)")
    assert "returned non-zero exit status 1." in failed["FailureReason"]
    assert "[1,1]<stderr>: ValueError: rank 1 was told to fail" in jobs.log(badly)
    jobs.sagemaker.stop_training_job(TrainingJobName=never)
    assert jobs.wait(never, 200)["TrainingJobStatus"] == "Stopped"
    assert [processes.tagged("TRAINING_JOB_NAME", name) for name in names] == [[], [], []]
