"""Notebook instances: their statuses in AWS's order, what is refused in each, and what Describe calls things."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud

from mlplat.localcloud import daemon


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def made_role(cloud: Any) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = cloud.client("iam").create_role(RoleName=unique("notebook"), AssumeRolePolicyDocument=document)
    return str(role["Role"]["Arn"])


def refusal(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def wait(sagemaker: Any, name: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while True:
        found: dict[str, Any] = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
        if found["NotebookInstanceStatus"] == status:
            return found
        assert time.monotonic() < deadline, found["NotebookInstanceStatus"]
        time.sleep(0.02)


def test_a_life_of_a_notebook_instance(cloud: Any) -> None:
    sagemaker, role, name = cloud.client("sagemaker"), made_role(cloud), unique("notebook")
    made = {"NotebookInstanceName": name, "InstanceType": "ml.t3.medium", "RoleArn": role}
    arn = sagemaker.create_notebook_instance(**made, SecurityGroupIds=["sg-1"], Tags=[{"Key": "a", "Value": "b"}])
    arn = arn["NotebookInstanceArn"]
    assert arn.endswith(f":notebook-instance/{name}")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    found = wait(sagemaker, name, "InService")
    assert (found["PlatformIdentifier"], found["VolumeSizeInGB"]) == ("notebook-al2023-v1", 5)
    assert found["SecurityGroups"] == ["sg-1"]
    said = refusal(sagemaker.create_notebook_instance, **made)
    assert said == ("ValidationException", f"Cannot create a duplicate Notebook Instance ({arn})")
    for call, target in (
        (sagemaker.delete_notebook_instance, "Deleting"),
        (sagemaker.start_notebook_instance, "Pending"),
        (sagemaker.update_notebook_instance, "Updating"),
    ):
        text = (
            f"Status (InService) not in ([Stopped, Failed]). Unable to transition to ({target}) for Notebook Instance"
        )
        assert refusal(call, NotebookInstanceName=name) == ("ValidationException", f"{text} ({arn}).")
    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    wait(sagemaker, name, "Stopped")
    assert refusal(sagemaker.stop_notebook_instance, NotebookInstanceName=name)[0] == "ValidationException"
    sagemaker.update_notebook_instance(NotebookInstanceName=name, VolumeSizeInGB=20, InstanceType="ml.t3.large")
    found = wait(sagemaker, name, "Stopped")
    assert (found["VolumeSizeInGB"], found["InstanceType"]) == (20, "ml.t3.large")
    smaller = {"NotebookInstanceName": name, "VolumeSizeInGB": 10}
    assert refusal(sagemaker.update_notebook_instance, **smaller)[0] == "ValidationException"
    listed = sagemaker.list_notebook_instances(NameContains=name, StatusEquals="Stopped")["NotebookInstances"]
    assert [each["NotebookInstanceName"] for each in listed] == [name]
    sagemaker.start_notebook_instance(NotebookInstanceName=name)
    wait(sagemaker, name, "InService")
    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    wait(sagemaker, name, "Stopped")
    sagemaker.delete_notebook_instance(NotebookInstanceName=name)
    waiter = sagemaker.get_waiter("notebook_instance_deleted")
    waiter.wait(NotebookInstanceName=name, WaiterConfig={"Delay": 1})
    told = refusal(sagemaker.describe_notebook_instance, NotebookInstanceName=name)
    assert told == ("ValidationException", "RecordNotFound")


def test_what_it_refers_to_must_be_there(cloud: Any) -> None:
    sagemaker, role, name = cloud.client("sagemaker"), made_role(cloud), unique("notebook")
    made = {"NotebookInstanceName": name, "InstanceType": "ml.t3.medium"}
    create = sagemaker.create_notebook_instance
    assert "Could not assume role" in refusal(create, **made, RoleArn=f"{role}-absent")[1]
    assert refusal(create, **made, RoleArn=role, LifecycleConfigName="nobodys")[0] == "ValidationException"
    assert refusal(create, **made, RoleArn=role, DirectInternetAccess="Disabled")[0] == "ValidationException"
    config = unique("config")
    sagemaker.create_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=config)
    create(**made, RoleArn=role, LifecycleConfigName=config)
    wait(sagemaker, name, "InService")
    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    assert wait(sagemaker, name, "Stopped")["NotebookInstanceLifecycleConfigName"] == config
    sagemaker.update_notebook_instance(NotebookInstanceName=name, DisassociateLifecycleConfig=True)
    assert "NotebookInstanceLifecycleConfigName" not in wait(sagemaker, name, "Stopped")


def test_lifecycle_configurations_are_listed_and_changed(cloud: Any) -> None:
    sagemaker, names = cloud.client("sagemaker"), [unique("listed") for _ in range(3)]
    for name in names:
        sagemaker.create_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=name, OnStart=[{"Content": "ZWNobw=="}]
        )
    asked = {"NameContains": "listed-", "SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 2}
    pages = sagemaker.get_paginator("list_notebook_instance_lifecycle_configs").paginate(**asked)
    found = [
        each["NotebookInstanceLifecycleConfigName"] for p in pages for each in p["NotebookInstanceLifecycleConfigs"]
    ]
    assert found == sorted(names)
    changed = {"NotebookInstanceLifecycleConfigName": names[0]}
    sagemaker.update_notebook_instance_lifecycle_config(**changed, OnCreate=[{"Content": "bHM="}])
    told = sagemaker.describe_notebook_instance_lifecycle_config(**changed)
    assert (told["OnCreate"], told["OnStart"]) == ([{"Content": "bHM="}], [{"Content": "ZWNobw=="}])
    assert told["LastModifiedTime"] > told["CreationTime"]
    absent = {"NotebookInstanceLifecycleConfigName": "none"}
    assert refusal(sagemaker.update_notebook_instance_lifecycle_config, **absent)[0] == "ValidationException"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ".mlplat" / "local"
    yield folder
    daemon.stop(folder)


def test_it_goes_on_after_a_restart(folder: Path) -> None:
    slow = RunningCloud(daemon.start(folder, transition_delay=30.0))
    role, name = made_role(slow), unique("notebook")
    sagemaker = slow.client("sagemaker")
    sagemaker.create_notebook_instance(NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=role)
    found = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
    assert found["NotebookInstanceStatus"] == "Pending"
    daemon.stop(folder)
    quick = RunningCloud(daemon.start(folder, transition_delay=0.0))
    wait(quick.client("sagemaker"), name, "InService")
