from __future__ import annotations

from typing import Any

import pytest
from tests.templates.platform import GROUP, PLACE, of_template, platform

from mlplat.resources import Alarm, Dashboard, Topic
from mlplat.resources.base import Ref
from mlplat.templates import Place

WATCHED = {"feature_store": {"enabled": True}}


def watched(place: Place = PLACE, **tables: Any) -> dict[str, Any]:
    declared = of_template(platform(place, **{"monitoring": WATCHED, **tables}), "ml_feature_store")
    return {address: each.resource for address, each in declared.items()}


def alarms(**group: Any) -> dict[str, Alarm]:
    found = watched(feature_groups={"customer": {**GROUP, **group}})
    return {address.removeprefix("alarm."): each for address, each in found.items() if isinstance(each, Alarm)}


def test_nothing_is_watched_unless_it_is_asked_for() -> None:
    kinds = {each.resource.kind for each in platform().values()}
    assert not kinds & {"alarm", "dashboard", "topic"}
    nothing = watched(feature_groups={}, workloads={}, endpoints={}, crawler={"enabled": False})
    assert set(nothing) == {"role.feature_store"}


def test_puts_and_gets_of_every_group_and_batches_of_all() -> None:
    assert set(alarms(freshness="2d")) == {
        "customer_put_errors", "customer_put_latency", "customer_get_errors", "customer_get_latency",
        "customer_throttles", "customer_failed_records", "customer_freshness",
        "account_batch_write_errors", "account_batch_get_errors", "account_batch_throttles",
    }  # fmt: skip
    assert not any("get" in each and "batch" not in each for each in alarms(online=False))
    assert "customer_freshness" not in alarms()


def test_an_alarm_is_about_the_group_as_aws_calls_it_and_goes_to_the_topic() -> None:
    alarm = alarms(version=2)["customer_put_errors"]
    assert alarm.name == "mlplat-development-features-customer-put-errors"
    assert [each["dimensions"] for each in alarm.metrics] == [
        {"FeatureGroupName": "mlplat-development-customer-v2", "OperationName": "PutRecord"}
    ] * 2
    assert [each["name"] for each in alarm.metrics] == ["Operation4XXErrors", "Operation5XXErrors"]
    assert (alarm.expression, alarm.missing) == ("m1 + m2", "notBreaching")
    assert list(alarm.actions) == list(alarm.ok_actions) == [Ref("ml_feature_store.topic.alarms", "arn")]


def test_settings_say_how_much_is_too_much() -> None:
    at = {"enabled": True, "errors": 3, "latency_ms": 50, "period_minutes": 1, "metrics": "AWS/SageMaker"}
    found = watched(monitoring={"feature_store": at})
    errors, latency = found["alarm.customer_get_errors"], found["alarm.customer_get_latency"]
    assert (errors.threshold, errors.period, errors.metrics[0]["namespace"]) == (3.0, 60, "AWS/SageMaker")
    assert (latency.threshold, latency.periods, latency.metrics[0]["statistic"]) == (50_000.0, 3, "p99")


@pytest.mark.parametrize(
    ("limit", "period", "periods"),
    [("1m", 60, 1), ("50m", 300, 10), ("12h", 900, 48), ("1d", 900, 96), ("2d", 3600, 48), ("7d", 3600, 168)],
)
def test_freshness_looks_back_as_far_as_a_record_may_be_old(limit: str, period: int, periods: int) -> None:
    alarm = alarms(freshness=limit)["customer_freshness"]
    assert (alarm.period, alarm.periods, alarm.datapoints) == (period, periods, periods)
    assert alarm.threshold == period * periods
    assert alarm.missing == "breaching"
    assert alarm.period * alarm.periods <= (604_800 if alarm.period >= 3600 else 86_400)


def test_the_topic_is_encrypted_and_for_alarms_of_this_account() -> None:
    topic = watched(monitoring={**WATCHED, "emails": ["b@example.com", "a@example.com", "b@example.com"]})[
        "topic.alarms"
    ]
    assert isinstance(topic, Topic)
    assert topic.key == Ref("ml_data_infrastructure.kms_key.platform", "arn")
    assert topic.policy is not None
    (statement,) = topic.policy["Statement"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Resource"].endswith(f":{PLACE.account}:{topic.name}")
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": PLACE.account}
    assert topic.emails == ["a@example.com", "b@example.com"]


def test_the_dashboard_shows_every_group_within_its_limits() -> None:
    groups = {f"group_{number}": GROUP for number in range(100)}
    found = watched(feature_groups=groups)
    boards = {address: each for address, each in found.items() if isinstance(each, Dashboard)}
    assert set(boards) == {"dashboard.features", "dashboard.features_2"}
    shown = [each for board in boards.values() for each in board.widgets]
    assert len(shown) == 500
    for board in boards.values():
        assert board.name.endswith(PLACE.region), "dashboards are the whole account's"
        assert len(board.widgets) <= 500
        spots = [(each["x"], each["y"]) for each in board.widgets]
        assert len(set(spots)) == len(spots)
    text = str(shown)
    assert all(place_name in text for place_name in ("mlplat-development-group-99", "NewestRecordAge"))
    assert all(each["x"] + each["width"] <= 24 for each in shown)


def test_names_keep_to_the_limits() -> None:
    place = Place("n" * 16, PLACE.account, "ap-southeast-1", "aws", PLACE.zones)
    found = watched(place, feature_groups={"g" * 28: {**GROUP, "freshness": "1d"}}, workloads={}, endpoints={})
    assert all(len(each.name) <= 255 for each in found.values() if isinstance(each, Alarm | Dashboard | Topic))
