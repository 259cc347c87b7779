"""GetMetricStatistics and GetMetricData: which data a metric has, in which periods, and math over them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

NOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)


class Metrics:
    """A namespace with a metric of one dimension, one of none, and another namespace with the same names."""

    def __init__(self, cloud: Any) -> None:
        self.client = cloud.client("cloudwatch")
        self.namespace = f"stats-{uuid.uuid4().hex[:8]}"
        self.put(self.namespace, [1, 2, 3, 4], Endpoint="a")
        self.put(self.namespace, [50])
        self.put(self.namespace, [7], Endpoint="a", Variant="b")
        self.put(f"{self.namespace}-other", [900], Endpoint="a")

    def put(self, namespace: str, values: list[float], **dimensions: str) -> None:
        """A value each minute."""
        data = [
            {
                "MetricName": "m",
                "Value": value,
                "Timestamp": NOON + timedelta(minutes=minute),
                "Dimensions": of(dimensions),
            }
            for minute, value in enumerate(values)
        ]
        self.client.put_metric_data(Namespace=namespace, MetricData=data)

    def statistics(self, stats: list[str], period: int = 3600, **dimensions: str) -> list[dict[str, Any]]:
        plain, extended = [s for s in stats if s[0] != "p"], [s for s in stats if s[0] == "p"]
        asked = {name: each for name, each in (("Statistics", plain), ("ExtendedStatistics", extended)) if each}
        answer = self.client.get_metric_statistics(
            Namespace=self.namespace, MetricName="m", StartTime=NOON, EndTime=NOON + timedelta(hours=1), Period=period,
            Dimensions=of(dimensions), **asked,
        )  # fmt: skip
        return list(answer["Datapoints"])

    def data(self, *queries: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        asked = {"StartTime": NOON, "EndTime": NOON + timedelta(minutes=4), "MetricDataQueries": list(queries), **more}
        return list(self.client.get_metric_data(**asked)["MetricDataResults"])

    def query(self, id: str, stat: str = "Sum", period: int = 60, **dimensions: str) -> dict[str, Any]:
        metric = {"Namespace": self.namespace, "MetricName": "m", "Dimensions": of(dimensions)}
        return {"Id": id, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def of(dimensions: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


@pytest.fixture
def metrics(cloud: Any) -> Metrics:
    return Metrics(cloud)


def test_all_dimensions_make_the_metric(metrics: Metrics) -> None:
    for dimensions, total in (({"Endpoint": "a"}, 10), ({}, 50), ({"Endpoint": "a", "Variant": "b"}, 7)):
        assert [each["Sum"] for each in metrics.statistics(["Sum"], **dimensions)] == [total]
        assert sum(metrics.data(metrics.query("m", **dimensions))[0]["Values"]) == total
    assert metrics.statistics(["Sum"], Variant="b") == []


def test_periods_and_statistics(metrics: Metrics) -> None:
    (point,) = metrics.statistics(["Average", "Minimum", "Maximum", "SampleCount", "p50"], Endpoint="a")
    assert (point["Timestamp"], point["Average"], point["Minimum"], point["Maximum"]) == (NOON, 2.5, 1, 4)
    assert (point["SampleCount"], point["ExtendedStatistics"], point["Unit"]) == (4, {"p50": 2.5}, "None")
    points = metrics.statistics(["Sum"], 120, Endpoint="a")
    assert [(each["Timestamp"], each["Sum"]) for each in points] == [(NOON, 3), (NOON + timedelta(minutes=2), 7)]


def test_expressions_and_order(metrics: Metrics) -> None:
    hidden = {**metrics.query("m", Endpoint="a"), "ReturnData": False}
    (found,) = metrics.data(hidden, {"Id": "e", "Expression": "m * 10 + 1", "Label": "ten"})
    assert (found["Id"], found["Label"], found["Values"]) == ("e", "ten", [41, 31, 21, 11])
    assert found["Timestamps"][-1] == NOON
    (found,) = metrics.data(metrics.query("m", Endpoint="a"), ScanBy="TimestampAscending")
    assert found["Values"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("expression", "says"),
    [("x + 1", "no query"), ("SEARCH('m', 'Sum')", "SEARCH"), ("e + 1", "each other"), ("m +", "can't be read")],
)
def test_what_cannot_be_computed(metrics: Metrics, expression: str, says: str) -> None:
    with pytest.raises(ClientError, match=says):
        metrics.data(metrics.query("m"), {"Id": "e", "Expression": expression})


def test_what_is_refused(metrics: Metrics) -> None:
    with pytest.raises(ClientError, match="exceeds the limit of 1440"):
        metrics.statistics(["Sum"], 1)
    with pytest.raises(ClientError, match="Period must be"):
        metrics.statistics(["Sum"], 90)
    with pytest.raises(ClientError, match="does not have the statistic tm90"):
        metrics.data(metrics.query("m", "tm90"))
    with pytest.raises(ClientError, match="StartTime must not equal"):
        metrics.data(metrics.query("m"), EndTime=NOON)
    with pytest.raises(ClientError, match="EndTime must be greater"):
        metrics.data(metrics.query("m"), EndTime=NOON - timedelta(hours=1))


@pytest.mark.parametrize("namespace", ["AWS/SageMaker", "AWS/", "AWS/Mine"])
def test_the_namespaces_of_services_are_not_for_others(metrics: Metrics, namespace: str) -> None:
    with pytest.raises(ClientError, match=r"The value AWS/ for parameter Namespace is invalid\.") as refused:
        metrics.put(namespace, [1])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"
    assert metrics.client.list_metrics(Namespace=namespace, MetricName="m")["Metrics"] == []
