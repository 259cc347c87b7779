"""The SDK v3's distributed drivers, unmodified: torchrun on two hosts, and what MPI lacks here.

What PyTorch does is faked: it is not installed here.

The fake launcher does what torchrun does with the driver's arguments: a process per worker, RANK, WORLD_SIZE and
MASTER_ADDR in its environment. That the workers find each other at this address is real.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.localcloud.jobs import Jobs

from mlplat.localcloud.executors import drivers

TORCHRUN = """#!/usr/bin/env python3
import argparse, os, subprocess, sys
given = argparse.ArgumentParser()
for name in ("nnodes", "nproc_per_node", "master_port", "node_rank"): given.add_argument(f"--{name}", type=int)
given.add_argument("--master_addr"); given.add_argument("script", nargs=argparse.REMAINDER)
given = given.parse_args()
workers = []
for local in range(given.nproc_per_node):
    about = {"RANK": given.node_rank * given.nproc_per_node + local, "WORLD_SIZE": given.nnodes * given.nproc_per_node,
             "MASTER_ADDR": given.master_addr, "MASTER_PORT": given.master_port}
    environment = os.environ | {name: str(value) for name, value in about.items()}
    workers.append(subprocess.Popen([sys.executable, *given.script], env=environment))
sys.exit(max([worker.wait() for worker in workers]))
"""

TRAIN = """
import argparse, os, socket, time
given = argparse.ArgumentParser(); given.add_argument("--epochs", type=int); epochs = given.parse_args().epochs
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
master = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    server, ranks = socket.create_server(master), {0}
    while len(ranks) < size:
        made, _ = server.accept()
        ranks.add(int(made.recv(10)))
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "ranks"), "w") as file:
        file.write(f"{sorted(ranks)} {epochs} {master[0]}")
else:
    for _ in range(400):
        try:
            socket.create_connection(master).sendall(str(rank).encode())
            break
        except OSError:
            time.sleep(0.05)
    else:
        raise SystemExit(f"no master at {master}")
"""

PROGRAM = """
import json, sys
import boto3
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, OutputDataConfig, SourceCode
from sagemaker.train import distributed

trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
iam, name = boto3.client("iam"), "sdk-distributed"
role = iam.create_role(
    RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
)["Role"]["Arn"]
iam.put_role_policy(
    RoleName=name, PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
)
boto3.client("s3").create_bucket(Bucket=name)
for driver in ("Torchrun", "MPI"):
    trainer = ModelTrainer(
        training_image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5-cpu-py311",
        source_code=SourceCode(source_dir="source", entry_script="train.py"),
        distributed=getattr(distributed, driver)(process_count_per_node=2),
        compute=Compute(instance_type="ml.m5.large", instance_count=2, volume_size_in_gb=5),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{name}/out"),
        environment={"PATH": f"{sys.argv[1]}:{sys.argv[2]}", "PYTHONPATH": sys.argv[1]},
        base_job_name=f"{name}-{driver.lower()}",
        role=role,
        hyperparameters={"epochs": 3},
    )
    trainer.train(wait=False)
    print("started", trainer._latest_training_job.training_job_name)
"""


@pytest.mark.e2e
def test_torchrun_on_two_hosts_and_what_mpi_lacks_there(cloud: Any, tmp_path: Path) -> None:
    files = {"source/train.py": TRAIN, "fake/torchrun": TORCHRUN, "fake/torch.py": "__version__ = '2.5.0'\n"}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "fake"), programs]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    started = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("started ")]
    jobs = Jobs(cloud)
    torchrun, mpi = (jobs.wait(name) for name in started)
    assert torchrun["TrainingJobStatus"] == "Completed", torchrun.get("FailureReason")
    files_made = jobs.unpacked(torchrun["ModelArtifacts"]["S3ModelArtifacts"])
    assert files_made == {"ranks": b"[0, 1, 2, 3] 3 algo-1"}
    assert mpi["TrainingJobStatus"] == "Failed"
    assert mpi["FailureReason"].startswith("ClientError: the SDK's MPI driver connects its instances by SSH")


def test_what_a_driver_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Workspace:
        def channel(self, name: str) -> Path:
            return tmp_path / name

    class OneHost:
        hosts = (SimpleNamespace(workspace=Workspace()),)

    def asked(driver: str | None) -> str | None:
        (tmp_path / "sm_drivers").mkdir(exist_ok=True)
        (tmp_path / "sm_drivers" / "sm_train.sh").write_text(f"python drivers/{driver}\n" if driver else "")
        return drivers.why_not(OneHost(), {"PATH": str(tmp_path)})  # type: ignore[arg-type]

    monkeypatch.setattr(drivers, "SSHD", tmp_path / "sshd")
    assert asked(None) is None and asked("basic_script_driver.py") is None
    assert "needs torchrun," in str(asked("torchrun_driver.py"))
    assert f"needs mpirun and {tmp_path / 'sshd'}," in str(asked("mpi_driver.py"))
    for name in ("mpirun", "sshd"):
        (tmp_path / name).touch(0o755)
    assert asked("mpi_driver.py") is None
