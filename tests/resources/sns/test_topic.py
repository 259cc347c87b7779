from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.resources.contract import KindContract, World

from mlplat.resources import Topic


def policy(world: World, name: str, *services: str) -> dict[str, Any]:
    """Services that may publish to a topic."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": f"Publish{number}",
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sns:Publish",
                "Resource": f"arn:aws:sns:{world.session.region}:{world.session.account}:{name}",
            }
            for number, service in enumerate(services)
        ],
    }


class TestTopic(KindContract):
    def desired(self, world: World) -> Topic:
        name = f"alarms-{world.suffix}"
        return Topic(
            name=name,
            key=world.key,
            policy=policy(world, name, "cloudwatch.amazonaws.com"),
            emails=["ops@example.com"],
        )

    def changes(self, world: World) -> dict[str, Any]:
        name = f"alarms-{world.suffix}"
        return {
            "key": world.new_key(),
            "policy": policy(world, name, "cloudwatch.amazonaws.com", "budgets.amazonaws.com"),
            "emails": ["first@example.com", "second@example.com"],
        }


def confirm(world: World, topic: Topic, email: str) -> str:
    """What happens when somebody follows the link in the mail: the subscription's ARN."""
    sns, arn = world.client("sns"), f"arn:aws:sns:{world.session.region}:{world.session.account}:{topic.name}"
    waiting = sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=email, ReturnSubscriptionArn=True)
    token = waiting["SubscriptionArn"].rpartition(":")[2]
    return str(sns.confirm_subscription(TopicArn=arn, Token=token)["SubscriptionArn"])


def listed(world: World, topic: Topic) -> dict[str, str]:
    """Address -> ARN of its subscription, or what stands for it."""
    arn = f"arn:aws:sns:{world.session.region}:{world.session.account}:{topic.name}"
    found = world.client("sns").list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    return {each["Endpoint"]: each["SubscriptionArn"] for each in found}


def test_an_address_waits_for_its_owner_and_is_no_drift_meanwhile(world: World) -> None:
    topic = replace(TestTopic().desired(world), emails=["a@example.com", "b@example.com"])
    topic.create(world.aws)
    assert listed(world, topic) == dict.fromkeys(["a@example.com", "b@example.com"], "PendingConfirmation")
    seen = topic.describe(world.aws)
    assert seen is not None
    assert topic.compare(seen) == []
    confirmed = confirm(world, topic, "a@example.com")
    fewer = replace(topic, emails=[])
    seen = fewer.describe(world.aws)
    assert seen is not None
    assert seen.fields["emails"] == ["a@example.com"], "b never answered: nothing can be taken back from it"
    assert listed(world, topic)["a@example.com"] == confirmed
    fewer.update(world.aws, seen, frozenset({"emails"}))
    seen = fewer.describe(world.aws)
    assert seen is not None
    assert fewer.compare(seen) == []
    assert listed(world, topic) == {"b@example.com": "PendingConfirmation"}
    topic.delete(world.aws, topic.name)


def test_subscriptions_of_others_are_left_alone(world: World) -> None:
    topic = TestTopic().desired(world)
    topic.create(world.aws)
    seen = topic.describe(world.aws)
    assert seen is not None
    queue = world.client("sqs").create_queue(QueueName=topic.name)["QueueUrl"].rpartition("/")[2]
    arn = f"arn:aws:sqs:us-east-1:{world.session.account}:{queue}"
    world.client("sns").subscribe(TopicArn=seen.outputs["arn"], Protocol="sqs", Endpoint=arn)
    seen = topic.describe(world.aws)
    assert seen is not None
    assert topic.compare(seen) == []
    replace(topic, emails=[]).update(world.aws, seen, frozenset({"emails"}))
    assert arn in listed(world, topic)
    topic.delete(world.aws, topic.name)


def test_a_topic_of_that_name_with_other_tags_is_refused(world: World) -> None:
    """CreateTopic would otherwise be a way to take over somebody's topic."""
    import pytest

    from mlplat.errors import ApiError

    topic = TestTopic().desired(world)
    topic.create(world.aws)
    with pytest.raises(ApiError, match="already exists with different tags"):
        topic.create(world.session.at("another.topic.address"))
    topic.delete(world.aws, topic.name)
