"""The key of a namespace, deleted and wanted again within the window: the same one, and what it encrypted is read."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from tests.e2e.project import Project

pytestmark = pytest.mark.e2e

KEY = "ml_data_infrastructure.kms_key.platform"
SECRET = b"what the platform encrypted"


def test_an_apply_within_the_window_takes_the_same_key_back(project: Project) -> None:
    project.run("apply", "--target", KEY)
    id = project.json("outputs", KEY)[KEY]["id"]
    kms, s3 = project.client("kms"), project.client("s3")
    text = kms.encrypt(KeyId="alias/mlplat-development-platform", Plaintext=SECRET)["CiphertextBlob"]
    s3.create_bucket(Bucket="not-of-the-platform")
    mine = {"Bucket": "not-of-the-platform", "Key": "kept"}
    s3.put_object(**mine, Body=SECRET, ServerSideEncryption="aws:kms", SSEKMSKeyId=id)

    planned = project.run("plan", "--destroy", code=2).stdout
    assert "AWS keeps it for 7 days, until 2" in planned
    told = project.run("destroy", "--reverse").stderr
    assert f"{KEY}: AWS keeps it for 7 days, until 2" in told
    assert kms.describe_key(KeyId=id)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    with pytest.raises(ClientError, match="KMSInvalidStateException"):
        kms.decrypt(CiphertextBlob=text, KeyId=id)
    with pytest.raises(ClientError, match="is pending deletion"):
        s3.get_object(**mine)
    with pytest.raises(ClientError, match="NotFoundException"):
        kms.describe_key(KeyId="alias/mlplat-development-platform")

    project.run("apply", "--target", KEY)
    assert project.json("outputs", KEY)[KEY]["id"] == id
    seen = kms.describe_key(KeyId="alias/mlplat-development-platform")["KeyMetadata"]
    assert (seen["KeyId"], seen["KeyState"], "DeletionDate" in seen) == (id, "Enabled", False)
    assert kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"] is True
    assert kms.decrypt(CiphertextBlob=text, KeyId=id)["Plaintext"] == SECRET
    assert s3.get_object(**mine)["Body"].read() == SECRET
    keys = [each["KeyId"] for each in kms.list_keys()["Keys"]]
    states = [kms.describe_key(KeyId=each)["KeyMetadata"] for each in keys]
    assert [each["KeyId"] for each in states if each["KeyManager"] == "CUSTOMER"] == [id]
    assert "nothing to change" in project.run("plan", "--target", KEY).stdout
    project.run("destroy", "--reverse")
