"""Scaling as time goes by: policies whose alarms are on, scheduled actions, bounds; each change is an activity.

The local cloud serves a variant by one process however many instances it has; what scaling changes is the count that
SageMaker tells, and with it InvocationsPerInstance.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from mlplat.localcloud.autoscaling import decisions
from mlplat.localcloud.autoscaling.decisions import COOLDOWN
from mlplat.localcloud.autoscaling.tracking import BACKEND
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.cloudwatch.queries import Watched
from mlplat.localcloud.cloudwatch.series import Data
from mlplat.localcloud.eventbridge import timetable

log = logging.getLogger(__name__)

ACTIVITIES, TIMERS = "scaling_activities", "scaling_timers"
"""Stores: activities by scalable target, and when scheduled actions are due."""

KEPT = 100
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
PATIENCE = 1.0


@dataclass(frozen=True)
class Wish:
    """What somebody wants the count to be, and why."""

    count: int
    cause: str
    cooldown: int = 0


class Scaling:
    """Scales the endpoint variants of a region, and tells of it."""

    service = "application-autoscaling"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._looked: dict[str, tuple[Any, ...]] = {}

    def describe_scaling_activities(self, request: dict[str, Any]) -> dict[str, Any]:
        """Newest first."""
        with self._cloud.lock:
            found = [each for items in self._cloud.store(ACTIVITIES).values() for each in items]
        named = {
            name: request[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension") if name in request
        }
        chosen = [each for each in found if all(each[name] == value for name, value in named.items())]
        chosen.sort(key=lambda each: each["StartTime"], reverse=True)
        start, size = int(request.get("NextToken") or 0), int(request.get("MaxResults", 50))
        more = start + size < len(chosen)
        return {"ScalingActivities": chosen[start : start + size], "NextToken": str(start + size) if more else None}

    def beat(self, now: datetime) -> None:
        """Bring every variant to where its policies and bounds want it."""
        from moto.applicationautoscaling.models import applicationautoscaling_backends

        regions = applicationautoscaling_backends.get(self._cloud.account) or {}
        if self._cloud.region not in regions:
            return
        backend = regions[self._cloud.region]
        with self._cloud.host.locks.quiet(BACKEND, PATIENCE):
            self._run_schedules(backend, now)
            targets = list(backend.targets.get(DIMENSION, {}).values())
            policies = list(backend.policies.values())
        for target in targets:
            own = [each for each in policies if each.resource_id == target.resource_id]
            try:
                self._scale(target, own, now)
            except Exception:
                log.exception("scaling %s", target.resource_id)

    def _scale(self, target: Any, policies: list[Any], now: datetime) -> None:
        current = self._current(target.resource_id)
        if current is None:
            return
        least, most = int(target.min_capacity or 0), int(target.max_capacity or current)
        if not least <= current <= most:
            bound = min(max(current, least), most)
            word = "minimum" if current < least else "maximum"
            self._set(target, current, Wish(bound, f"{word} capacity was set to {bound}"), now)
            return
        alarms = [alarm for policy in policies for alarm in self._alarms(policy)]
        news = (now.replace(second=0, microsecond=0), tuple(each.state_updated_timestamp for each in alarms))
        if self._looked.get(target.resource_id) == news:
            return
        self._looked[target.resource_id] = news
        best = self._best(target, policies, current, now)
        if best is None:
            return
        with self._cloud.lock:
            activities = list(self._cloud.store(ACTIVITIES).get(target.resource_id, ()))
        wanted = min(max(best.count, least), most)
        cooling = decisions.is_cooling(now, activities, more=wanted > current, seconds=best.cooldown)
        if wanted != current and not cooling:
            self._set(target, current, Wish(wanted, best.cause), now)

    def _best(self, target: Any, policies: list[Any], current: int, now: datetime) -> Wish | None:
        """Who wants most wins; instances go only when every policy that tracks a target can do without."""
        wishes = [wish for policy in policies for wish in self._wishes(policy, current, now)]
        suspended = target.suspended_state or {}
        more = [each for each in wishes if each.count > current and not suspended.get("DynamicScalingOutSuspended")]
        less = [each for each in wishes if each.count < current and not suspended.get("DynamicScalingInSuspended")]
        tracking = [each for each in policies if each.target_tracking_scaling_policy_configuration]
        agreed = more or (less if len(less) >= len(tracking) else [])
        return max(agreed, key=lambda each: each.count, default=None)

    def _wishes(self, policy: Any, current: int, now: datetime) -> Iterator[Wish]:
        tracking, step = policy.target_tracking_scaling_policy_configuration, policy.step_scaling_policy_configuration
        for alarm in self._alarms(policy):
            value = self._value(alarm, now) if alarm.state_value == "ALARM" else None
            if value is None:
                continue
            cause = f"monitor alarm {alarm.name} in state ALARM triggered policy {policy.policy_name}"
            if tracking and "-AlarmHigh-" in alarm.name:
                count = decisions.out(current, value, tracking["TargetValue"])
                yield Wish(count, cause, tracking.get("ScaleOutCooldown", COOLDOWN))
            elif tracking:
                count = decisions.back(current, value, tracking["TargetValue"])
                yield Wish(count, cause, tracking.get("ScaleInCooldown", COOLDOWN))
            else:
                count = decisions.stepped(current, value - float(alarm.threshold), step)
                yield Wish(count, cause, step.get("Cooldown", COOLDOWN))

    def _alarms(self, policy: Any) -> list[Any]:
        """Those that have the policy for an action, as they are now: of target tracking, its own."""
        from moto.cloudwatch.models import cloudwatch_backends

        alarms = cloudwatch_backends[self._cloud.account][self._cloud.region].alarms
        return [each for each in list(alarms.values()) if policy.policy_arn in (each.alarm_actions or ())]

    def _value(self, alarm: Any, now: datetime) -> float | None:
        """The newest datum of the alarm's metric."""
        from moto.cloudwatch.models import cloudwatch_backends

        watched, data = Watched.of(alarm), Data()
        end = watched.end(now)
        source = cloudwatch_backends[self._cloud.account][self._cloud.region].metric_data
        data.take(source, end - watched.reach)
        return next((each for each in reversed(watched.values(data, end)) if each is not None), None)

    def _current(self, resource: str) -> int | None:
        """The variant's count; None while its endpoint is not in service."""
        _, endpoint, _, name = resource.split("/")
        with self._cloud.lock:
            found = self._cloud.store("endpoints").get(endpoint, {})
            if found.get("EndpointStatus") != "InService":
                return None
            counts = {each["VariantName"]: each["DesiredInstanceCount"] for each in found["ProductionVariants"]}
            return int(counts[name]) if name in counts else None

    def _set(self, target: Any, current: int, wish: Wish, now: datetime) -> None:
        _, endpoint, _, variant = target.resource_id.split("/")
        status, message = "Successful", f"Successfully set desired instance count to {wish.count}."
        try:
            self._cloud.aws("sagemaker").update_endpoint_weights_and_capacities(
                EndpointName=endpoint,
                DesiredWeightsAndCapacities=[{"VariantName": variant, "DesiredInstanceCount": wish.count}],
            )
            message += " Change successfully fulfilled by sagemaker."
        except Exception as error:  # an update that came first, for instance
            status, message = "Failed", f"Failed to set desired instance count to {wish.count}. Reason: {error}"
        activity = {
            "ActivityId": str(uuid4()),
            "ServiceNamespace": "sagemaker",
            "ResourceId": target.resource_id,
            "ScalableDimension": DIMENSION,
            "Description": f"Setting desired instance count to {wish.count}.",
            "Cause": wish.cause,
            "StartTime": now,
            "EndTime": now,
            "StatusCode": status,
            "StatusMessage": message,
            "More": wish.count > current,
        }
        with self._cloud.lock:
            items = self._cloud.store(ACTIVITIES).setdefault(target.resource_id, [])
            items.append(activity)
            del items[:-KEPT]

    def _run_schedules(self, backend: Any, now: datetime) -> None:
        """Scheduled actions change the bounds of their target."""
        with self._cloud.lock:
            timers = self._cloud.store(TIMERS)
            for arn in [arn for arn in timers if arn not in {each.arn for each in backend.scheduled_actions}]:
                del timers[arn]
            for each in backend.scheduled_actions:
                if each.service_namespace == "sagemaker" and _is_due(timers, each, now):
                    target = backend.targets.get(DIMENSION, {}).get(each.resource_id)
                    if target is not None:
                        bounds: Mapping[str, Any] = each.scalable_target_action or {}
                        target.update(bounds.get("MinCapacity"), bounds.get("MaxCapacity"), None)
                        self._cloud.host.changes.mark(BACKEND, self._cloud.region)


def _is_due(timers: dict[str, Any], action: Any, now: datetime) -> bool:
    terms = [action.schedule, action.timezone]
    known = timers.get(action.arn)
    if known is None or known["Terms"] != terms:
        known = {"Terms": terms, "Next": _following(action, now)}
        timers[action.arn] = known
    due = known["Next"] is not None and known["Next"] <= now
    if due:
        timers[action.arn] = {**known, "Next": _following(action, now)}
    end = float(action.end_time) if action.end_time else math.inf
    return due and float(action.start_time or 0) <= now.timestamp() <= end


def _following(action: Any, now: datetime) -> datetime | None:
    return timetable.following(action.schedule, now, action.timezone or "UTC")
