"""CloudWatch's alarms in the running local cloud: they turn, remember, publish, and put events on the bus."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.jobs import until

from mlplat.localcloud import daemon


class Watch:
    """An alarm on a metric of its own, and what it sends."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud, self.cloudwatch = cloud, cloud.client("cloudwatch")
        self.name = f"alarm-{uuid.uuid4().hex[:8]}"
        self.queue = Queue(cloud, self.name)
        sns = cloud.client("sns")
        self.topic: str = sns.create_topic(Name=self.name)["TopicArn"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.queue.arn)

    def make(self, **terms: Any) -> None:
        given = {
            "AlarmName": self.name, "Namespace": self.name, "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 2.0, "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": [self.topic], "OKActions": [self.topic],
        }  # fmt: skip
        self.cloudwatch.put_metric_alarm(**{k: v for k, v in (given | terms).items() if v is not None})

    def now(self, ahead: float = 0) -> datetime:
        return daemon.advance(self.cloud.address, ahead)

    def put(self, value: float, name: str = "Errors", ago: float = 0) -> None:
        """A datum in the last whole minute of the local cloud's clock, or so many seconds before."""
        minute = self.now().replace(second=0, microsecond=0) - timedelta(seconds=30 + ago)
        self.cloudwatch.put_metric_data(
            Namespace=self.name, MetricData=[{"MetricName": name, "Timestamp": minute, "Value": value}]
        )

    def described(self, name: str | None = None) -> dict[str, Any]:
        found = self.cloudwatch.describe_alarms(
            AlarmNames=[name or self.name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        return dict((found["MetricAlarms"] + found["CompositeAlarms"])[0])

    def turns(self, state: str, name: str | None = None) -> dict[str, Any]:
        return until(lambda: self.described(name), lambda alarm: alarm["StateValue"] == state, within=15)


class Queue:
    """A queue that topics and rules may send to, and what was in it."""

    def __init__(self, cloud: RunningCloud, name: str) -> None:
        self._sqs = cloud.client("sqs")
        self.url: str = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn: str = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        statement = {
            "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": self.arn,
            "Principal": {"Service": ["sns.amazonaws.com", "events.amazonaws.com", "scheduler.amazonaws.com"]},
        }  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        self.taken: list[Any] = []

    def messages(self) -> list[Any]:
        """All that has come so far."""
        found = self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        for each in found:
            self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=each["ReceiptHandle"])
        self.taken += [_read(each["Body"]) for each in found]
        return self.taken

    def wait(self, count: int = 1) -> list[Any]:
        return until(self.messages, lambda found: len(found) >= count, within=20)


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


@pytest.fixture
def watch(cloud: RunningCloud) -> Watch:
    return Watch(cloud)


def test_an_alarm_goes_off_and_back_and_tells_a_topic(watch: Watch) -> None:
    watch.make()
    assert watch.described()["StateValue"] == "INSUFFICIENT_DATA"
    watch.put(3.0)
    alarm = watch.turns("ALARM")
    assert "was greater than the threshold (2.0)" in alarm["StateReason"]
    assert json.loads(alarm["StateReasonData"])["recentDatapoints"] == [3.0]
    watch.now(ahead=60)
    watch.put(1.0)
    watch.turns("OK")
    sent = [json.loads(each["Message"]) for each in watch.queue.wait(2)]
    assert [each["NewStateValue"] for each in sent] == ["ALARM", "OK"]
    assert sent[0]["OldStateValue"] == "INSUFFICIENT_DATA" and sent[0]["Region"] == "US East (N. Virginia)"
    assert sent[0]["Trigger"]["MetricName"] == "Errors" and sent[0]["Trigger"]["Statistic"] == "SUM"
    assert watch.queue.taken[0]["Subject"] == f'ALARM: "{watch.name}" in US East (N. Virginia)'


def test_its_history_says_what_happened(watch: Watch) -> None:
    watch.make()
    watch.put(3.0)
    watch.turns("ALARM")
    watch.queue.wait()
    history = until(
        lambda: watch.cloudwatch.describe_alarm_history(AlarmName=watch.name, ScanBy="TimestampAscending"),
        lambda found: len(found["AlarmHistoryItems"]) == 3,
    )["AlarmHistoryItems"]
    assert [each["HistoryItemType"] for each in history] == ["ConfigurationUpdate", "StateUpdate", "Action"]
    assert history[1]["HistorySummary"] == "Alarm updated from INSUFFICIENT_DATA to ALARM"
    assert json.loads(history[1]["HistoryData"])["newState"]["stateValue"] == "ALARM"
    assert history[2]["HistorySummary"] == f"Successfully executed action {watch.topic}"


def test_a_topic_and_its_key_must_let_alarms_in(watch: Watch) -> None:
    """A topic that is encrypted under a key's default policy gets nothing, and only the history says why."""
    sns, kms, me = watch.cloud.client("sns"), watch.cloud.client("kms"), watch.cloud.account

    def set_to(name: str, value: str) -> None:
        sns.set_topic_attributes(TopicArn=watch.topic, AttributeName=name, AttributeValue=value)

    def tried(count: int) -> str:
        """What became of the actions, once `count` were tried."""
        actions = until(
            lambda: watch.cloudwatch.describe_alarm_history(AlarmName=watch.name, HistoryItemType="Action"),
            lambda found: len(found["AlarmHistoryItems"]) == count,
        )["AlarmHistoryItems"]
        return str(actions[0]["HistorySummary"])

    def turn(state: str) -> None:
        watch.cloudwatch.set_alarm_state(AlarmName=watch.name, StateValue=state, StateReason="rehearsal")

    watch.make()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    set_to("KmsMasterKeyId", key)
    turn("ALARM")
    assert f"cloudwatch.amazonaws.com is not authorized to perform: kms:Decrypt on {key}" in tried(1)
    alarms = {
        "Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Resource": "*",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Condition": {"StringEquals": {"aws:SourceAccount": me}},
    }  # fmt: skip
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{me}:root"}, "Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [root, alarms]})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    turn("OK")
    assert tried(2) == f"Successfully executed action {watch.topic}"
    only = {**alarms, "Action": "sns:Publish", "Condition": {"StringEquals": {"aws:SourceAccount": "210987654321"}}}
    set_to("Policy", json.dumps({"Version": "2012-10-17", "Statement": [only]}))
    turn("ALARM")
    assert "is not authorized to perform: SNS:Publish on resource" in tried(3)
    assert len(watch.queue.wait(1)) == 1


def test_a_state_that_is_set_acts_and_is_corrected(watch: Watch) -> None:
    watch.make()
    watch.put(1.0)
    watch.turns("OK")
    watch.cloudwatch.set_alarm_state(AlarmName=watch.name, StateValue="ALARM", StateReason="rehearsal")
    sent = [json.loads(each["Message"]) for each in watch.queue.wait(2)]
    assert ("ALARM", "rehearsal") in [(each["NewStateValue"], each["NewStateReason"]) for each in sent]
    watch.put(1.0)
    watch.turns("OK")


def test_disabled_actions_are_not_taken(watch: Watch) -> None:
    watch.make(ActionsEnabled=False)
    watch.put(3.0)
    watch.turns("ALARM")
    items = watch.cloudwatch.describe_alarm_history(AlarmName=watch.name, HistoryItemType="Action")["AlarmHistoryItems"]
    assert items == [] and watch.queue.messages() == []


def test_metric_math_and_composite_alarms(watch: Watch) -> None:
    stat = {"Period": 60, "Stat": "Sum"}
    queries = [
        {"Id": name, "ReturnData": False,
         "MetricStat": {"Metric": {"Namespace": watch.name, "MetricName": metric}, **stat}}
        for name, metric in (("errors", "Errors"), ("requests", "Requests"))
    ]  # fmt: skip
    rate = {"Id": "rate", "Expression": "100 * errors / requests", "Label": "error rate"}
    watch.make(Metrics=[*queries, rate], Threshold=10.0, Namespace=None, MetricName=None, Statistic=None, Period=None)
    both = f"{watch.name}-both"
    watch.cloudwatch.put_composite_alarm(AlarmName=both, AlarmRule=f'ALARM("{watch.name}") OR FALSE')
    watch.put(3.0)
    watch.put(20.0, "Requests")
    watch.turns("ALARM")
    assert "transitioned to ALARM" in watch.turns("ALARM", both)["StateReason"]


def test_an_alarm_is_an_event(watch: Watch) -> None:
    events = watch.cloud.client("events")
    pattern = {"detail-type": ["CloudWatch Alarm State Change"], "detail": {"alarmName": [watch.name]}}
    events.put_rule(Name=watch.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=watch.name, Targets=[{"Id": "queue", "Arn": watch.queue.arn}])
    watch.make(AlarmActions=[], OKActions=[])
    watch.put(3.0)
    (event,) = watch.queue.wait()
    assert event["source"] == "aws.cloudwatch" and event["resources"] == [watch.described()["AlarmArn"]]
    assert event["detail"]["state"]["value"] == "ALARM"
    assert event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]["name"] == "Errors"
    events.remove_targets(Rule=watch.name, Ids=["queue"])
    events.delete_rule(Name=watch.name)


@pytest.mark.parametrize(
    "terms",
    [
        {"ComparisonOperator": "LessThanLowerThreshold"},
        {"DatapointsToAlarm": 2},
        {"ExtendedStatistic": "p90"},
        {"Metrics": [{"Id": "a", "Expression": "SEARCH('x', 'Sum')"}], "MetricName": None, "Namespace": None,
         "Statistic": None, "Period": None},
        {"Metrics": [{"Id": "a", "Expression": "b + 1"}], "MetricName": None, "Namespace": None, "Statistic": None,
         "Period": None},
    ],
)  # fmt: skip
def test_what_would_never_go_off_is_refused(watch: Watch, terms: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        watch.make(**terms)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert watch.cloudwatch.describe_alarms(AlarmNames=[watch.name])["MetricAlarms"] == []


def test_alarms_and_timers_go_on_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / ".mlplat" / "local"
    watch = Watch(RunningCloud(daemon.start(folder, transition_delay=0.0)))
    try:
        watch.make()
        watch.put(3.0)
        before = watch.turns("ALARM")
        watch.cloud.client("events").put_rule(Name="often", ScheduleExpression="rate(1 minute)")
        watch.cloud.client("events").put_targets(Rule="often", Targets=[{"Id": "queue", "Arn": watch.queue.arn}])
        watch.queue.wait()
        watch.now(ahead=2)
        daemon.stop(folder)
        again = RunningCloud(daemon.start(folder, transition_delay=0.0))
        (alarm,) = again.client("cloudwatch").describe_alarms(AlarmNames=[watch.name])["MetricAlarms"]
        assert (alarm["StateValue"], alarm["StateReason"]) == ("ALARM", before["StateReason"])
        history = again.client("cloudwatch").describe_alarm_history(AlarmName=watch.name)["AlarmHistoryItems"]
        assert len(history) == 3
        daemon.advance(again.address, 60)
        queue = Queue(again, watch.name)
        assert queue.wait()[0]["detail-type"] == "Scheduled Event"
    finally:
        daemon.stop(folder)
