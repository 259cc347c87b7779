"""When schedules fire, and what targets are sent: without a clock and without a cloud."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlplat.localcloud.eventbridge import inputs, timetable

NOW = datetime(2024, 2, 28, 10, 30, 20, tzinfo=UTC)  # a Wednesday, in a leap year


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(5 minutes)", "2024-02-28T10:35:20"),
        ("rate(1 day)", "2024-02-29T10:30:20"),
        ("cron(0 12 * * ? *)", "2024-02-28T12:00:00"),
        ("cron(30 10 * * ? *)", "2024-02-29T10:30:00"),
        ("cron(0/15 * * * ? *)", "2024-02-28T10:45:00"),
        ("cron(0 8 1 * ? *)", "2024-03-01T08:00:00"),
        ("cron(0 18 ? * MON-FRI *)", "2024-02-28T18:00:00"),
        ("cron(0 9 ? * FRI-MON *)", "2024-03-01T09:00:00"),
        ("cron(0 9 ? * 1 *)", "2024-03-03T09:00:00"),
        ("cron(0 9 L * ? *)", "2024-02-29T09:00:00"),
        ("cron(0 9 ? * 6L *)", "2024-03-29T09:00:00"),
        ("cron(0 9 ? * MON#1 *)", "2024-03-04T09:00:00"),
        ("cron(0 9 3W * ? *)", "2024-03-04T09:00:00"),
        ("cron(0 9 LW * ? *)", "2024-02-29T09:00:00"),
        ("cron(0 0 29 FEB ? *)", "2024-02-29T00:00:00"),
        ("cron(0 0 1 1 ? 2025-2026)", "2025-01-01T00:00:00"),
        ("cron(5,35 14 * * ? *)", "2024-02-28T14:05:00"),
        ("at(2024-03-01T07:00:00)", "2024-03-01T07:00:00"),
        ("cron(0 0 30 2 ? *)", None),
        ("cron(0 0 1 1 ? 1999)", None),
        ("at(2024-02-01T07:00:00)", None),
    ],
)
def test_the_next_time(expression: str, expected: str | None) -> None:
    found = timetable.following(expression, NOW)
    assert (found and found.isoformat()) == (expected and f"{expected}+00:00")


def test_a_rate_keeps_its_beat() -> None:
    begun = NOW - timedelta(minutes=12)
    assert timetable.following("rate(5 minutes)", NOW, begun=begun) == begun + timedelta(minutes=15)


def test_cron_in_a_time_zone() -> None:
    assert timetable.following("cron(0 9 * * ? *)", NOW, "America/New_York") == datetime(2024, 2, 28, 14, tzinfo=UTC)
    summer = datetime(2024, 7, 1, tzinfo=UTC)
    assert timetable.following("cron(0 9 * * ? *)", summer, "America/New_York") == summer.replace(hour=13)


EVENT: dict[str, Any] = {
    "version": "0", "id": "1", "source": "aws.sagemaker", "detail-type": "Changed", "account": "1", "region": "r",
    "time": "2024-02-28T10:30:20Z", "resources": ["arn"],
    "detail": {"Name": 'a "job"', "Metrics": [{"Value": 0.5}], "Left": None},
}  # fmt: skip


def test_what_a_target_is_sent() -> None:
    assert json.loads(inputs.body({}, EVENT)) == EVENT
    assert inputs.body({"Input": '{"a": 1}'}, EVENT) == '{"a": 1}'
    assert inputs.body({"InputPath": "$.detail.Metrics[0].Value"}, EVENT) == "0.5"
    paths = {"name": "$.detail.Name", "metrics": "$.detail.Metrics", "none": "$.detail.None"}
    template = '{"said": "job <name> of <aws.events.rule-name>", "name": <name>, "all": <metrics>, "none": <none>}'
    transformer = {"InputPathsMap": paths, "InputTemplate": template}
    assert json.loads(inputs.body({"InputTransformer": transformer}, EVENT, ("arn", "rule"))) == {
        "said": 'job a "job" of rule',
        "name": 'a "job"',
        "all": [{"Value": 0.5}],
        "none": None,
    }
    whole = {"InputTemplate": '{"event": <aws.events.event.json>}'}
    assert json.loads(inputs.body({"InputTransformer": whole}, EVENT))["event"] == EVENT
