"""Metric filters: patterns read as CloudWatch Logs reads them, and metrics out of what is logged."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.localcloud.hosted import until

from mlplat.localcloud import filter_patterns
from mlplat.localcloud.errors import AwsError

EVENT = json.dumps(
    {
        "kind": "UpdateTrail", "code": 404, "ok": True, "gone": None, "ip": "10.0.0.7", "latency": 12.5,
        "user": {"name": "ann", "e.mail": "a@b"}, "items": [{"id": 1}, {"id": 7}],
    }
)  # fmt: skip
LINE = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /x HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        ("ERROR", "[ERROR 400] BAD", True),
        ("ERROR", "error", False),
        ("ERROR ARGUMENTS", "ERROR MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "ERROR", False),
        ("?ERROR ?WARN", "WARN: x", True),
        ("?ERROR ?WARN", "INFO", False),
        ("ERROR -Exiting", "Exiting with ERROR", False),
        ('"INTERNAL SERVER ERROR"', "500 INTERNAL SERVER ERROR", True),
        ('"a \\"b\\""', 'x a "b"', True),
        ("%ERR(OR)%", "ERROR", None),
        ("%AUTHORIZED|OK%", "UNAUTHORIZED", True),
        ("%^OK%", "not OK", False),
        ('{ $.kind = "UpdateTrail" }', EVENT, True),
        ('{ $.kind != "Update*" }', EVENT, False),
        ("{ $.kind = Update* }", EVENT, True),
        ("{ $.code = 404 && $.user.name = %^a% }", EVENT, True),
        ("{ $.code > 404 || ($.latency >= 12.5 && $.ok IS TRUE) }", EVENT, True),
        ("{ $.gone IS NULL }", EVENT, True),
        ("{ $.none IS NULL }", EVENT, False),
        ("{ $.none NOT EXISTS }", EVENT, True),
        ("{ $.ip = 10.0.* }", EVENT, True),
        ("{ $.items[*].id = 7 }", EVENT, True),
        ("{ $.items[0].id = 7 }", EVENT, False),
        ("{ $.user.['e.mail'] = a@b }", EVENT, True),
        ("{ $.code = 404 }", "no json", False),
        ("[ip, id, user, at, request, status = 4*, bytes]", LINE, True),
        ("[ip, id, user, at, request, status_code = 4*, bytes > 2000]", LINE, False),
        ("[ip, ..., status = 404 || status = 500, bytes]", LINE, True),
        ("[ip, user]", LINE, False),
        ('[..., request = "GET *", status, bytes >= 1000 && bytes < 2000]', LINE, True),
        ("{ $.code }", EVENT, None),
        ("{ $.code = }", EVENT, None),
        ('{ $.code > "x" }', EVENT, None),
        ("{ code = 404 }", EVENT, None),
        ("{ $.code = 404", EVENT, None),
        ("[ip, ", LINE, None),
        ("time:out", "time:out", None),
        ("%oops!%", "oops!", None),
    ],
)
def test_patterns(pattern: str, message: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(AwsError) as caught:
            filter_patterns.matcher(pattern)
        assert caught.value.code == "InvalidParameterException"
    else:
        assert (filter_patterns.matcher(pattern)(message) is not None) is matches


class Group:
    """A log group with a stream."""

    def __init__(self, cloud: Any) -> None:
        self.logs, self.cloudwatch = cloud.client("logs"), cloud.client("cloudwatch")
        self.name = self.namespace = f"filtered-{uuid.uuid4().hex[:8]}"
        self.logs.create_log_group(logGroupName=self.name)
        self.logs.create_log_stream(logGroupName=self.name, logStreamName="s")

    def filter(self, name: str, pattern: str, value: str = "1", **more: Any) -> None:
        made = {"metricName": name, "metricNamespace": self.namespace, "metricValue": value, **more}
        self.logs.put_metric_filter(
            logGroupName=self.name, filterName=name, filterPattern=pattern, metricTransformations=[made]
        )

    def refused(self, name: str, pattern: str, value: str = "1", **more: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            self.filter(name, pattern, value, **more)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    def log(self, *messages: str) -> None:
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": each} for each in messages]
        self.logs.put_log_events(logGroupName=self.name, logStreamName="s", logEvents=events)

    def sums(self, metric: str, **dimensions: str) -> float:
        now = time.time()
        points = self.cloudwatch.get_metric_statistics(
            Namespace=self.namespace, MetricName=metric, StartTime=now - 600, EndTime=now + 60, Period=60,
            Statistics=["Sum"], Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        )["Datapoints"]  # fmt: skip
        return float(sum(each["Sum"] for each in points))


@pytest.fixture
def group(cloud: Any) -> Group:
    return Group(cloud)


def test_what_is_logged_becomes_metrics(group: Group) -> None:
    group.filter("errors", "ERROR")
    group.filter("latency", "{ $.latency > 0 }", "$.latency", unit="Milliseconds", dimensions={"User": "$.user"})
    group.filter("bytes", "[ip, ..., bytes]", "$bytes")
    events = [json.dumps({"latency": 2.5, "user": "ann"}), json.dumps({"latency": 4, "user": "bob"}),
              json.dumps({"latency": 9})]  # fmt: skip
    group.log("ERROR one", "fine", *events, "ERROR two", "127.0.0.1 GET 100")
    until(lambda: group.sums("errors"), lambda found: found == 2)
    until(lambda: group.sums("latency", User="ann"), lambda found: found == 2.5)
    until(lambda: group.sums("latency", User="bob"), lambda found: found == 4)
    until(lambda: group.sums("bytes"), lambda found: found == 100)
    assert group.sums("latency") == 0, "without its dimension nothing is published"


def test_filters_are_put_once_and_go_with_their_group(group: Group) -> None:
    logs, asked = group.logs, {"logGroupName": group.name}
    group.filter("errors", "ERROR")
    group.filter("errors", "WARN", defaultValue=0)
    (found,) = logs.describe_metric_filters(**asked)["metricFilters"]
    assert found["filterPattern"] == "WARN" and found["metricTransformations"][0]["defaultValue"] == 0
    assert found["creationTime"] > 1.6e12
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.delete_metric_filter(**asked, filterName="none")
    logs.delete_log_group(**asked)
    with pytest.raises(ClientError, match="The specified log group does not exist"):
        logs.describe_metric_filters(**asked)
    assert group.refused("errors", "ERROR") == (
        "ResourceNotFoundException", "The specified log group does not exist."
    )  # fmt: skip
    logs.create_log_group(**asked)
    assert logs.describe_metric_filters(**asked)["metricFilters"] == []


def test_what_is_no_filter_is_refused(group: Group) -> None:
    for pattern, value, more in (
        ("{ $.a = ", "1", {}),
        ("ERROR", "many", {}),
        ("{ $.a = 1 }", "1", {"dimensions": {"A": "$.a"}, "defaultValue": 0}),
        ("{ $.a = 1 }", "1", {"dimensions": dict.fromkeys("ABCD", "$.a")}),
    ):
        assert group.refused("wrong", pattern, value, **more)[0] == "InvalidParameterException", pattern


def test_a_pattern_can_be_tried(group: Group) -> None:
    tried = group.logs.test_metric_filter(
        filterPattern="[ip, ..., bytes > 10]", logEventMessages=["1.2.3.4 x 5", "1.2.3.4 y z 50"]
    )["matches"]
    assert tried == [
        {"eventNumber": 2, "eventMessage": "1.2.3.4 y z 50", "extractedValues": {"$ip": "1.2.3.4", "$bytes": "50"}}
    ]
