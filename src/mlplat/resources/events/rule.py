"""EventBridge rules: what is started when the time has come, or when something has happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list, tag_map
from mlplat.errors import ApiError
from mlplat.resources.base import Observed, Resource


@dataclass(frozen=True, kw_only=True)
class EventRule(Resource):
    """A rule of the default bus with its targets.

    What AWS makes special (API reference, PutRule, PutTargets, DeleteRule; terraform-provider-aws `internal/service/
    events`):

    - PutRule makes and replaces; it takes tags only of a new rule. A schedule is in UTC.
    - PutTargets answers 200 for targets that it doesn't take (FailedEntries), and leaves those alone that it isn't
      told of: what is no longer declared is removed by RemoveTargets.
    - A rule with targets can't be deleted; they are removed first, and count for a moment after that.
    - A rule of another service (ManagedBy) can't be changed. Ours is no such rule.
    """

    kind: ClassVar[str] = "event_rule"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    schedule: str | None = None
    """`rate(1 day)` or `cron(0 3 * * ? *)`."""
    pattern: Mapping[str, Any] | None = None
    """Which events it is for; a rule has a schedule or a pattern."""
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Target id -> the target in AWS's shape, without its Id."""
    description: str = ""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The rule by its name, which is its id, with its targets."""
        events, name = aws.client("events"), id or self.name
        rule = aws.find(lambda: events.describe_rule(Name=name))
        if rule is None:
            return None
        tags = aws.find(lambda: events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"])
        fields = {
            "name": name,
            "schedule": rule.get("ScheduleExpression"),
            "pattern": json.loads(rule["EventPattern"]) if rule.get("EventPattern") else None,
            "targets": _targets(aws, name),
            "description": rule.get("Description", ""),
        }
        return Observed(name, fields, {"name": name, "arn": rule["Arn"]}, tag_map(tags))

    def create(self, aws: Session) -> str:
        """PutRule with tags, then its targets."""
        self._put_rule(aws, Tags=tag_list(aws.tags))
        self._put_targets(aws)
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The rule, the targets, the tags: what changed of them."""
        events = aws.client("events")
        if "tags" in changed:
            arn = seen.outputs["arn"]
            events.tag_resource(ResourceARN=arn, Tags=tag_list(aws.tags))
            if outdated := list(aws.outdated(seen.tags)):
                events.untag_resource(ResourceARN=arn, TagKeys=outdated)
        if changed - {"tags", "targets"}:
            self._put_rule(aws)
        if "targets" in changed:
            self._put_targets(aws)
            _remove(aws, self.name, [each for each in seen.fields["targets"] if each not in self.targets])

    def delete(self, aws: Session, id: str) -> None:
        """Remove the targets, then delete the rule."""
        with aws.gone_is_fine():
            _remove(aws, id, list(_targets(aws, id)))
            aws.client("events").delete_rule(Name=id)

    def _put_rule(self, aws: Session, **more: Any) -> None:
        when = {"ScheduleExpression": self.schedule} if self.schedule else {"EventPattern": json.dumps(self.pattern)}
        about = {"Description": self.description} if self.description else {}
        aws.client("events").put_rule(Name=self.name, State="ENABLED", **when, **about, **more)

    def _put_targets(self, aws: Session) -> None:
        targets = [{"Id": id, **target} for id, target in self.targets.items()]
        answer = aws.client("events").put_targets(Rule=self.name, Targets=targets) if targets else {}
        _check(answer, "put_targets")


def _targets(aws: Session, name: str) -> dict[str, dict[str, Any]]:
    listed = aws.find(lambda: list(aws.client("events").pages("list_targets_by_rule", "Targets", Rule=name))) or []
    return {each["Id"]: {key: value for key, value in each.items() if key != "Id"} for each in listed}


def _remove(aws: Session, name: str, ids: list[str]) -> None:
    if ids:
        _check(aws.client("events").remove_targets(Rule=name, Ids=ids), "remove_targets")


def _check(answer: Mapping[str, Any], operation: str) -> None:
    for entry in answer.get("FailedEntries", ()):
        code, reason = entry.get("ErrorCode", "Unknown"), entry.get("ErrorMessage", "no message")
        raise ApiError(service="events", operation=operation, code=code, reason=f"{entry.get('TargetId')}: {reason}")
