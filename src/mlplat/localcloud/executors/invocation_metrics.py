"""What SageMaker tells CloudWatch of each variant's requests: counted as they come, sent every few seconds."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.statistic_sets import StatisticSet

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two sendings; SageMaker's own metrics come once a minute."""

NAMESPACE = "AWS/SageMaker"


Seen = dict[str, StatisticSet]


class InvocationMetrics:
    """The request metrics of every endpoint of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._seen: defaultdict[tuple[str, str], Seen] = defaultdict(_nothing)
        self._armed = False

    def count(self, endpoint: str, variant: str, instances: int, status: int, *, model: float, overhead: float) -> None:
        """One request that the model answered with `status`; `model` and `overhead` in seconds.

        The error metrics are 0 or 1 for each request, so that their average is a rate; latencies are microseconds.
        """
        values = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0 / max(instances, 1),
            "Invocation4XXErrors": float(400 <= status < 500),
            "Invocation5XXErrors": float(status >= 500),
            "InvocationModelErrors": float(status >= 400),
            "ModelLatency": model * 1e6,
            "OverheadLatency": max(overhead, 0.0) * 1e6,
        }
        with self._lock:
            seen = self._seen[endpoint, variant]
            for name, value in values.items():
                seen[name].add(value)
            arm, self._armed = not self._armed, True
        if arm:
            self._cloud.later(self.flush, EVERY)

    def flush(self) -> None:
        """Send what was counted."""
        with self._lock:
            seen, self._seen, self._armed = self._seen, defaultdict(_nothing), False
        for (endpoint, variant), metrics in seen.items():
            try:
                self._cloud.aws("cloudwatch").put_metric_data(
                    Namespace=NAMESPACE, MetricData=_data(endpoint, variant, metrics)
                )
            except Exception as error:  # metrics that can't be sent must not end the endpoint
                log.warning("sending metrics of endpoint %s to CloudWatch: %s", endpoint, error)


def _nothing() -> Seen:
    return defaultdict(StatisticSet)


def _data(endpoint: str, variant: str, metrics: Seen) -> list[dict[str, Any]]:
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
            "StatisticValues": statistics.to_aws(),
            "Unit": "Microseconds" if name.endswith("Latency") else "None",
        }
        for name, statistics in metrics.items()
    ]
