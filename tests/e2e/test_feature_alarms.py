"""A feature store that is watched: an ingestion that fails, or fails to come, is an alarm, which reaches the topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e.project import Project
from tests.localcloud.jobs import until
from tests.localcloud.test_alarms import Queue

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e

WATCHED = """
target = "local"
[approval]
required = false
[monitoring]
emails = ["operations@example.com"]
[monitoring.feature_store]
enabled = true
period_minutes = 1
[feature_groups.people]
record_identifier = "id"
event_time = "at"
offline = false
freshness = "2m"
features = { id = "String", at = "String", age = "Integral" }
"""
PREFIX = "mlplat-development-features-people"


def alarm(project: Project, name: str) -> dict[str, Any]:
    (found,) = project.client("cloudwatch").describe_alarms(AlarmNames=[f"{PREFIX}-{name}"])["MetricAlarms"]
    return dict(found)


def turns(project: Project, name: str, state: str) -> dict[str, Any]:
    return until(lambda: alarm(project, name), lambda found: found["StateValue"] == state, within=30)


def test_alarms_go_off_and_tell_the_topic_and_the_second_plan_is_empty(project: Project) -> None:
    project.configure(WATCHED)
    (project.folder / "config" / "default.toml").write_text("")
    project.run("apply", "--with-dependencies", "--template", "ml_feature_store")
    project.run("plan", "--template", "ml_feature_store")
    outputs = project.json("outputs")
    topic = outputs["ml_feature_store.topic.alarms"]["arn"]
    queue = Queue(project, "alarms")
    project.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)

    rows = ["id,at,age", "1,2026-01-01T00:00:00Z,30", "2,2026-01-01T00:00:00Z,many"]
    (project.folder / "people.csv").write_text("\n".join(rows) + "\n")
    project.run("features", "ingest", "people", "people.csv", code=3)
    address = daemon.status(project.cloud)
    assert address is not None
    daemon.advance(address, 60)  # from here on, what happens now is in a period that is over
    found = turns(project, "failed-records", "ALARM")
    assert found["AlarmActions"] == [topic]
    assert "datapoint [1.0" in found["StateReason"]
    assert turns(project, "freshness", "ALARM")["Threshold"] == 120.0
    told = [json.loads(each["Message"]) for each in queue.wait()]
    assert (f"{PREFIX}-failed-records", "ALARM") in [(each["AlarmName"], each["NewStateValue"]) for each in told]

    runtime = project.client("sagemaker-featurestore-runtime")
    with pytest.raises(ClientError):
        record = [{"FeatureName": "id", "ValueAsString": "1"}]  # without an event time
        runtime.put_record(FeatureGroupName="mlplat-development-people", Record=record)
    assert turns(project, "put-errors", "ALARM")["Metrics"][-1]["Expression"] == "m1 + m2"

    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (project.folder / "fresh.csv").write_text(f"id,at,age\n3,{now},30\n")
    project.run("features", "ingest", "people", "fresh.csv")
    turns(project, "freshness", "OK")
    board = project.client("cloudwatch").get_dashboard(DashboardName="mlplat-development-feature-store-us-east-1")
    assert "NewestRecordAge" in board["DashboardBody"]
    project.run("destroy", "--reverse", "--template", "ml_feature_store", "--delete-data", "*")
    assert project.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert project.client("sns").list_topics()["Topics"] == []
    assert project.client("cloudwatch").list_dashboards()["DashboardEntries"] == []
