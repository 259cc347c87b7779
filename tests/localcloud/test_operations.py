"""The page that says what every operation does says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlplat.localcloud import operations
from mlplat.localcloud.operations import RECORDED, REFUSED, kinds

PAGE = Path(__file__).parents[2] / "docs" / "local-cloud.md"


def test_the_page_says_what_the_code_says() -> None:
    text = PAGE.read_text()
    assert operations.written(text) == text, "run `make docs`"


def test_the_page_names_files_that_are_there() -> None:
    names = re.findall(r"`((?:src|tests)/[\w/.]+)`", PAGE.read_text())
    assert len(names) > 10
    assert [name for name in names if not (PAGE.parents[1] / name).exists()] == []


@pytest.mark.parametrize(
    ("service", "operation", "kind"),
    [
        ("sagemaker", "CreateTrainingJob", operations.REAL),
        ("sagemaker", "CreateMlflowApp", REFUSED),
        ("sagemaker", "StartNotebookInstance", RECORDED),
        ("s3", "PutObject", operations.REAL),
        ("s3", "PutBucketLifecycleConfiguration", RECORDED),
        ("ec2", "CreateNatGateway", RECORDED),
        ("ec2", "ModifyInstanceAttribute", RECORDED),
        ("ec2", "MonitorInstances", REFUSED),
        ("sagemaker-featurestore-runtime", "PutRecord", operations.REAL),
    ],
)
def test_operations_are_told_apart(service: str, operation: str, kind: str) -> None:
    assert kinds(service)[operation] == kind


@pytest.mark.parametrize("operation", [name for name, kind in kinds("s3").items() if kind == REFUSED])
def test_what_s3_refuses_is_not_mistaken_for_something_else(cloud: Any, operation: str) -> None:
    s3 = cloud.client("s3", parameter_validation=False, inject_host_prefix=False)
    shape = s3.meta.service_model.operation_model(operation).input_shape
    asked = {
        "Bucket": "nobodys",
        "Key": "k",
        "Id": "i",
        "RequestRoute": "r",
        "RequestToken": "t",
        "AnnotationName": "a",
        "RenameSource": "b/k",
    }
    with pytest.raises(ClientError) as caught:
        s3._make_api_call(operation, {name: value for name, value in asked.items() if name in shape.members})
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


@pytest.mark.parametrize("service", operations.SERVICES)
def test_what_is_not_behind_an_operation_is_said(cloud: Any, service: str) -> None:
    """Of each service one that is refused, if there is any, which is asked for without a body."""
    client = cloud.client(service, parameter_validation=False, inject_host_prefix=False)
    lists = [name for name, kind in kinds(service).items() if kind == REFUSED and name.startswith(("List", "Describe"))]
    bare = [name for name in lists if not _required(client, name)]
    for name in bare[:3]:
        with pytest.raises(ClientError) as caught:
            client._make_api_call(name, {})
        assert caught.value.response["Error"]["Code"] == "UnknownOperationException", name


def _required(client: Any, operation: str) -> list[str]:
    shape = client.meta.service_model.operation_model(operation).input_shape
    return list(shape.required_members) if shape is not None else []
