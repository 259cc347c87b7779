"""SNS topics: where alarms go, and who is written to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list, tag_map
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.policy import Document, canonical

PENDING = "PendingConfirmation"
"""What stands for the ARN of a subscription that nobody has confirmed yet."""


@dataclass(frozen=True, kw_only=True)
class Topic(Resource):
    """A standard topic with its policy, its key, and the addresses that get its messages by e-mail.

    What AWS makes special (SNS developer guide and API reference):

    - CreateTopic answers with the topic that is there already when name, attributes and tags are the same.
    - A service publishes to an encrypted topic only when the key's policy lets it in: the key is a customer managed
      one, because `alias/aws/sns` can't be shared with CloudWatch.
    - An address gets messages once somebody has followed the link in the mail that Subscribe sends. Until then its
      subscription has no ARN and can't be taken back; AWS forgets it after a while, and it is asked for again.
    - Whoever unsubscribes by the link in a message is gone from the list, and a plan shows that.
    """

    kind: ClassVar[str] = "topic"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    policy: Document | None = None
    key: str | Ref | None = None
    """ARN of the KMS key that messages are encrypted with."""
    emails: Sequence[str] = ()
    """All addresses that are subscribed; subscriptions by other protocols are nobody's business here."""

    def desired(self) -> dict[str, Any]:
        """The fields, in the form that `describe` gives them."""
        policy = None if self.policy is None else {"policy": canonical(self.policy)}
        return {**super().desired(), **(policy or {}), "emails": sorted(set(self.emails))}

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The topic by its name, which is its id."""
        if id not in (None, self.name):
            return replace(self, name=id).describe(aws)  # the object of a former name
        sns, arn = aws.client("sns"), self._arn(aws)
        found = aws.find(lambda: sns.get_topic_attributes(TopicArn=arn)["Attributes"])
        if found is None:
            return None
        tags = aws.find(lambda: sns.list_tags_for_resource(ResourceArn=arn)["Tags"])
        emails = {each["Endpoint"] for each in _by_email(aws, arn) if self._counts(each)}
        fields = {
            "name": self.name,
            "policy": canonical(json.loads(found["Policy"])),
            "key": found.get("KmsMasterKeyId") or None,
            "emails": sorted(emails),
        }
        return Observed(self.name, fields, {"name": self.name, "arn": arn}, tag_map(tags))

    def create(self, aws: Session) -> str:
        """CreateTopic with tags, then a mail to every address."""
        attributes = {"Policy": json.dumps(self.policy)} if self.policy else {}
        if self.key:
            attributes["KmsMasterKeyId"] = str(self.key)
        aws.client("sns").create_topic(Name=self.name, Attributes=attributes, Tags=tag_list(aws.tags))
        self._subscribe(aws, self.emails)
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Each changed part by its own call; only who isn't subscribed gets a mail."""
        sns, arn = aws.client("sns"), seen.outputs["arn"]
        if "tags" in changed:
            sns.tag_resource(ResourceArn=arn, Tags=tag_list(aws.tags))
            if outdated := list(aws.outdated(seen.tags)):
                sns.untag_resource(ResourceArn=arn, TagKeys=outdated)
        if "policy" in changed:
            text = json.dumps(self.policy)
            sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=text)
        if "key" in changed:
            sns.set_topic_attributes(TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=self.key)
        if "emails" in changed:
            self._subscribe(aws, sorted(set(self.emails) - set(seen.fields["emails"])))
            for each in _by_email(aws, arn):
                if each["Endpoint"] not in self.emails and each["SubscriptionArn"] != PENDING:
                    with aws.gone_is_fine():
                        sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])

    def delete(self, aws: Session, id: str) -> None:
        """Delete it with its subscriptions; DeleteTopic succeeds for one that isn't there."""
        aws.client("sns").delete_topic(TopicArn=replace(self, name=id)._arn(aws))

    def _subscribe(self, aws: Session, emails: Sequence[str]) -> None:
        for email in emails:
            aws.client("sns").subscribe(TopicArn=self._arn(aws), Protocol="email", Endpoint=email)

    def _counts(self, subscription: Mapping[str, str]) -> bool:
        """One that waits to be confirmed is as good as can be; one that nobody wants any more is as good as gone."""
        return subscription["SubscriptionArn"] != PENDING or subscription["Endpoint"] in self.emails

    def _arn(self, aws: Session) -> str:
        return f"arn:{aws.partition}:sns:{aws.region}:{aws.account}:{self.name}"


def _by_email(aws: Session, arn: str) -> Iterator[dict[str, str]]:
    listed = aws.client("sns").pages("list_subscriptions_by_topic", "Subscriptions", TopicArn=arn)
    yield from (each for each in listed if each["Protocol"] == "email" and each["SubscriptionArn"] != "Deleted")
