from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError


def policy(account: str, service: str = "logs.us-east-1.amazonaws.com") -> str:
    condition = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:us-east-1:{account}:log-group:*"}}
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
    logs = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["kms:GenerateDataKey*", "kms:Decrypt"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [root, {**logs, "Resource": "*", "Condition": condition}]})


def test_a_log_group_gets_a_key_and_loses_it(cloud: Any) -> None:
    logs, name = cloud.client("logs"), f"/keys/{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=name)
    key = cloud.client("kms").create_key(Policy=policy(cloud.account))["KeyMetadata"]["Arn"]
    logs.associate_kms_key(logGroupName=name, kmsKeyId=key)
    [group] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert group["kmsKeyId"] == key
    logs.disassociate_kms_key(resourceIdentifier=group["logGroupArn"])
    [group] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert "kmsKeyId" not in group


def test_a_key_that_is_not_there_is_refused(cloud: Any) -> None:
    logs, name = cloud.client("logs"), f"/keys/{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=name)
    absent = f"arn:aws:kms:us-east-1:{cloud.account}:key/{uuid.uuid4()}"
    with pytest.raises(ClientError, match="does not exist or is not allowed to be used with Arn"):
        logs.associate_kms_key(logGroupName=name, kmsKeyId=absent)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.associate_kms_key(logGroupName=f"{name}-absent", kmsKeyId=absent)


def test_a_key_that_lets_logs_not_in_is_refused(cloud: Any) -> None:
    logs, name = cloud.client("logs"), f"/keys/{uuid.uuid4().hex[:8]}"
    for document in (policy(cloud.account, "logs.eu-west-1.amazonaws.com"), None):
        key = cloud.client("kms").create_key(**({"Policy": document} if document else {}))["KeyMetadata"]["Arn"]
        with pytest.raises(ClientError, match="is not allowed to be used with Arn"):
            logs.create_log_group(logGroupName=name, kmsKeyId=key)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
