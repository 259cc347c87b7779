"""What the feature store tells CloudWatch of its requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.localcloud.jobs import until
from tests.localcloud.test_feature_store import NOW, Store, record

from mlplat.localcloud.sagemaker.record_metrics import NAMESPACE, dimensions
from mlplat.localcloud.statistic_sets import Counted


@pytest.fixture
def store(cloud: Any) -> Iterator[Store]:
    yield Store(cloud)


class Fake:
    """A cloud whose CloudWatch keeps what it is sent, and where nothing happens by itself."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.armed = 0

    def later(self, _fn: Any, _delay: float) -> None:
        self.armed += 1

    def aws(self, _service: str) -> Any:
        return self

    def put_metric_data(self, **request: Any) -> None:
        self.sent.append(request)


def test_many_requests_are_one_datum() -> None:
    cloud = Fake()
    metrics = Counted(cloud, NAMESPACE)  # type: ignore[arg-type]
    for latency in (3.0, 1.0):
        metrics.count(dimensions("PutRecord", "group"), {"Latency": latency})
    metrics.count(dimensions("BatchGetRecord", None), {"Invocations": 1.0})
    assert cloud.armed == 1
    metrics.flush()
    (call,) = cloud.sent
    assert call["Namespace"] == "AWS/SageMaker/FeatureStore"
    assert call["MetricData"] == [
        {
            "MetricName": "Latency",
            "Dimensions": [
                {"Name": "FeatureGroupName", "Value": "group"},
                {"Name": "OperationName", "Value": "PutRecord"},
            ],
            "StatisticValues": {"SampleCount": 2, "Sum": 4.0, "Minimum": 1.0, "Maximum": 3.0},
            "Unit": "Microseconds",
        },
        {
            "MetricName": "Invocations",
            "Dimensions": [{"Name": "OperationName", "Value": "BatchGetRecord"}],
            "StatisticValues": {"SampleCount": 1, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0},
            "Unit": "None",
        },
    ]
    metrics.flush()
    assert len(cloud.sent) == 1


def sums(store: Store, *dimensions: tuple[str, str]) -> dict[str, float]:
    """The sum of every metric with exactly these dimensions."""
    cloudwatch = store.cloud.client("cloudwatch")
    wanted = [{"Name": name, "Value": value} for name, value in dimensions]
    listed = cloudwatch.list_metrics(Namespace="AWS/SageMaker/FeatureStore", Dimensions=wanted)["Metrics"]
    names = {each["MetricName"] for each in listed if len(each["Dimensions"]) == len(wanted)}
    queries = [
        {
            "Id": f"m{number}",
            "Label": name,
            "MetricStat": {
                "Metric": {"Namespace": "AWS/SageMaker/FeatureStore", "MetricName": name, "Dimensions": wanted},
                "Period": 86400 * 365,
                "Stat": "Sum",
            },
        }
        for number, name in enumerate(sorted(names))
    ]
    if not queries:
        return {}
    found = cloudwatch.get_metric_data(StartTime=0, EndTime=4102444800, MetricDataQueries=queries)
    return {each["Label"]: sum(each["Values"]) for each in found["MetricDataResults"]}


def test_requests_are_counted_by_group_and_operation(store: Store) -> None:
    group = store.group("counted")
    store.put(group, id="a", at=NOW, plan="x" * 3000)
    with pytest.raises(ClientError):
        store.put(group, id="b", at=NOW, age="old")
    store.runtime.get_record(FeatureGroupName=group, RecordIdentifierValueAsString="a")
    entries = [{"FeatureGroupName": group, "Record": record(id=each, at=NOW)} for each in "cd"]
    store.runtime.batch_write_record(Entries=entries)
    put = until(
        lambda: sums(store, ("FeatureGroupName", group), ("OperationName", "PutRecord")),
        lambda found: found.get("Invocations") == 2,
    )
    assert put["Latency"] > 0
    assert {name: each for name, each in put.items() if name != "Latency"} == {
        "Invocations": 2,
        "Operation4XXErrors": 1,
        "Operation5XXErrors": 0,
        "ThrottledRequests": 0,
        "ConsumedWriteRequestsUnits": 3,  # 3 KB and a little, in units of 1 KB
    }
    read = sums(store, ("FeatureGroupName", group), ("OperationName", "GetRecord"))
    assert (read["Invocations"], read["ConsumedReadRequestsUnits"]) == (1, 1)
    batch = sums(store, ("FeatureGroupName", group), ("OperationName", "BatchWriteRecord"))
    assert batch == {"ConsumedWriteRequestsUnits": 2}  # invocations of a batch are of no group
    assert sums(store, ("OperationName", "BatchWriteRecord"))["Invocations"] >= 1
