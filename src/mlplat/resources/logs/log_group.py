"""Log groups of CloudWatch Logs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Observed, Ref, Resource


@dataclass(frozen=True, kw_only=True)
class LogGroup(Resource):
    """A log group with retention and key.

    What AWS makes special, by the CloudWatch Logs user guide and terraform-provider-aws #44676, #14750:

    - SageMaker, Lambda and API Gateway make their groups themselves when a log line comes first: without retention,
      key or tags. Such a group, tagged by nobody, is taken over.
    - The key's policy must let `logs.<region>.amazonaws.com` in, and KMS takes a while to spread a policy:
      AccessDeniedException `The specified KMS key does not exist or is not allowed to be used`. Keys go by ARN.
    - A new key encrypts only what is ingested from then on.
    - A late flush can make a deleted group again, so delete looks again.
    - Only certain numbers of days are allowed for retention; the ARN ends in `:*` except for tags.
    """

    kind: ClassVar[str] = "log_group"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})
    create_first: ClassVar[bool] = True
    adopts_untagged: ClassVar[bool] = True

    retention_days: int | None = None
    kms_key: str | Ref | None = None

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The group by its name, which is its id."""
        if id not in (None, self.name):
            return replace(self, name=id).describe(aws)  # the object of a former name
        group = _find(aws, self.name)
        if group is None:
            return None
        arn = _plain_arn(group)
        fields = {
            "name": self.name,
            "retention_days": group.get("retentionInDays"),
            "kms_key": group.get("kmsKeyId"),
        }
        return Observed(id=self.name, fields=fields, outputs={"arn": arn, "name": self.name}, tags=_tags(aws, arn))

    def create(self, aws: Session) -> str:
        """CreateLogGroup with tags and key, then its retention."""
        request: dict[str, Any] = {"logGroupName": self.name, "tags": aws.tags}
        if self.kms_key:
            request["kmsKeyId"] = self.kms_key
        aws.client("logs").create_log_group(**request)
        aws.patiently(lambda: self._put_retention(aws))
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Tags, retention and key, each by its own call."""
        logs = aws.client("logs")
        if "tags" in changed:
            arn = seen.outputs["arn"]
            logs.tag_resource(resourceArn=arn, tags=aws.tags)
            if outdated := list(aws.outdated(seen.tags)):
                logs.untag_resource(resourceArn=arn, tagKeys=outdated)
        if "retention_days" in changed:
            self._put_retention(aws)
        if "kms_key" in changed:
            logs.associate_kms_key(logGroupName=self.name, kmsKeyId=self.kms_key)

    def delete(self, aws: Session, id: str) -> None:
        """Delete until a look finds nothing."""

        def is_gone() -> bool:
            if _find(aws, id) is None:
                return True
            with aws.gone_is_fine():
                aws.client("logs").delete_log_group(logGroupName=id)
            return False

        aws.wait(f"the end of log group {id}", is_gone, bool, within=120)

    def _put_retention(self, aws: Session) -> None:
        if self.retention_days:
            aws.client("logs").put_retention_policy(logGroupName=self.name, retentionInDays=self.retention_days)


def _find(aws: Session, name: str) -> dict[str, Any] | None:
    groups = aws.client("logs").pages("describe_log_groups", "logGroups", logGroupNamePrefix=name)
    return next((each for each in groups if each["logGroupName"] == name), None)


def _tags(aws: Session, arn: str) -> dict[str, str]:
    return dict(aws.find(lambda: aws.client("logs").list_tags_for_resource(resourceArn=arn)["tags"]) or {})


def _plain_arn(group: dict[str, Any]) -> str:
    """Without the trailing `:*`: what tags, roles and other services take."""
    return str(group.get("logGroupArn") or group["arn"].removesuffix(":*"))
