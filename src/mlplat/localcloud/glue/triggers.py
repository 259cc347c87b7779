"""Triggers of Glue: they start jobs and crawlers by a schedule, on demand, or when others have ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.glue import timing
from mlplat.localcloud.glue.errors import invalid, mismatch, not_found
from mlplat.localcloud.glue.pages import page
from mlplat.localcloud.glue.tags import are_on, tag

log = logging.getLogger(__name__)

Record = dict[str, Any]

STORE = "glue_triggers"
_NO_STATE = "State cannot be null or empty, choose from one of the following"
KEPT = ("Name", "WorkflowName", "Type", "Schedule", "Predicate", "Actions", "Description", "EventBatchingCondition")


class Triggers:
    """The operations on triggers. Events (type EVENT) and workflows start nothing here."""

    service = "glue"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._triggers = cloud.store(STORE)

    def create_trigger(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a trigger; it fires only when it is activated."""
        check(request)
        name, given = request["Name"], {key: each for key, each in request.items() if key != "Tags"}
        active = request.get("StartOnCreation", False) and request["Type"] != "ON_DEMAND"
        with self._cloud.lock:
            if name in self._triggers:
                if self._find(name)["Given"] != given:
                    raise mismatch("Trigger", name)
                return {"Name": name}
            state = {"State": "CREATING", "Becomes": "ACTIVATED" if active else "CREATED"}
            self._triggers[name] = _kept(request) | state | {"Given": given}
            self._settle(name)
            tag(self._cloud, self._arn(name), request.get("Tags"))
        return {"Name": name}

    def update_trigger(self, request: dict[str, Any]) -> dict[str, Any]:
        """Replace a trigger's definition (API reference: the previous one is overwritten completely)."""
        with self._cloud.lock:
            found = self._find(request["Name"])
            fixed = {key: found[key] for key in ("Name", "Type", "WorkflowName", "Given", "Becomes") if key in found}
            made = {"Actions": found["Actions"]} | _kept(request["TriggerUpdate"]) | fixed
            check(made)
            self._triggers[request["Name"]] = made | {"State": "UPDATING"}
            self._settle(request["Name"])
            return {"Trigger": dict(self._triggers[request["Name"]])}

    def get_trigger(self, request: dict[str, Any]) -> dict[str, Any]:
        """One trigger."""
        with self._cloud.lock:
            return {"Trigger": dict(self._triggers.get(request["Name"]) or self._find(request["Name"]))}

    def get_triggers(self, request: dict[str, Any]) -> dict[str, Any]:
        """All triggers, or those that start a job."""
        with self._cloud.lock:
            found, token = page(self._starting(request.get("DependentJobName")), request)
        return {"Triggers": found, "NextToken": token}

    def list_triggers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Their names, of those with the tags."""
        with self._cloud.lock:
            names = [each["Name"] for each in self._starting(request.get("DependentJobName"))]
            names = [name for name in names if are_on(self._cloud, self._arn(name), request.get("Tags"))]
        found, token = page(names, request)
        return {"TriggerNames": found, "NextToken": token}

    def batch_get_triggers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Several triggers, and the names of those that aren't there."""
        with self._cloud.lock:
            found = [dict(self._triggers[name]) for name in request["TriggerNames"] if name in self._triggers]
        missing = [name for name in request["TriggerNames"] if name not in self._triggers]
        return {"Triggers": found, "TriggersNotFound": missing}

    def start_trigger(self, request: dict[str, Any]) -> dict[str, Any]:
        """Activate a trigger; one on demand fires now."""
        with self._cloud.lock:
            found = self._find(request["Name"])
            if found["Type"] != "ON_DEMAND":
                found |= {"State": "ACTIVATING", "Becomes": "ACTIVATED"}
                self._settle(found["Name"])
        if found["Type"] == "ON_DEMAND":
            fire(self._cloud, found)
        return {"Name": request["Name"]}

    def stop_trigger(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let a trigger fire no more."""
        with self._cloud.lock:
            self._find(request["Name"]).update({"State": "DEACTIVATING", "Becomes": "DEACTIVATED"})
            self._settle(request["Name"])
        return {"Name": request["Name"]}

    def delete_trigger(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete a trigger; one that isn't there is no error (API reference)."""
        with self._cloud.lock:
            if request["Name"] in self._triggers:
                self._triggers[request["Name"]] |= {"State": "DELETING", "Becomes": ""}
                self._settle(request["Name"])
        return {"Name": request["Name"]}

    def resume(self) -> None:
        """After a restart: what was on its way arrives."""
        with self._cloud.lock:
            for name in [name for name, each in self._triggers.items() if each["State"] != each["Becomes"]]:
                self._settle(name)

    def beat(self, now: datetime) -> None:
        """Fire what is scheduled and due."""
        with self._cloud.lock:
            due = [
                each
                for each in self._triggers.values()
                if timing.due(self._cloud, f"trigger {each['Name']}", _schedule(each), now)
            ]
        for each in due:
            fire(self._cloud, each)

    def _settle(self, name: str) -> None:
        """States are on their way for a while: CREATING, ACTIVATING and such (API reference, Trigger)."""
        self._cloud.later(partial(self._arrive, name, self._triggers[name]))

    def _arrive(self, name: str, trigger: Record) -> None:
        with self._cloud.lock:
            if self._triggers.get(name) is not trigger:
                return
            trigger["State"] = trigger["Becomes"]
            if not trigger["Becomes"]:
                del self._triggers[name]
                self._cloud.tags.pop(self._arn(name), None)

    def _starting(self, job: str | None) -> list[Record]:
        found = self._triggers.values()
        return [each for each in found if job is None or any(one.get("JobName") == job for one in each["Actions"])]

    def _find(self, name: str) -> Record:
        if name not in self._triggers:
            raise not_found(f"Trigger {name} not found.")  # wording not verified
        found: Record = self._triggers[name]
        if found["State"] == "DELETING":  # wording not verified
            raise AwsError("ConcurrentModificationException", f"Trigger {name} is being deleted.")
        return found

    def _arn(self, name: str) -> str:
        return self._cloud.arn(f"trigger/{name}", "glue")


def fire(cloud: Cloud, trigger: Mapping[str, Any]) -> None:
    """Start what the trigger starts, in the background; what can't be started is in the daemon's log."""
    for action in trigger["Actions"]:
        cloud.later(partial(_start, cloud, trigger["Name"], action), 0)


def _start(cloud: Cloud, trigger: str, action: Mapping[str, Any]) -> None:
    from mlplat.localcloud.glue import crawlers, jobs

    try:
        if "JobName" in action:
            jobs.started_by_trigger(cloud, action, trigger)
        else:
            crawlers.Crawlers(cloud).start_crawler({"Name": action["CrawlerName"]})
    except AwsError as error:
        log.warning("trigger %s could not start %s: %s", trigger, action, error)


def job_ended(cloud: Cloud, job: str, state: str) -> None:
    """A run of a job has come to its end: whoever waited for it fires."""
    _ended(cloud, {"JobName": job, "State": state})


def crawl_ended(cloud: Cloud, crawler: str, state: str) -> None:
    """A crawl has come to its end: whoever waited for it fires."""
    _ended(cloud, {"CrawlerName": crawler, "CrawlState": state})


def _ended(cloud: Cloud, what: Mapping[str, str]) -> None:
    """Conditions that hold are kept until all of a trigger do (or any, if that is enough), and then begin anew."""
    firing = []
    with cloud.lock:
        for trigger in cloud.store(STORE).values():
            conditions = (trigger.get("Predicate") or {}).get("Conditions", [])
            met = [number for number, each in enumerate(conditions) if what.items() <= each.items()]
            if trigger["Type"] != "CONDITIONAL" or trigger["State"] != "ACTIVATED" or not met:
                continue
            held = {*trigger.get("Held", ()), *met}
            any_is_enough = trigger["Predicate"].get("Logical", "AND") == "ANY"
            complete = any_is_enough or len(held) == len(conditions)
            trigger["Held"] = [] if complete else sorted(held)
            firing += [dict(trigger)] if complete else []
    for trigger in firing:
        fire(cloud, trigger)


def _schedule(trigger: Mapping[str, Any]) -> str | None:
    active = trigger["Type"] == "SCHEDULED" and trigger["State"] == "ACTIVATED"
    return trigger.get("Schedule") if active else None


def check(given: Mapping[str, Any]) -> None:
    """Refuse what Glue refuses. Source: API reference, CreateTrigger; wordings are not verified."""
    kind = given["Type"]
    if kind == "SCHEDULED":
        if not given.get("Schedule"):
            raise invalid("Schedule cannot be null or empty for a trigger of type SCHEDULED.")
        timing.check(given["Schedule"])
    conditions = (given.get("Predicate") or {}).get("Conditions", ())
    if kind == "CONDITIONAL" and not conditions:
        raise invalid("Predicate cannot be null or empty")
    for condition in conditions:
        _check_condition(condition)
    if not given.get("Actions"):
        raise invalid("Actions cannot be null or empty")
    for action in given["Actions"]:
        if "JobName" in action and "CrawlerName" in action:
            raise invalid("Both JobName and CrawlerName cannot be set together in an action")
        if not {"JobName", "CrawlerName"} & action.keys():
            raise invalid("JobName or CrawlerName in an action cannot be null or empty")


def _check_condition(condition: Mapping[str, Any]) -> None:
    """The texts are those that moto's authors have recorded."""
    if condition.get("JobName"):
        if not condition.get("State"):
            raise invalid(f"{_NO_STATE} job state: [SUCCEEDED, STOPPED, FAILED, TIMEOUT]")
    elif condition.get("CrawlerName"):
        if not condition.get("CrawlState"):
            raise invalid(f"{_NO_STATE} crawler state: [SUCCEEDED, FAILED, CANCELLED]")
    else:
        raise invalid("JobName or CrawlerName in condition cannot be null or empty")
    if not condition.get("LogicalOperator"):
        raise invalid("Logical operator cannot be null or empty")


def _kept(given: Mapping[str, Any]) -> Record:
    """What a trigger has of a request."""
    kept = {key: given[key] for key in KEPT if key in given}
    return kept | ({"Predicate": _predicate(given["Predicate"])} if given.get("Predicate") else {})


def _predicate(given: Mapping[str, Any]) -> Record:
    """A condition that names a job is about the job, whatever it says of a crawler besides."""
    kept = ("LogicalOperator", "JobName", "State")
    conditions = [
        {name: each[name] for name in kept if name in each} if each.get("JobName") else dict(each)
        for each in given.get("Conditions", ())
    ]
    return {**given, "Conditions": conditions}
