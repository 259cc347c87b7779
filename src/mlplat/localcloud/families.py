"""Who answers which operation: the families of every service, made once per region."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from mlplat.localcloud.clock import Heart
from mlplat.localcloud.cloud import Cloud, Host
from mlplat.localcloud.routing import Route

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], Mapping[str, Any] | None]


def families() -> tuple[type, ...]:
    """Every class of operations, whatever its service."""
    from mlplat.localcloud import glue, sagemaker
    from mlplat.localcloud.athena import QueryExecutions, WorkGroups
    from mlplat.localcloud.autoscaling import Scaling
    from mlplat.localcloud.cloudwatch import Alarms, Statistics
    from mlplat.localcloud.eventbridge import States, Timers
    from mlplat.localcloud.iam import PolicySimulation
    from mlplat.localcloud.lambdas import Functions
    from mlplat.localcloud.logs import LogGroupKeys
    from mlplat.localcloud.metric_filters import MetricFilters
    from mlplat.localcloud.pipelines import PipelineExecutions, Pipelines
    from mlplat.localcloud.quotas import ServiceQuotas
    from mlplat.localcloud.tagging import Tagging

    return (
        *sagemaker.FAMILIES,
        Pipelines,
        PipelineExecutions,
        *glue.FAMILIES,
        QueryExecutions,
        WorkGroups,
        PolicySimulation,
        LogGroupKeys,
        MetricFilters,
        Tagging,
        Functions,
        Alarms,
        Statistics,
        Timers,
        States,
        Scaling,
        ServiceQuotas,
    )


class Clouds:
    """The regions of one local cloud and their handlers, each made when first asked for."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.heart = Heart(host.clock, self.beat)
        self._lock = threading.Lock()
        self._clouds: dict[str, Cloud] = {}
        self._families: dict[str, list[Any]] = {}
        self._handlers: dict[str, dict[tuple[str, str], Handler]] = {}

    def cloud(self, region: str, kept: Mapping[str, dict[str, Any]] | None = None) -> Cloud:
        """The cloud of a region; `kept` is what it starts with (`Cloud.kept`, read again)."""
        with self._lock:
            if region not in self._clouds:
                cloud = Cloud(self.host, region, kept=kept)
                self._families[region] = [family(cloud) for family in families()]
                self._handlers[region] = _handlers(self._families[region])
                self._clouds[region] = cloud
            return self._clouds[region]

    def all(self) -> list[Cloud]:
        """The clouds of all regions that were asked for."""
        with self._lock:
            return list(self._clouds.values())

    def resume(self) -> None:
        """Go on where the local cloud ended: what was on its way arrives, what can't go on says so."""
        for family in [each for families in list(self._families.values()) for each in families]:
            if (resume := getattr(family, "resume", None)) is not None:
                try:
                    resume()
                except Exception:
                    log.exception("going on with %s", type(family).__name__)

    def beat(self, now: datetime) -> None:
        """Do what is due by `now`, in every region."""
        for family in [each for families in list(self._families.values()) for each in families]:
            if (beat := getattr(family, "beat", None)) is not None:
                try:
                    beat(now)
                except Exception:
                    log.exception("a beat of %s", type(family).__name__)

    def handler(self, route: Route) -> Handler | None:
        """The method that answers the route's operation, or None when it isn't one of ours."""
        if route.service is None or route.operation is None:
            return None
        if route.region not in self._handlers:
            self.cloud(route.region)
        return self._handlers[route.region].get((route.service, route.operation.name))

    def close(self) -> None:
        """Stop the background work of every region."""
        self.heart.close()
        for cloud in list(self._clouds.values()):
            cloud.close()


def _handlers(families: list[Any]) -> dict[tuple[str, str], Handler]:
    from botocore import xform_name
    from moto.core.utils import get_service_model

    found: dict[tuple[str, str], Handler] = {}
    for family in families:
        service = getattr(family, "service", "sagemaker")
        names = {xform_name(name): name for name in get_service_model(service).operation_names}
        for method in dir(type(family)):
            if method in names and re.fullmatch(r"[a-z]\w*", method):
                found[service, names[method]] = getattr(family, method)
    return found
