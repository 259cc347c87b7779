"""Who answers which operation: the families of every service, made once per region."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud, Host
from mlplat.localcloud.routing import Route

Handler = Callable[[dict[str, Any]], Mapping[str, Any] | None]


def families() -> tuple[type, ...]:
    """Every class of operations, whatever its service."""
    from mlplat.localcloud import sagemaker
    from mlplat.localcloud.athena import QueryExecutions
    from mlplat.localcloud.iam import PolicySimulation
    from mlplat.localcloud.logs import LogGroupKeys
    from mlplat.localcloud.tagging import Tagging

    return (*sagemaker.FAMILIES, QueryExecutions, PolicySimulation, LogGroupKeys, Tagging)


class Clouds:
    """The regions of one local cloud and their handlers, each made when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._clouds: dict[str, Cloud] = {}
        self._handlers: dict[str, dict[tuple[str, str], Handler]] = {}

    def cloud(self, region: str) -> Cloud:
        """The cloud of a region."""
        with self._lock:
            if region not in self._clouds:
                self._clouds[region] = Cloud(self._host, region)
                self._handlers[region] = _handlers(self._clouds[region])
            return self._clouds[region]

    def handler(self, route: Route) -> Handler | None:
        """The method that answers the route's operation, or None when it isn't one of ours."""
        if route.service is None or route.operation is None:
            return None
        if route.region not in self._handlers:
            self.cloud(route.region)
        return self._handlers[route.region].get((route.service, route.operation.name))

    def close(self) -> None:
        """Stop the background work of every region."""
        for cloud in list(self._clouds.values()):
            cloud.close()


def _handlers(cloud: Cloud) -> dict[tuple[str, str], Handler]:
    from botocore import xform_name
    from moto.core.utils import get_service_model

    found: dict[tuple[str, str], Handler] = {}
    for family in families():
        service, instance = getattr(family, "service", "sagemaker"), family(cloud)
        names = {xform_name(name): name for name in get_service_model(service).operation_names}
        for method in dir(family):
            if method in names and re.fullmatch(r"[a-z]\w*", method):
                found[service, names[method]] = getattr(instance, method)
    return found
