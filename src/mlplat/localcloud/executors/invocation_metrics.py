"""What SageMaker tells CloudWatch of each variant's requests."""

from __future__ import annotations

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.statistic_sets import Counted

NAMESPACE = "AWS/SageMaker"


class InvocationMetrics:
    """The request metrics of every endpoint of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._counted = Counted(cloud, NAMESPACE)

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
        self._counted.count((("EndpointName", endpoint), ("VariantName", variant)), values)
