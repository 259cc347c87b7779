"""What AWS refuses is refused, in AWS's words: S3, KMS, IAM, CloudWatch Logs. EC2 has a file of its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def refusal(call: Callable[..., Any], **params: Any) -> tuple[int, str, str]:
    """HTTP status, code and message."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.fixture
def s3(cloud: Any) -> Any:
    return cloud.client("s3")


@pytest.fixture
def kms(cloud: Any) -> Any:
    return cloud.client("kms")


@pytest.fixture
def iam(cloud: Any) -> Any:
    return cloud.client("iam")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = unique("strict")
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def key(kms: Any) -> dict[str, Any]:
    return dict(kms.create_key()["KeyMetadata"])


class TestS3:
    def test_a_new_bucket_is_encrypted_private_and_the_owners(self, s3: Any, bucket: str) -> None:
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert rule["BucketKeyEnabled"] is False
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
        assert len(blocked) == 4
        rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert s3.put_object(Bucket=bucket, Key="k", Body=b"")["ServerSideEncryption"] == "AES256"

    def test_what_is_deleted_of_it_is_missed_but_encryption_comes_back(self, s3: Any, bucket: str) -> None:
        s3.delete_public_access_block(Bucket=bucket)
        said = refusal(s3.get_public_access_block, Bucket=bucket)
        assert said[1:] == (
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        )
        s3.delete_bucket_ownership_controls(Bucket=bucket)
        said = refusal(s3.get_bucket_ownership_controls, Bucket=bucket)
        assert said == (404, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
        s3.create_bucket(Bucket=bucket)  # one's own again: 200 in us-east-1, and nothing is put back
        assert refusal(s3.get_bucket_ownership_controls, Bucket=bucket)[0] == 404
        s3.delete_bucket_encryption(Bucket=bucket)
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"

    @pytest.mark.parametrize(
        ("policy", "message"),
        [
            ("no json", "Policies must be valid JSON and the first byte must be '{'"),
            ("{", "Policies must be valid JSON and the first byte must be '{'"),
            ("[]", "Policies must be valid JSON and the first byte must be '{'"),
            ("{}", "Missing required field Statement"),
        ],
    )
    def test_a_policy_is_json_with_a_statement(self, s3: Any, bucket: str, policy: str, message: str) -> None:
        assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy=policy) == (400, "MalformedPolicy", message)

    def test_a_bucket_with_objects_or_only_versions_stays(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=b"")
        message = "The bucket you tried to delete is not empty"
        assert refusal(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty", message)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.delete_object(Bucket=bucket, Key="k")
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
        assert "You must delete all versions in the bucket." in refusal(s3.delete_bucket, Bucket=bucket)[2]
        versions = s3.list_object_versions(Bucket=bucket)
        for each in versions.get("Versions", []) + versions.get("DeleteMarkers", []):
            s3.delete_object(Bucket=bucket, Key="k", VersionId=each["VersionId"])
        s3.delete_bucket(Bucket=bucket)

    def test_a_key_is_looked_at_when_it_is_used(self, s3: Any, kms: Any, bucket: str, key: dict[str, Any]) -> None:
        absent = f"arn:aws:kms:us-east-1:123456789012:key/{uuid.uuid4()}"
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": absent}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        said = refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"")
        assert said == (400, "KMS.NotFoundException", f"Key '{absent}' does not exist")
        given = {"Bucket": bucket, "Key": "k", "Body": b"", "ServerSideEncryption": "aws:kms"}
        assert refusal(s3.put_object, **given, SSEKMSKeyId="no-uuid")[2] == "Invalid keyId 'no-uuid'"
        s3.put_object(**given, SSEKMSKeyId=key["KeyId"])
        kms.disable_key(KeyId=key["KeyId"])
        said = refusal(s3.put_object, **given, SSEKMSKeyId=key["Arn"])
        assert said == (400, "KMS.DisabledException", f"{key['Arn']} is disabled.")
        assert refusal(s3.get_object, Bucket=bucket, Key="k") == said
        kms.enable_key(KeyId=key["KeyId"])
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b""
        kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
        said = refusal(
            s3.copy_object,
            Bucket=bucket,
            Key="c",
            CopySource=f"{bucket}/k",
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=key["Arn"],
        )
        assert said == (400, "KMS.KMSInvalidStateException", f"{key['Arn']} is pending deletion.")

    def test_sub_resources_that_moto_does_not_know_are_not_the_bucket(self, s3: Any, bucket: str) -> None:
        assert refusal(s3.delete_bucket_metrics_configuration, Bucket=bucket, Id="i")[1] == "UnknownOperationException"
        s3.head_bucket(Bucket=bucket)  # moto would have deleted it


class TestKms:
    @pytest.mark.parametrize("days", [1, 6, 31])
    def test_the_window_is_7_to_30_days(self, kms: Any, key: dict[str, Any], days: int) -> None:
        said = refusal(kms.schedule_key_deletion, KeyId=key["KeyId"], PendingWindowInDays=days)
        assert said[:2] == (400, "ValidationException")
        assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"

    def test_a_dying_key_answers_questions_and_nothing_else(self, kms: Any, key: dict[str, Any]) -> None:
        dying, alias = {"KeyId": key["KeyId"]}, f"alias/{unique('dying')}"
        said = refusal(kms.cancel_key_deletion, **dying)
        assert said == (400, "KMSInvalidStateException", f"{key['Arn']} is not pending deletion.")
        kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
        other = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.schedule_key_deletion(**dying)
        refused = (400, "KMSInvalidStateException", f"{key['Arn']} is pending deletion.")
        tag = [{"TagKey": "a", "TagValue": "b"}]
        assert refusal(kms.schedule_key_deletion, **dying) == refused
        assert refusal(kms.create_alias, AliasName=f"{alias}-2", TargetKeyId=key["KeyId"]) == refused
        assert refusal(kms.tag_resource, **dying, Tags=tag) == refused
        assert refusal(kms.enable_key, **dying) == refused
        assert refusal(kms.enable_key_rotation, KeyId=key["Arn"]) == refused
        assert refusal(kms.encrypt, KeyId=alias, Plaintext=b"x") == refused
        assert kms.describe_key(**dying)["KeyMetadata"]["KeyState"] == "PendingDeletion"
        kms.get_key_policy(**dying, PolicyName="default")
        kms.update_alias(AliasName=alias, TargetKeyId=other)  # away from it succeeds
        assert refusal(kms.update_alias, AliasName=alias, TargetKeyId=key["KeyId"]) == refused  # onto it doesn't
        kms.cancel_key_deletion(**dying)
        assert refusal(kms.encrypt, **dying, Plaintext=b"x") == (400, "DisabledException", f"{key['Arn']} is disabled.")
        kms.enable_key(**dying)
        assert kms.encrypt(**dying, Plaintext=b"x")["CiphertextBlob"]

    def test_a_policy_that_locks_everybody_out_is_refused(self, kms: Any, key: dict[str, Any]) -> None:
        root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Resource": "*"}

        def document(**statement: Any) -> str:
            return json.dumps({"Version": "2012-10-17", "Statement": [{**root, **statement}]})

        put = {"KeyId": key["KeyId"], "PolicyName": "default"}
        message = "The new key policy will not allow you to update the key policy in the future."
        for locked in (
            document(Action="kms:Encrypt"),
            document(Principal={"Service": "logs.amazonaws.com"}, Action="*"),
        ):
            said = refusal(kms.put_key_policy, **put, Policy=locked)
            assert said == (400, "MalformedPolicyDocumentException", message)
        kms.put_key_policy(**put, Policy=document(Action=["kms:Put*", "kms:Get*"]))
        kms.put_key_policy(**put, Policy=document(Action="kms:Encrypt"), BypassPolicyLockoutSafetyCheck=True)

    def test_an_alias_has_its_prefix_and_is_taken_once(self, kms: Any, key: dict[str, Any]) -> None:
        said = refusal(kms.create_alias, AliasName="no-prefix", TargetKeyId=key["KeyId"])
        assert said[1:] == ("ValidationException", said[2])
        assert said[2].startswith('Alias must start with the prefix "alias/".')
        name = f"alias/{unique('taken')}"
        kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
        arn = f"arn:aws:kms:us-east-1:123456789012:{name}"
        taken = (400, "AlreadyExistsException", f"An alias with the name {arn} already exists")
        assert refusal(kms.create_alias, AliasName=name, TargetKeyId=key["KeyId"]) == taken


class TestIam:
    @pytest.fixture
    def role(self, iam: Any) -> dict[str, str]:
        trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        return dict(iam.create_role(RoleName=unique("role"), AssumeRolePolicyDocument=document)["Role"])

    def test_what_is_attached_or_has_policies_stays(self, iam: Any, role: dict[str, str]) -> None:
        name, policy = role["RoleName"], unique("policy")
        document = allow("s3:Get*", "arn:aws:s3:::data/*")
        arn = iam.create_policy(PolicyName=policy, PolicyDocument=document)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        said = refusal(iam.delete_policy, PolicyArn=arn)
        assert said == (409, "DeleteConflict", "Cannot delete a policy attached to entities.")
        said = refusal(iam.delete_role, RoleName=name)
        assert said == (409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
        iam.delete_policy(PolicyArn=arn)
        iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=document)
        said = refusal(iam.delete_role, RoleName=name)
        assert said == (409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
        iam.delete_role_policy(RoleName=name, PolicyName="inline")
        iam.delete_role(RoleName=name)

    def test_aws_own_policies_are_there(self, iam: Any, role: dict[str, str]) -> None:
        managed = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
        iam.attach_role_policy(RoleName=role["RoleName"], PolicyArn=managed)
        decisions = simulate(iam, role["Arn"], ["sagemaker:CreateTrainingJob", "iam:CreateUser"])
        assert decisions == {"sagemaker:CreateTrainingJob": "allowed", "iam:CreateUser": "implicitDeny"}

    def test_simulation_answers_from_the_policies_of_the_role(self, iam: Any, role: dict[str, str]) -> None:
        name, asked = role["RoleName"], ["s3:GetObject", "s3:PutObject"]
        assert set(simulate(iam, role["Arn"], asked).values()) == {"implicitDeny"}
        iam.put_role_policy(RoleName=name, PolicyName="a", PolicyDocument=allow("s3:*", "arn:aws:s3:::data/*"))
        assert set(simulate(iam, role["Arn"], asked).values()) == {"implicitDeny"}  # not on "*"
        mine = {"ResourceArns": ["arn:aws:s3:::data/a/b"]}
        assert set(simulate(iam, role["Arn"], asked, **mine).values()) == {"allowed"}
        deny = allow("s3:Put*", "*").replace("Allow", "Deny")
        arn = iam.create_policy(PolicyName=unique("deny"), PolicyDocument=deny)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        assert simulate(iam, role["Arn"], asked, **mine) == {"s3:GetObject": "allowed", "s3:PutObject": "explicitDeny"}

    def test_simulation_heeds_conditions_and_tells_what_it_missed(self, iam: Any, role: dict[str, str]) -> None:
        condition = {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*"]}}
        document = allow("cloudwatch:PutMetricData", "*", Condition=condition)
        iam.put_role_policy(RoleName=role["RoleName"], PolicyName="a", PolicyDocument=document)
        asked = {"PolicySourceArn": role["Arn"], "ActionNames": ["cloudwatch:PutMetricData"]}
        (result,) = iam.simulate_principal_policy(**asked)["EvaluationResults"]
        assert (result["EvalDecision"], result["MissingContextValues"]) == ("implicitDeny", ["cloudwatch:namespace"])
        entry = {"ContextKeyName": "cloudwatch:namespace", "ContextKeyType": "string"}
        for value, decision in (("/aws/sagemaker/x", "allowed"), ("other", "implicitDeny")):
            entries = [{**entry, "ContextKeyValues": [value]}]
            (result,) = iam.simulate_principal_policy(**asked, ContextEntries=entries)["EvaluationResults"]
            assert result["EvalDecision"] == decision

    def test_simulating_nobody_is_an_error(self, iam: Any) -> None:
        arn = "arn:aws:iam::123456789012:role/nobody"
        said = refusal(iam.simulate_principal_policy, PolicySourceArn=arn, ActionNames=["s3:GetObject"])
        assert said == (404, "NoSuchEntity", "The role with name nobody cannot be found.")


def test_retention_comes_in_steps(cloud: Any) -> None:
    logs, name = cloud.client("logs"), unique("/retention")
    logs.create_log_group(logGroupName=name)
    said = refusal(logs.put_retention_policy, logGroupName=name, retentionInDays=2)
    assert said[:2] == (400, "InvalidParameterException")
    logs.put_retention_policy(logGroupName=name, retentionInDays=2192)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]["retentionInDays"] == 2192


def allow(action: str, resource: str, **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def simulate(iam: Any, role: str, actions: list[str], **more: Any) -> dict[str, str]:
    pages = iam.get_paginator("simulate_principal_policy").paginate(PolicySourceArn=role, ActionNames=actions, **more)
    return {each["EvalActionName"]: each["EvalDecision"] for page in pages for each in page["EvaluationResults"]}
