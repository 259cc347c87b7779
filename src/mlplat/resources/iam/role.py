"""IAM roles with their inline policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list, tag_map
from mlplat.resources.base import Observed, Resource
from mlplat.resources.policy import Document, canonical, canonical_each


@dataclass(frozen=True, kw_only=True)
class Role(Resource):
    """A role: who may assume it (`trust`) and what it may do (`policies`, inline, by name).

    What AWS makes special, by terraform-provider-aws `internal/service/iam/role.go` and the IAM API reference:

    - IAM is eventually consistent: for seconds after CreateRole its ARN may read as a unique id (AROA...), and other
      endpoints answer NoSuchEntity. Users of a fresh role are refused and wait (`aws.retryable`).
    - A trust policy that names a principal made just now is refused (MalformedPolicyDocument, `Invalid principal`).
    - DeleteRole is refused (DeleteConflict) while instance profiles, attached or inline policies remain.
    - Inline policies that aren't declared are removed: they would widen what the role may do.
    - All inline policies together may have 10,240 characters, white space not counted.
    """

    kind: ClassVar[str] = "role"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})
    create_first: ClassVar[bool] = True

    trust: Document
    policies: Mapping[str, Document] = field(default_factory=dict)
    description: str = ""

    def desired(self) -> dict[str, Any]:
        """The fields, with documents in the form that `describe` gives them."""
        plain = {"trust": canonical(self.trust), "policies": canonical_each(self.policies)}
        return {**super().desired(), **plain}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The role `self.name` with its inline policies; roles are found by name alone."""
        if id not in (None, self.name):
            return replace(self, name=id).describe(aws)  # the object of a former name
        iam = aws.client("iam")
        role = aws.find(lambda: self._settled(aws))
        if role is None:
            return None
        names = list(iam.pages("list_role_policies", "PolicyNames", RoleName=self.name))
        with ThreadPoolExecutor(max_workers=4) as pool:
            documents = pool.map(lambda name: _inline(aws, self.name, name), names)
        return Observed(
            id=self.name,
            fields={
                "name": self.name,
                "trust": canonical(role["AssumeRolePolicyDocument"]),
                "policies": dict(zip(names, documents, strict=True)),
                "description": role.get("Description", ""),
            },
            outputs={"arn": role["Arn"], "name": self.name},
            tags=tag_map(role.get("Tags")),
        )

    def _settled(self, aws: Session) -> dict[str, Any]:
        """The role, once its ARN reads as an ARN (a fresh one briefly shows its unique id)."""
        role: dict[str, Any] = aws.wait(
            f"the ARN of role {self.name}",
            lambda: aws.client("iam").get_role(RoleName=self.name)["Role"],
            lambda role: str(role["Arn"]).startswith("arn:"),
            within=60,
        )
        return role

    def create(self, aws: Session) -> str:
        """CreateRole with tags, then its inline policies; a half-made one is completed by `update`."""
        aws.client("iam").create_role(
            RoleName=self.name,
            AssumeRolePolicyDocument=json.dumps(self.trust),
            Description=self.description,
            Tags=tag_list(aws.tags),
        )
        self._put_policies(aws, self.policies)
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Each changed part by its own call; only inline policies that differ are written."""
        iam = aws.client("iam")
        if "tags" in changed:
            iam.tag_role(RoleName=self.name, Tags=tag_list(aws.tags))
            if outdated := list(aws.outdated(seen.tags)):
                iam.untag_role(RoleName=self.name, TagKeys=outdated)
        if "description" in changed:
            iam.update_role(RoleName=self.name, Description=self.description)
        if "trust" in changed:
            iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(self.trust))
        if "policies" in changed:
            there = seen.fields["policies"]
            self._put_policies(aws, {k: v for k, v in self.policies.items() if canonical(v) != there.get(k)})
            self._delete_policies(aws, there.keys() - self.policies.keys())

    def delete(self, aws: Session, id: str) -> None:
        """Free the role from everything that holds it (instance profiles, policies), then delete it."""
        iam = aws.client("iam")

        def listed(operation: str, key: str) -> list[Any]:
            return aws.find(lambda: list(iam.pages(operation, key, RoleName=id))) or []

        def each(items: list[Any], act: Callable[[Any], object]) -> None:
            for item in items:
                with aws.gone_is_fine():
                    act(item)

        each(
            listed("list_instance_profiles_for_role", "InstanceProfiles"),
            lambda profile: iam.remove_role_from_instance_profile(
                InstanceProfileName=profile["InstanceProfileName"], RoleName=id
            ),
        )
        each(
            listed("list_attached_role_policies", "AttachedPolicies"),
            lambda policy: iam.detach_role_policy(RoleName=id, PolicyArn=policy["PolicyArn"]),
        )
        self._delete_policies(aws, listed("list_role_policies", "PolicyNames"))
        with aws.gone_is_fine():
            iam.delete_role(RoleName=id)

    def _put_policies(self, aws: Session, policies: Mapping[str, Document]) -> None:
        for name, document in policies.items():
            text = json.dumps(document, separators=(",", ":"))
            aws.patiently(
                lambda name=name, text=text: aws.client("iam").put_role_policy(  # type: ignore[misc]
                    RoleName=self.name, PolicyName=name, PolicyDocument=text
                )
            )

    def _delete_policies(self, aws: Session, names: Iterable[str]) -> None:
        for name in names:
            with aws.gone_is_fine():
                aws.client("iam").delete_role_policy(RoleName=self.name, PolicyName=name)


def _inline(aws: Session, role: str, policy: str) -> dict[str, Any]:
    return canonical(aws.client("iam").get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
