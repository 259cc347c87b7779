"""Model package groups: the versions of one model in the registry."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.errors import ApiError, NotSettled
from mlplat.resources.base import Observed, Resource
from mlplat.resources.policy import Document, canonical
from mlplat.resources.sagemaker import Description, claim, settled, tags_of

SETTLES_WITHIN = 600.0
"""Groups are made and deleted in the background, in seconds as a rule."""


@dataclass(frozen=True, kw_only=True)
class ModelPackageGroup(Resource):
    """A group that model versions are registered in.

    There is no UpdateModelPackageGroup: a description is given once. Deleting a group that holds versions is
    refused (ConflictException), and deletion is asynchronous: a new group of that name must wait for it.
    Other accounts see it by its resource policy (developer guide, "Deploy a Model Version from a Different Account").
    """

    kind: ClassVar[str] = "model_package_group"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})
    create_only: ClassVar[frozenset[str]] = frozenset({"description"})
    keeps_data: ClassVar[bool] = True

    description: str = ""
    policy: Document = field(default_factory=dict)
    """Its resource policy; an empty one is none, and what has one loses it: access isn't left behind."""

    def desired(self) -> dict[str, Any]:
        """The fields, with the policy in the form that `describe` gives it."""
        return {**super().desired(), "policy": canonical(self.policy) if self.policy else {}}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The group, once it is neither being made nor being deleted."""
        answer = self._settled(aws, id or self.name)
        if answer is None:
            return None
        name, arn = answer["ModelPackageGroupName"], answer["ModelPackageGroupArn"]
        status = answer["ModelPackageGroupStatus"]
        return Observed(
            id=name,
            fields={"name": name, "policy": _policy(aws, name)},
            outputs={"name": name, "arn": arn},
            tags=tags_of(aws, arn),
            failed=None if status == "Completed" else f"the group is {status}",
        )

    def create(self, aws: Session) -> str:
        """Make it and wait until versions can be registered in it."""
        about = {"ModelPackageGroupDescription": self.description} if self.description else {}
        aws.client("sagemaker").create_model_package_group(
            ModelPackageGroupName=self.name, Tags=tag_list(aws.tags), **about
        )
        answer = self._settled(aws, self.name, made=True)
        if answer is None or answer["ModelPackageGroupStatus"] != "Completed":
            status = answer["ModelPackageGroupStatus"] if answer else "gone"
            raise NotSettled(f"creating model_package_group {self.name}: it is {status}", hint="mlplat apply")
        if self.policy:
            self._put_policy(aws)
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Only tags and the policy can change."""
        if "tags" in changed:
            claim(aws, seen)
        if "policy" in changed and self.policy:
            self._put_policy(aws)
        elif "policy" in changed:
            with aws.gone_is_fine():
                aws.client("sagemaker").delete_model_package_group_policy(ModelPackageGroupName=self.name)

    def delete(self, aws: Session, id: str) -> None:
        """Delete the group and wait until its name is free."""
        with aws.gone_is_fine():
            self._delete(aws, id)
        answer = self._settled(aws, id)
        if answer is not None:
            raise NotSettled(f"deleting model_package_group {id}: it is {answer['ModelPackageGroupStatus']}")

    def data(self, aws: Session, id: str) -> str | None:
        """Its versions: with them goes the record of what was trained, measured and approved."""
        count = len(self._versions(aws, id))
        return f"{count} model version{'' if count == 1 else 's'}" if count else None

    def empty(self, aws: Session, id: str) -> None:
        """Delete every version; endpoints that serve one go on, the artifacts in S3 stay."""
        for arn in self._versions(aws, id):
            with aws.gone_is_fine():
                aws.client("sagemaker").delete_model_package(ModelPackageName=arn)
        aws.wait(f"the versions of {id} to go", lambda: self._versions(aws, id), lambda left: not left, within=120.0)

    def _put_policy(self, aws: Session) -> None:
        text = json.dumps(self.policy)
        aws.client("sagemaker").put_model_package_group_policy(ModelPackageGroupName=self.name, ResourcePolicy=text)

    def _delete(self, aws: Session, id: str) -> None:
        call = aws.client("sagemaker").delete_model_package_group
        try:
            call(ModelPackageGroupName=id)
        except ApiError as error:
            if error.code != "ConflictException" or self._versions(aws, id):
                raise
            aws.patiently(lambda: call(ModelPackageGroupName=id))

    def _versions(self, aws: Session, id: str) -> list[str]:
        packages = aws.client("sagemaker").pages(
            "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=id
        )
        return [each["ModelPackageArn"] for each in packages]

    def _settled(self, aws: Session, name: str, *, made: bool = False) -> Description | None:
        client = aws.client("sagemaker")
        return settled(
            aws,
            f"model package group {name}",
            lambda: client.describe_model_package_group(ModelPackageGroupName=name),
            _moving,
            within=SETTLES_WITHIN,
            made=made,
        )


def _policy(aws: Session, name: str) -> dict[str, Any]:
    found = aws.find(lambda: aws.client("sagemaker").get_model_package_group_policy(ModelPackageGroupName=name))
    return {} if found is None else canonical(json.loads(found["ResourcePolicy"]))


def _moving(answer: Description) -> Collection[str]:
    status = answer["ModelPackageGroupStatus"]
    return {status} & {"Pending", "InProgress", "Deleting"}
