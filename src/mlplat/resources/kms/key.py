"""KMS keys, each with one alias."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list, tag_map
from mlplat.errors import ForeignObject, PermissionDenied
from mlplat.resources.base import Observed, Resource
from mlplat.resources.policy import Document, canonical

DYING = frozenset({"PendingDeletion", "PendingReplicaDeletion"})


@dataclass(frozen=True, kw_only=True)
class KmsKey(Resource):
    """A symmetric key that AWS names by id, with the alias `alias/<name>`.

    What AWS makes special, by the KMS developer guide (key states, aliases) and terraform-provider-aws #35161:

    - CreateKey has no client token and no name: a key is ours by its tag. One whose alias was never made is found by
      tag, so there is never a second one; an alias that leads to somebody else's key is never moved.
    - A key can't be deleted, only scheduled for deletion, 7 to 30 days ahead. Until then it counts as gone, but a
      create takes it back (CancelKeyDeletion leaves it disabled), because what it encrypted needs it.
    - Delete takes the alias first: a kill in between leaves a live key that state and tag still find.
    - A policy that names a principal made just now is refused (MalformedPolicyDocumentException).
    - Rotation of a disabled key is refused (DisabledException), so it is enabled first.
    """

    kind: ClassVar[str] = "kms_key"
    create_only: ClassVar[frozenset[str]] = frozenset({"deletion_window_days"})

    description: str = ""
    policy: Document
    rotation: bool = True
    enabled: bool = True
    deletion_window_days: int = 7

    @property
    def alias(self) -> str:
        """The alias that leads to the key."""
        return f"alias/{self.name}"

    def desired(self) -> dict[str, Any]:
        """The fields, with the policy in the form that `describe` gives it."""
        return {**super().desired(), "policy": canonical(self.policy)}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The key by its id, else by its alias, else by its tag; one that is being deleted is not there."""
        if id is not None and (known := _metadata(aws, id)) and known["KeyState"] not in DYING:
            return self._observed(aws, known)
        target = _metadata(aws, self.alias)
        if target and target["KeyState"] not in DYING and _is_ours(aws, target["KeyId"]):
            return self._observed(aws, target)
        for key in _ours(aws):
            if key["KeyState"] not in DYING:
                return self._observed(aws, key)
        if target and target["KeyState"] not in DYING:
            return self._observed(aws, target)  # somebody else's key by our name, as its tags will show
        return None

    def create(self, aws: Session) -> str:
        """Take back the key that is being deleted, or make one with policy and tags; then alias and rotation."""
        dying = next((key for key in _ours(aws) if key["KeyState"] in DYING), None)
        if dying is not None:
            return self._take_back(aws, str(dying["KeyId"]))
        request = {"Policy": json.dumps(self.policy), "Description": self.description}
        tags = tag_list(aws.tags, "TagKey", "TagValue")
        answer = aws.client("kms").create_key(**request, Tags=tags)
        id = str(answer["KeyMetadata"]["KeyId"])
        self._put_alias(aws, id)
        if self.rotation:
            self._put_rotation(aws, id)
        return id

    def _take_back(self, aws: Session, id: str) -> str:
        aws.report("taking back the key that was to be deleted")
        aws.client("kms").cancel_key_deletion(KeyId=id)
        seen = aws.wait(f"key {id} to be usable", lambda: self.describe(aws, id), lambda seen: seen is not None)
        assert seen is not None
        labels = set() if aws.tags.items() <= (seen.tags or {}).items() else {"tags"}  # they may have changed since
        self.update(aws, seen, frozenset(labels | {change.field for change in self.compare(seen)}))
        return id

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Each changed part by its own call; a key to be enabled is enabled first, one to be disabled last."""
        kms, id = aws.client("kms"), seen.id
        if "enabled" in changed and self.enabled:
            kms.enable_key(KeyId=id)
        if "tags" in changed:
            kms.tag_resource(KeyId=id, Tags=tag_list(aws.tags, "TagKey", "TagValue"))
            if outdated := list(aws.outdated(seen.tags)):
                kms.untag_resource(KeyId=id, TagKeys=outdated)
        if "description" in changed:
            kms.update_key_description(KeyId=id, Description=self.description)
        if "policy" in changed:
            kms.put_key_policy(KeyId=id, PolicyName="default", Policy=json.dumps(self.policy))
        if "name" in changed:
            self._put_alias(aws, id)
        if "rotation" in changed:
            self._put_rotation(aws, id)
        if "enabled" in changed and not self.enabled:
            kms.disable_key(KeyId=id)

    def delete(self, aws: Session, id: str) -> None:
        """Remove the alias if it leads to this key, then schedule the deletion; already scheduled is success."""
        kms = aws.client("kms")
        key = _metadata(aws, id)
        target = _metadata(aws, self.alias)
        if target is not None and target["KeyId"] == id:
            with aws.gone_is_fine():
                kms.delete_alias(AliasName=self.alias)
        if key is None or key["KeyState"] in DYING:
            return
        with aws.gone_is_fine():
            kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=self.deletion_window_days)

    def afterwards(self) -> str:
        """The window in which the key can still be taken back."""
        days = self.deletion_window_days
        last = (datetime.now(UTC) + timedelta(days=days)).date()
        return f"AWS keeps it for {days} days, until {last}; an apply before that takes the same key back"

    def _observed(self, aws: Session, key: dict[str, Any]) -> Observed:
        kms, id = aws.client("kms"), str(key["KeyId"])
        with ThreadPoolExecutor(max_workers=4) as pool:  # nothing else of a plan takes as many calls for one object
            policy = pool.submit(lambda: kms.get_key_policy(KeyId=id, PolicyName="default")["Policy"])
            rotation = pool.submit(lambda: kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"])
            tags = pool.submit(_tags, aws, id)
            aliases = [each["AliasName"] for each in kms.pages("list_aliases", "Aliases", KeyId=id)]
        return Observed(
            id=id,
            fields={
                "name": self.name if self.alias in aliases else next(iter(aliases), "").removeprefix("alias/"),
                "description": key.get("Description", ""),
                "policy": canonical(json.loads(policy.result())),
                "rotation": rotation.result(),
                "enabled": key["KeyState"] == "Enabled",
            },
            outputs={"arn": key["Arn"], "id": id, "alias": self.alias},
            tags=tags.result(),
        )

    def _put_rotation(self, aws: Session, id: str) -> None:
        kms = aws.client("kms")
        aws.patiently(lambda: (kms.enable_key_rotation if self.rotation else kms.disable_key_rotation)(KeyId=id))

    def _put_alias(self, aws: Session, id: str) -> None:
        """Make the alias, or move it here from a key of ours that is being deleted."""
        kms = aws.client("kms")
        target = _metadata(aws, self.alias)
        if target is None:
            aws.patiently(lambda: kms.create_alias(AliasName=self.alias, TargetKeyId=id))
        elif target["KeyId"] != id:
            if _tags(aws, target["KeyId"]).get("mlplat:namespace") != aws.namespace:
                raise ForeignObject(
                    f"writing kms_key {self.name}: {self.alias} leads to the key {target['Arn']}, which is not ours",
                    hint=f"aws kms describe-key --key-id {self.alias}",
                )
            kms.update_alias(AliasName=self.alias, TargetKeyId=id)


def _metadata(aws: Session, id: str) -> dict[str, Any] | None:
    """The key by id, ARN or alias."""
    return aws.find(lambda: dict(aws.client("kms").describe_key(KeyId=id)["KeyMetadata"]))


def _tags(aws: Session, id: str) -> dict[str, str]:
    """The tags of a key; none where its policy doesn't let us look, because then it isn't ours."""
    try:
        pages = aws.client("kms").pages("list_resource_tags", "Tags", KeyId=id)
        return aws.find(lambda: tag_map(list(pages), "TagKey", "TagValue")) or {}
    except PermissionDenied:
        return {}


def _is_ours(aws: Session, id: str) -> bool:
    return aws.ownership.items() <= _tags(aws, id).items()


def _ours(aws: Session) -> Iterator[dict[str, Any]]:
    """Every key with this address's tags, whatever its state. KMS can't filter: one call a key, eight at once."""
    kms = aws.client("kms")
    of_services = {
        alias.get("TargetKeyId")
        for alias in kms.pages("list_aliases", "Aliases")
        if alias["AliasName"].startswith("alias/aws/")
    }
    ids = [key["KeyId"] for key in kms.pages("list_keys", "Keys") if key["KeyId"] not in of_services]
    for id, ours in zip(ids, _all_at_once(aws, ids), strict=True):
        if ours and (key := _metadata(aws, id)) is not None:
            yield key


def _all_at_once(aws: Session, ids: Iterable[str]) -> list[bool]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda id: _is_ours(aws, id), ids))
