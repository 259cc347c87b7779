from __future__ import annotations

import json
from typing import Any

import pytest
from tests.resources.contract import KindContract, World

from mlplat.errors import ApiError
from mlplat.resources import EventRule


def topic(world: World, name: str) -> str:
    return str(world.client("sns").create_topic(Name=f"{name}-{world.suffix}")["TopicArn"])


class TestScheduledRule(KindContract):
    def desired(self, world: World) -> EventRule:
        return EventRule(
            name=f"contract-{world.suffix}",
            schedule="cron(0 3 * * ? *)",
            targets={"one": {"Arn": topic(world, "one")}},
            description="Every night",
        )

    def changes(self, world: World) -> dict[str, Any]:
        return {
            "schedule": "rate(6 hours)",
            "targets": {"two": {"Arn": topic(world, "two"), "Input": "{}"}, "three": {"Arn": topic(world, "three")}},
            "description": "Four times a day",
        }


class TestRuleOfEvents(KindContract):
    def desired(self, world: World) -> EventRule:
        return EventRule(name=f"contract-{world.suffix}", pattern={"source": ["aws.sagemaker"]})

    def changes(self, world: World) -> dict[str, Any]:
        return {"pattern": {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Model Package State Change"]}}


def test_a_target_that_is_not_taken_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = TestScheduledRule().desired(world)
    failed = {"FailedEntries": [{"TargetId": "one", "ErrorCode": "LimitExceeded", "ErrorMessage": "too many"}]}
    monkeypatch.setattr(world.aws.client("events").boto, "put_targets", lambda **_: {"FailedEntryCount": 1, **failed})
    with pytest.raises(ApiError, match="one: too many"):
        rule.create(world.aws)


def test_the_input_of_a_target_comes_back_as_it_was(world: World) -> None:
    sent = {"Arn": topic(world, "one"), "Input": json.dumps({"a": 1})}
    rule = EventRule(name=f"contract-{world.suffix}", schedule="rate(1 day)", targets={"one": sent})
    seen = rule.describe(world.aws, rule.create(world.aws))
    assert seen is not None
    assert seen.fields["targets"] == {"one": sent}
