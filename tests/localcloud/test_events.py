"""EventBridge in the running local cloud: rules, targets and their permissions, schedules, SageMaker's own events."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.hosted import Hosted
from tests.localcloud.jobs import Jobs, until
from tests.localcloud.test_alarms import Queue
from tests.localcloud.test_lambdas import Functions

from mlplat.localcloud import daemon


class Rules:
    """Rules with one name, and a queue to send to."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud, self.events = cloud, cloud.client("events")
        self.name = f"rule-{uuid.uuid4().hex[:8]}"
        self.queue = Queue(cloud, self.name)

    def make(self, target: dict[str, Any] | None = None, **rule: Any) -> str:
        answer = self.events.put_rule(Name=self.name, **rule)
        self.events.put_targets(Rule=self.name, Targets=[{"Id": "one", "Arn": self.queue.arn, **(target or {})}])
        return str(answer["RuleArn"])

    def put(self, **detail: Any) -> None:
        entry = {"Source": self.name, "DetailType": "test", "Detail": json.dumps(detail)}
        assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def metric(self, name: str) -> float:
        """How often EventBridge has counted it."""
        found = self.cloud.client("cloudwatch").get_metric_data(
            StartTime=0, EndTime=4102444800,
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Period": 86400 * 365, "Stat": "Sum", "Metric": {
                "Namespace": "AWS/Events", "MetricName": name, "Dimensions": [{"Name": "RuleName", "Value": self.name}],
            }}}],
        )  # fmt: skip
        return float(sum(found["MetricDataResults"][0]["Values"]))

    def forget(self) -> None:
        self.events.remove_targets(Rule=self.name, Ids=["one"])
        self.events.delete_rule(Name=self.name)


@pytest.fixture
def rules(cloud: RunningCloud) -> Any:
    made = Rules(cloud)
    yield made
    made.forget()


def test_a_rule_takes_what_matches_and_transforms_it(rules: Rules) -> None:
    pattern = {"source": [rules.name], "detail": {"size": [{"numeric": [">", 3]}]}}
    transformer = {"InputPathsMap": {"size": "$.detail.size"}, "InputTemplate": '"size is <size>"'}
    rules.make({"InputTransformer": transformer}, EventPattern=json.dumps(pattern))
    rules.put(size=2)
    rules.put(size=5)
    assert rules.queue.wait() == ["size is 5"]
    rules.events.disable_rule(Name=rules.name)
    rules.put(size=6)
    rules.events.enable_rule(Name=rules.name)
    rules.put(size=7)
    assert rules.queue.wait(2) == ["size is 5", "size is 7"]
    assert until(lambda: rules.metric("Invocations"), lambda count: count == 2.0)


def test_a_function_must_let_events_in(rules: Rules) -> None:
    functions = Functions(rules.cloud)
    name = functions.make("def handler(event, context): print('got', event['detail']['what'])")
    function = functions.lambdas.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    dead = Queue(rules.cloud, f"{rules.name}-dead")
    arn = rules.make(
        {"Arn": function, "DeadLetterConfig": {"Arn": dead.arn}}, EventPattern=json.dumps({"source": [rules.name]})
    )
    rules.put(what="nothing")
    assert dead.wait()[0]["detail"] == {"what": "nothing"}
    assert rules.metric("FailedInvocations") == 1.0
    functions.lambdas.add_permission(
        FunctionName=name, StatementId="events", Action="lambda:InvokeFunction", Principal="events.amazonaws.com",
        SourceArn=arn,
    )  # fmt: skip
    rules.put(what="something")
    lines = until(lambda: functions.log(name), lambda found: "got something" in found)
    assert "got nothing" not in lines


def test_topics_and_log_groups_are_targets(rules: Rules) -> None:
    sns, logs = rules.cloud.client("sns"), rules.cloud.client("logs")
    topic = sns.create_topic(Name=rules.name)["TopicArn"]
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=rules.queue.arn)
    group = f"/aws/events/{rules.name}"
    logs.create_log_group(logGroupName=group)
    group_arn = f"arn:aws:logs:us-east-1:{rules.cloud.account}:log-group:{group}"
    allow = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Resource": f"{group_arn}:*",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    logs.put_resource_policy(policyName=rules.name, policyDocument=policy)
    rules.make({"Arn": topic}, EventPattern=json.dumps({"source": [rules.name]}))
    rules.events.put_targets(Rule=rules.name, Targets=[{"Id": "logs", "Arn": f"{group_arn}:*"}])
    rules.put(what="news")
    assert json.loads(rules.queue.wait()[0]["Message"])["detail"] == {"what": "news"}
    until(lambda: logs.filter_log_events(logGroupName=group)["events"], lambda found: "news" in str(found))
    rules.events.remove_targets(Rule=rules.name, Ids=["logs"])


def test_a_scheduled_rule_fires_again_and_again(rules: Rules) -> None:
    arn = rules.make(ScheduleExpression="rate(5 minutes)")
    daemon.advance(rules.cloud.address, 0)
    daemon.advance(rules.cloud.address, 301)
    (event,) = rules.queue.wait()
    assert (event["source"], event["detail-type"], event["resources"]) == ("aws.events", "Scheduled Event", [arn])
    daemon.advance(rules.cloud.address, 300)
    assert len(rules.queue.wait(2)) == 2
    rules.events.disable_rule(Name=rules.name)
    daemon.advance(rules.cloud.address, 600)
    assert len(rules.queue.messages()) == 2


def test_the_scheduler_fires_with_its_role(rules: Rules) -> None:
    rules.make(EventPattern=json.dumps({"source": ["nothing"]}))
    iam, scheduler = rules.cloud.client("iam"), rules.cloud.client("scheduler")
    trust = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName=rules.name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": rules.queue.arn}
    iam.put_role_policy(
        RoleName=rules.name, PolicyName="send",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )  # fmt: skip
    target = {"Arn": rules.queue.arn, "RoleArn": role, "Input": '{"run": "nightly"}'}
    window = {"Mode": "OFF"}
    scheduler.create_schedule(
        Name=rules.name, ScheduleExpression="rate(1 hour)", Target=target, FlexibleTimeWindow=window
    )
    assert rules.queue.wait() == [{"run": "nightly"}]
    daemon.advance(rules.cloud.address, 3600)
    assert rules.queue.wait(2) == [{"run": "nightly"}] * 2
    scheduler.delete_schedule(Name=rules.name)
    with pytest.raises(ClientError) as caught:
        scheduler.create_schedule(
            Name="bad", ScheduleExpression="rate(1 hours)", Target=target, FlexibleTimeWindow=window
        )
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_training_job_tells_of_its_states(rules: Rules) -> None:
    jobs = Jobs(rules.cloud)
    name = jobs.name()
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {"TrainingJobName": [name], "TrainingJobStatus": ["Completed"]},
    }
    rules.make(EventPattern=json.dumps(pattern))
    job = jobs.run("print('hello')", TrainingJobName=name, Tags=[{"Key": "team", "Value": "churn"}])
    (event,) = rules.queue.wait()
    detail = event["detail"]
    assert event["resources"] == [job["TrainingJobArn"]] == [detail["TrainingJobArn"]]
    assert detail["ModelArtifacts"] == job["ModelArtifacts"] and detail["Tags"] == {"team": "churn"}
    assert detail["CreationTime"] == int(job["CreationTime"].timestamp() * 1000)


def test_endpoints_and_models_tell_of_theirs(rules: Rules) -> None:
    hosted = Hosted(rules.cloud)
    rules.make(EventPattern=json.dumps({"source": ["aws.sagemaker"], "resources": [{"suffix": hosted.mark}]}))
    model = hosted.model("told")
    hosted.create("told", hosted.config("told", {"all": (model, 1.0)}))
    told = rules.queue.wait(4)
    kinds = [each["detail-type"].removeprefix("SageMaker ").removesuffix(" State Change") for each in told]
    assert sorted(kinds) == ["Endpoint", "Endpoint", "Endpoint Config", "Model"]
    statuses = {each["detail"]["EndpointStatus"] for each in told if "EndpointStatus" in each["detail"]}
    assert statuses == {"CREATING", "IN_SERVICE"}
    assert "Served" not in str(told)
