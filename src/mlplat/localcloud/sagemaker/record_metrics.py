"""The feature-store runtime with its metrics: counted with each request, sent to CloudWatch every few seconds.

Developer guide, "Amazon SageMaker AI metrics in Amazon CloudWatch", section "Amazon SageMaker Feature Store metrics".
The guide doesn't name the namespace; this one is not verified.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.sagemaker.feature_store import FeatureStoreRuntime
from mlplat.localcloud.statistic_sets import Counted, Dimensions

NAMESPACE = "AWS/SageMaker/FeatureStore"
WRITE_UNIT, READ_UNIT = 1024, 4096
"""Bytes of a record that a unit is for. Source: SageMaker's pricing of the online store."""
THROTTLED = frozenset({"ThrottlingException", "Throttling"})

Request = dict[str, Any]


class MeteredFeatureStoreRuntime(FeatureStoreRuntime):
    """The runtime's operations, each of them counted."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._metrics = Counted(cloud, NAMESPACE)

    def put_record(self, request: Request) -> Request:
        """Counted for its group."""
        answer = self._counted("PutRecord", super().put_record, request, request["FeatureGroupName"])
        self._consume("PutRecord", [(request["FeatureGroupName"], request["Record"])], "Write", WRITE_UNIT)
        return answer

    def batch_write_record(self, request: Request) -> Request:
        """Counted as a batch; what it consumes for each group."""
        answer = self._counted("BatchWriteRecord", super().batch_write_record, request)
        written = [(each["FeatureGroupName"], each["Record"]) for each in request["Entries"]]
        self._consume("BatchWriteRecord", written, "Write", WRITE_UNIT)
        return answer

    def get_record(self, request: Request) -> Request:
        """Counted for its group."""
        answer = self._counted("GetRecord", super().get_record, request, request["FeatureGroupName"])
        read = [(request["FeatureGroupName"], answer.get("Record", ()))]
        self._consume("GetRecord", read, "Read", READ_UNIT)
        return answer

    def batch_get_record(self, request: Request) -> Request:
        """Counted as a batch; what it consumes for each group."""
        answer = self._counted("BatchGetRecord", super().batch_get_record, request)
        read = [(each["FeatureGroupName"], each["Record"]) for each in answer["Records"]]
        self._consume("BatchGetRecord", read, "Read", READ_UNIT)
        return answer

    def delete_record(self, request: Request) -> Request:
        """Counted for its group; it consumes what a write of the identifier does."""
        answer = self._counted("DeleteRecord", super().delete_record, request, request["FeatureGroupName"])
        self._consume("DeleteRecord", [(request["FeatureGroupName"], ())], "Write", WRITE_UNIT)
        return answer

    def _counted(
        self, operation: str, method: Callable[[Request], Request], request: Request, group: str | None = None
    ) -> Request:
        begun, error = perf_counter(), None
        try:
            return method(request)
        except AwsError as refusal:
            error = refusal
            raise
        finally:
            status = error.status if error else 200
            values = {
                "Invocations": 1.0,
                "Operation4XXErrors": float(400 <= status < 500),
                "Operation5XXErrors": float(status >= 500),
                "ThrottledRequests": float(error is not None and error.code in THROTTLED),
                "Latency": (perf_counter() - begun) * 1e6,
            }
            self._metrics.count(dimensions(operation, _named(group) if group else None), values)

    def _consume(
        self, operation: str, records: Iterable[tuple[str, Iterable[Mapping[str, Any]]]], kind: str, unit: int
    ) -> None:
        """Units by group: of requests, or of capacity where that is provisioned."""
        units: defaultdict[str, int] = defaultdict(int)
        for group, values in records:
            size = sum(len(each["FeatureName"]) + len(each.get("ValueAsString") or "") for each in values)
            units[group] += max(1, -(-size // unit))
        for group, consumed in units.items():
            name = _named(group)
            about = self._cloud.store("feature_groups").get(name, {}).get("ThroughputConfig") or {}
            of = "Capacity" if about.get("ThroughputMode") == "Provisioned" else "Requests"
            self._metrics.count(dimensions(operation, name), {f"Consumed{kind}{of}Units": float(consumed)})


def _named(group: str) -> str:
    """By name or ARN."""
    return group.rpartition("/")[2]


def dimensions(operation: str, group: str | None) -> Dimensions:
    """By group and operation; without a group for batch operations."""
    return (*((("FeatureGroupName", group),) if group else ()), ("OperationName", operation))
