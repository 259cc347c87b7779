"""What a training container is told: the files of /opt/ml/input/config, and the variables of its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlplat.localcloud.executors.cluster import LOOPBACK

FOLDERS = ("input/config", "input/data", "model", "output/data", "code")
"""Folders under /opt/ml that are there when the container starts."""


def files(job: Mapping[str, Any], hosts: Sequence[str], host: str) -> dict[str, dict[str, Any]]:
    """The three files of /opt/ml/input/config for one host of the job."""
    return {
        "resourceconfig": resources(job, hosts, host),
        "inputdataconfig": inputs(job),
        "hyperparameters": dict(job.get("HyperParameters", {})),
    }


def variables(job: Mapping[str, Any]) -> dict[str, str]:
    """What the environment says of the job."""
    return {"TRAINING_JOB_NAME": job["TrainingJobName"], "TRAINING_JOB_ARN": job["TrainingJobArn"]}


def groups(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """InstanceGroups of the request; a request without them has one."""
    resources = job["ResourceConfig"]
    only = {"InstanceGroupName": "homogeneousCluster", "InstanceType": resources.get("InstanceType", "")}
    return list(resources.get("InstanceGroups") or [{**only, "InstanceCount": resources.get("InstanceCount", 1)}])


def count(job: Mapping[str, Any]) -> int:
    """How many hosts the job has."""
    return sum(int(each["InstanceCount"]) for each in groups(job))


def receivers(job: Mapping[str, Any], channel: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """The hosts that a channel is for: all, or those of the instance groups that it names."""
    wanted = channel["DataSource"].get("S3DataSource", {}).get("InstanceGroupNames")
    told = resources(job, hosts, hosts[0])["instance_groups"]
    return [host for each in told if not wanted or each["instance_group_name"] in wanted for host in each["hosts"]]


def resources(job: Mapping[str, Any], hosts: Sequence[str], host: str) -> dict[str, Any]:
    """resourceconfig.json, in the names that the toolkits and the SDK's drivers read."""
    left, told = list(hosts), []
    for each in groups(job):
        mine, left = left[: each["InstanceCount"]], left[each["InstanceCount"] :]
        group = {"instance_group_name": each["InstanceGroupName"], "instance_type": each["InstanceType"], "hosts": mine}
        told.append(group)
    own = next(group for group in told if host in group["hosts"])
    return {
        "current_host": host,
        "current_instance_type": own["instance_type"],
        "current_group_name": own["instance_group_name"],
        "hosts": list(hosts),
        "instance_groups": told,
        "network_interface_name": LOOPBACK,  # eth0 on AWS; it is for connections among the hosts
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
