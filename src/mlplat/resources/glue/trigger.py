"""Glue triggers: when a Glue job runs by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlplat.aws import Session
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.glue import arn_of, claim, tags_of

MOVING = ("CREATING", "ACTIVATING", "DEACTIVATING", "DELETING", "UPDATING")


@dataclass(frozen=True, kw_only=True)
class GlueTrigger(Resource):
    """A trigger that starts one job by the clock.

    What AWS makes special (Glue API reference, "Triggers"; terraform-provider-aws `internal/service/glue/trigger.go`):

    - A scheduled trigger is made ACTIVATED with StartOnCreation; one that is CREATED does nothing.
    - States are on their way for seconds (ACTIVATING, UPDATING, DELETING); other calls are refused meanwhile.
    - UpdateTrigger replaces the whole definition. A schedule is cron with six fields, in UTC; there are no rates.
    - DeleteTrigger succeeds when there is no such trigger.
    """

    kind: ClassVar[str] = "glue_trigger"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    schedule: str
    job: str | Ref
    active: bool = True
    description: str = ""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The trigger by its name, which is its id, once its state has settled."""
        glue, name = aws.client("glue"), id or self.name
        found = aws.wait(
            f"Glue trigger {name}",
            lambda: aws.find(lambda: glue.get_trigger(Name=name)["Trigger"]),
            lambda trigger: trigger is None or trigger["State"] not in MOVING,
            within=600.0,
        )
        if found is None:
            return None
        arn = arn_of(aws, "trigger", name)
        fields = {
            "name": name,
            "schedule": found.get("Schedule"),
            "job": next((each.get("JobName") for each in found.get("Actions", ())), None),
            "active": found["State"] == "ACTIVATED",
            "description": found.get("Description", ""),
        }
        return Observed(name, fields, {"name": name, "arn": arn}, tags_of(aws, arn))

    def create(self, aws: Session) -> str:
        """CreateTrigger with tags; reading it back waits until it is active."""
        aws.client("glue").create_trigger(
            Name=self.name,
            Type="SCHEDULED",
            Schedule=self.schedule,
            Actions=[{"JobName": self.job}],
            Description=self.description,
            StartOnCreation=self.active,
            Tags=aws.tags,
        )
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The definition, whether it is active, and tags."""
        glue = aws.client("glue")
        if "tags" in changed:
            claim(aws, seen)
        if changed - {"tags", "active"}:
            about = {"Schedule": self.schedule, "Actions": [{"JobName": self.job}], "Description": self.description}
            glue.update_trigger(Name=self.name, TriggerUpdate={"Name": self.name, **about})
            self.describe(aws)
        if "active" in changed:
            (glue.start_trigger if self.active else glue.stop_trigger)(Name=self.name)
            self.describe(aws)

    def delete(self, aws: Session, id: str) -> None:
        """Delete it and wait until it is gone."""
        with aws.gone_is_fine():
            aws.client("glue").delete_trigger(Name=id)
        self.describe(aws, id)
