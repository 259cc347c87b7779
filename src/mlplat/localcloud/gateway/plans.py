"""API keys, usage plans and throttles: who may call how often.

API Gateway developer guide, "Usage plans and API keys" and "Throttle requests": a key opens the stages of its plans;
the plan's throttle and quota are counted by key, a stage's throttle by method. Counts end with the local cloud.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mlplat.localcloud.gateway.refusals import Refusal
from mlplat.localcloud.gateway.stages import Stage, Target

FORBIDDEN = Refusal(403, "Forbidden", "ForbiddenException")
TOO_MANY = Refusal(429, "Too Many Requests", "TooManyRequestsException")
EXCEEDED = Refusal(429, "Limit Exceeded", "LimitExceededException")


class Plans:
    """Counts requests, and refuses what is too much."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}
        self._used: dict[tuple[str, ...], int] = {}

    def admit(self, stage: Stage, target: Target, http_method: str, key: str | None) -> None:
        """Raise Refusal unless the key, where one is needed, is of a plan for the stage, and there is room."""
        if target.method.api_key_required:
            self._count(stage, *_plan(stage, key))
        settings = stage.settings.method_settings
        own = settings.get(f"{target.resource.lstrip('/')}/{http_method}") or settings.get("*/*") or {}
        if "throttlingRateLimit" in own or "throttlingBurstLimit" in own:
            limits = {"rateLimit": own.get("throttlingRateLimit"), "burstLimit": own.get("throttlingBurstLimit")}
            self._throttle(("stage", stage.api.id, stage.name, target.resource, http_method), limits)

    def _count(self, stage: Stage, plan: Any, key: Any) -> None:
        self._throttle(("plan", plan.id, key.id), plan.throttle)
        quota = plan.quota
        if quota.get("limit") is None:
            return
        place = ("quota", plan.id, key.id, _period(quota.get("period", "DAY"), int(quota.get("offset") or 0)))
        with self._lock:
            if self._used.get(place, 0) >= int(quota["limit"]):
                raise EXCEEDED
            self._used[place] = self._used.get(place, 0) + 1

    def _throttle(self, place: tuple[str, ...], limits: Mapping[str, Any]) -> None:
        """A bucket of `burstLimit` tokens that is filled with `rateLimit` of them a second."""
        if limits.get("rateLimit") is None and limits.get("burstLimit") is None:
            return
        rate = float(limits.get("rateLimit") or 0)
        size = float(limits.get("burstLimit") or max(1.0, rate))
        with self._lock:
            now = time.monotonic()
            tokens, before = self._buckets.get(place, (size, now))
            tokens = min(size, tokens + (now - before) * rate)
            self._buckets[place] = (tokens - 1 if tokens >= 1 else tokens, now)
        if tokens < 1:
            raise TOO_MANY


def _plan(stage: Stage, given: str | None) -> tuple[Any, Any]:
    """The plan that lets the key into the stage, and the key."""
    from moto.apigateway.models import apigateway_backends

    backend = apigateway_backends[stage.cloud.account][stage.cloud.region]
    key = next((each for each in list(backend.keys.values()) if each.value == given and each.enabled), None)
    if key is None:
        raise FORBIDDEN
    for plan in list(backend.usage_plans.values()):
        stages = [(each["apiId"], each["stage"]) for each in plan.api_stages]
        if (stage.api.id, stage.name) in stages and key.id in backend.usage_plan_keys.get(plan.id, {}):
            return plan, key
    raise FORBIDDEN


def _period(name: str, offset: int) -> str:
    """A day, a week or a month; `offset` days are of the one before."""
    day = (datetime.now(UTC) - timedelta(days=offset)).date()
    if name == "WEEK":
        return "-".join(map(str, day.isocalendar()[:2]))
    return day.isoformat() if name == "DAY" else day.isoformat()[:7]
