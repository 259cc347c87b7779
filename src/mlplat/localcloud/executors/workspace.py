"""The folders and the environment of one job: what the container of SageMaker would see."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlplat.localcloud.cloud import Cloud

OPT_ML = "/opt/ml"

INHERITED = frozenset(
    {
        "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY",
        "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CUDA_VISIBLE_DEVICES",
    }
)  # fmt: skip
"""What a job sees of the daemon's environment, besides PATH and pip's settings. Never the user's AWS credentials."""


class Workspace:
    """The private folder of a job: `ml` becomes its /opt/ml; home, temporary files and packages stand beside it."""

    def __init__(self, cloud: Cloud, job: str) -> None:
        self._cloud = cloud
        self.root = cloud.folder / "jobs" / cloud.region / job
        self.ml = self.root / "ml"

    def make(self) -> None:
        """Make the folders, empty."""
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("ml/input/config", "ml/input/data", "ml/model", "ml/output/data", "ml/code", "home", "tmp"):
            (self.root / name).mkdir(parents=True)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def channel(self, name: str) -> Path:
        """The folder of a channel."""
        return self.ml / "input" / "data" / name

    def failure(self) -> str:
        """What the container said about its failure, or nothing."""
        try:
            return (self.ml / "output" / "failure").read_text(errors="replace").strip()
        except OSError:
            return ""

    def configure(self, job: Mapping[str, Any], hosts: Sequence[str], host: str) -> None:
        """Write the three files of `input/config` for one host of the job."""
        for name, value in (
            ("resourceconfig", resources(job, hosts, host)),
            ("inputdataconfig", inputs(job)),
            ("hyperparameters", dict(job.get("HyperParameters", {}))),
        ):
            (self.ml / "input" / "config" / f"{name}.json").write_text(json.dumps(value))

    def name_real_paths(self) -> None:
        """Where a job can't have an /opt/ml of its own, the SDK's driver scripts name the real folder instead."""
        for script in self.channel("sm_drivers").rglob("*"):
            if script.suffix in (".sh", ".py", ".json"):
                script.write_text(script.read_text().replace(OPT_ML, str(self.ml)))

    def environment(self, job: Mapping[str, Any]) -> dict[str, str]:
        """The complete environment of the job's container: nothing of the user's account, the local cloud's own."""
        kept = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith(("LC_", "PIP_"))}
        programs = self._programs()
        packages = str(self.root / "packages")
        own = {
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "XDG_CACHE_HOME": str(self._cloud.folder / "cache"),  # matplotlib's font list and such, made once
            "PIP_TARGET": packages,  # what a job installs is the job's alone
            "PYTHONPATH": packages,
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "UTF-8",
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"])),
            "TRAINING_JOB_NAME": job["TrainingJobName"],
            "TRAINING_JOB_ARN": job["TrainingJobArn"],
        }
        access = self._cloud.environment()
        if job.get("EnableNetworkIsolation"):  # SageMaker gives such a container no credentials
            access = {k: v for k, v in access.items() if k in ("AWS_REGION", "AWS_DEFAULT_REGION")}
        return kept | own | access | dict(job.get("Environment", {}))

    def _programs(self) -> Path:
        """python3 and pip3 as the containers have them on PATH: this Python, with what is installed in it."""
        folder = self._cloud.folder / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        for name, command in (("python", ""), ("python3", ""), ("pip", "-m pip"), ("pip3", "-m pip")):
            text = f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n'
            program = folder / name
            if not program.exists() or program.read_text() != text:
                fresh = self.root / name  # renamed into place: another job may be running the old one
                fresh.write_text(text)
                fresh.chmod(0o755)
                fresh.replace(program)
        return folder


def resources(job: Mapping[str, Any], hosts: Sequence[str], host: str) -> dict[str, Any]:
    """resourceconfig.json, in the names that the toolkits and the SDK's drivers read."""
    kind = job["ResourceConfig"].get("InstanceType", "")
    group = {"instance_group_name": "homogeneousCluster", "instance_type": kind, "hosts": list(hosts)}
    return {
        "current_host": host,
        "current_instance_type": kind,
        "current_group_name": "homogeneousCluster",
        "hosts": list(hosts),
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }


def inputs(job: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """inputdataconfig.json: what a container is told of each channel."""
    mode = job["AlgorithmSpecification"]["TrainingInputMode"]
    told = {}
    for channel in job.get("InputDataConfig", ()):
        source = channel["DataSource"].get("S3DataSource", {})
        told[channel["ChannelName"]] = {
            "TrainingInputMode": channel.get("InputMode", mode),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        if "ContentType" in channel:
            told[channel["ChannelName"]]["ContentType"] = channel["ContentType"]
    return told
