"""The endpoints of one region as they serve: what is routed where, and what is told of it. Shared by both APIs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.data_capture import DataCapture
from mlplat.localcloud.executors.endpoint import Fleet, ModelServer, clear
from mlplat.localcloud.executors.invocation_metrics import InvocationMetrics
from mlplat.localcloud.executors.router import choose


@dataclass(frozen=True)
class Share:
    """A variant's part in the traffic."""

    variant: str
    weight: float
    instances: int


@dataclass(frozen=True)
class Traffic:
    """How an endpoint is served now. Replaced as a whole, so that a request sees the old or the new, never a mix."""

    fleet: Fleet
    shares: tuple[Share, ...]
    capture: Mapping[str, Any] | None
    """DataCaptureConfig of the endpoint configuration, when capture is enabled."""

    def pick(self, target: str | None) -> Share | None:
        """The variant that is asked for, whatever its weight; otherwise one by chance. None: there is none."""
        if target is not None:
            return next((share for share in self.shares if share.variant == target), None)
        name = choose([(share.variant, share.weight) for share in self.shares])
        return next((share for share in self.shares if share.variant == name), None)

    def server(self, share: Share) -> ModelServer:
        """The model server of a variant."""
        return self.fleet.servers[share.variant]


class Hosting:
    """Traffic by endpoint, with the metrics and the data capture of the region."""

    _all: ClassVar[dict[Cloud, Hosting]] = {}
    _making = threading.Lock()

    def __init__(self, cloud: Cloud) -> None:
        clear(cloud)
        self.traffic: dict[str, Traffic] = {}
        """Endpoints that take requests, by name."""
        self.returning: dict[str, threading.Event] = {}
        """Endpoints that are being brought up again after a restart: requests wait for them."""
        self.metrics = InvocationMetrics(cloud)
        self.capture = DataCapture(cloud)

    @classmethod
    def of(cls, cloud: Cloud) -> Hosting:
        """The one of this cloud: its control plane and its data plane share it."""
        with cls._making:
            if cloud not in cls._all:
                cls._all[cloud] = cls(cloud)
            return cls._all[cloud]
