"""What starts pipelines, and what is told of them: rules, schedules, events and metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.jobs import Jobs, until
from tests.localcloud.pipelines import PipelineCalls, got
from tests.localcloud.test_alarms import Queue

from mlplat.localcloud import daemon

WRITE = "import sys, pathlib; pathlib.Path('/opt/ml/processing/output/said').write_text(' '.join(sys.argv[1:]))"


class Triggers:
    """A pipeline with a parameter, and roles that may or may not start it."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud, self.calls = cloud, PipelineCalls(Jobs(cloud))
        self.events, self.scheduler, self.iam = (cloud.client(name) for name in ("events", "scheduler", "iam"))
        parameters = [{"Name": "Word", "Type": "String", "DefaultValue": "nothing"}]
        step = self.calls.processing("Say", WRITE, got("Parameters.Word"))
        self.name = self.calls.create(step, Parameters=parameters)
        self.arn = self.calls.sagemaker.describe_pipeline(PipelineName=self.name)["PipelineArn"]

    def role(self, service: str, *, allowed: bool = True) -> str:
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        name = self.calls.jobs.name("starter")
        role = self.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )["Role"]["Arn"]
        if allowed:
            start = {"Effect": "Allow", "Action": "sagemaker:StartPipelineExecution", "Resource": self.arn}
            document = json.dumps({"Version": "2012-10-17", "Statement": [start]})
            self.iam.put_role_policy(RoleName=name, PolicyName="start", PolicyDocument=document)
        return str(role)

    def target(self, role: str, word: str) -> dict[str, Any]:
        parameters = {"PipelineParameterList": [{"Name": "Word", "Value": word}]}
        return {"Arn": self.arn, "RoleArn": role, "SageMakerPipelineParameters": parameters}

    def executions(self) -> list[str]:
        answer = self.calls.sagemaker.list_pipeline_executions(PipelineName=self.name, MaxResults=100)
        return [each["PipelineExecutionArn"] for each in answer["PipelineExecutionSummaries"]]

    def words(self, number: int) -> list[str]:
        """The parameter of each execution, once there are so many of them; the newest first."""
        arns = until(self.executions, lambda found: len(found) >= number)
        assert all(self.calls.wait(arn)["PipelineExecutionStatus"] == "Succeeded" for arn in arns)
        ask = self.calls.sagemaker.list_pipeline_parameters_for_execution
        return [ask(PipelineExecutionArn=arn)["PipelineParameters"][0]["Value"] for arn in arns]


@pytest.fixture
def triggers(cloud: RunningCloud) -> Triggers:
    """A pipeline of its own for each test."""
    return Triggers(cloud)


def test_a_rule_starts_a_pipeline_with_what_the_event_says(triggers: Triggers) -> None:
    name = triggers.name
    triggers.events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    target = triggers.target(triggers.role("events.amazonaws.com"), "$.detail.word")
    triggers.events.put_targets(Rule=name, Targets=[{"Id": "one", **target}])
    entry = {"Source": name, "DetailType": "test", "Detail": json.dumps({"word": "hello"})}
    triggers.events.put_events(Entries=[entry])
    assert triggers.words(1) == ["hello"]
    assert triggers.calls.read("Say/said") == "hello"
    with pytest.raises(ClientError, match="RoleArn is required for target"):
        triggers.events.put_targets(Rule=name, Targets=[{"Id": "two", "Arn": triggers.arn}])
    triggers.events.remove_targets(Rule=name, Ids=["one"])
    triggers.events.delete_rule(Name=name)


def test_a_role_must_be_allowed_to_start_it(triggers: Triggers) -> None:
    name, dead = triggers.name, Queue(triggers.cloud, f"{triggers.name}-dead")
    triggers.events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    target = triggers.target(triggers.role("events.amazonaws.com", allowed=False), "x")
    target["DeadLetterConfig"] = {"Arn": dead.arn}
    triggers.events.put_targets(Rule=name, Targets=[{"Id": "one", **target}])
    triggers.events.put_events(Entries=[{"Source": name, "DetailType": "test", "Detail": "{}"}])
    assert dead.wait()[0]["source"] == name
    assert triggers.executions() == []
    triggers.events.remove_targets(Rule=name, Ids=["one"])
    triggers.events.delete_rule(Name=name)


def test_schedules_start_a_pipeline(triggers: Triggers) -> None:
    scheduler, window = triggers.scheduler, {"Mode": "OFF"}
    nightly = {"Name": triggers.name, "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": window}
    with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume the role"):
        scheduler.create_schedule(**nightly, Target=triggers.target(triggers.role("events.amazonaws.com"), "nightly"))
    role = triggers.role("scheduler.amazonaws.com")
    scheduler.create_schedule(**nightly, Target=triggers.target(role, "nightly"))
    assert triggers.words(1) == ["nightly"]
    daemon.advance(triggers.cloud.address, 3600)
    assert triggers.words(2) == ["nightly"] * 2
    scheduler.delete_schedule(Name=triggers.name)
    triggers.events.put_rule(Name=triggers.name, ScheduleExpression="rate(5 minutes)")
    target = triggers.target(triggers.role("events.amazonaws.com"), "of a rule")
    triggers.events.put_targets(Rule=triggers.name, Targets=[{"Id": "one", **target}])
    daemon.advance(triggers.cloud.address, 0)
    daemon.advance(triggers.cloud.address, 301)
    assert triggers.words(3)[0] == "of a rule"
    triggers.events.remove_targets(Rule=triggers.name, Ids=["one"])
    triggers.events.delete_rule(Name=triggers.name)


def test_executions_and_steps_tell_of_their_statuses(triggers: Triggers) -> None:
    queue = Queue(triggers.cloud, triggers.name)
    about = [f"SageMaker Model Building Pipeline Execution {what}Status Change" for what in ("", "Step ")]
    pattern = {"source": ["aws.sagemaker"], "detail-type": about, "detail": {"pipelineArn": [triggers.arn]}}
    triggers.events.put_rule(Name=triggers.name, EventPattern=json.dumps(pattern))
    triggers.events.put_targets(Rule=triggers.name, Targets=[{"Id": "one", "Arn": queue.arn}])
    arn = triggers.calls.start(triggers.name)
    triggers.calls.wait(arn)
    told: dict[str, dict[str, Any]] = {each: {} for each in about}
    for each in queue.wait(5):
        detail = each["detail"]
        assert (each["resources"], detail["pipelineExecutionArn"]) == ([triggers.arn, arn], arn)
        told[each["detail-type"]][detail.get("currentStepStatus", detail.get("currentPipelineExecutionStatus"))] = (
            detail
        )
    assert set(told[about[0]]) == {"Executing", "Succeeded"}
    assert told[about[0]]["Succeeded"]["previousPipelineExecutionStatus"] == "Executing"
    assert {"executionStartTime", "executionEndTime"} <= told[about[0]]["Succeeded"].keys()
    assert set(told[about[1]]) == {"Starting", "Executing", "Succeeded"}
    step = told[about[1]]["Succeeded"]
    assert (step["stepName"], step["stepType"], step["previousStepStatus"]) == ("Say", "Processing", "Executing")
    assert step["metadata"]["processingJob"]["arn"].rpartition("/")[2].startswith("pipelines-")
    triggers.events.remove_targets(Rule=triggers.name, Ids=["one"])
    triggers.events.delete_rule(Name=triggers.name)
    assert until(lambda: metrics(triggers), lambda found: len(found) == 6) == {
        ("ExecutionStarted", 1), ("ExecutionSucceeded", 1), ("ExecutionDuration", 1),
        ("StepStarted", 2), ("StepSucceeded", 2), ("StepDuration", 2),
    }  # fmt: skip


def metrics(triggers: Triggers) -> set[tuple[str, int]]:
    """(name, number of dimensions) of what was published for the pipeline."""
    found = triggers.cloud.client("cloudwatch").list_metrics(
        Namespace="AWS/Sagemaker/ModelBuildingPipeline", Dimensions=[{"Name": "PipelineName", "Value": triggers.name}]
    )
    return {(each["MetricName"], len(each["Dimensions"])) for each in found["Metrics"]}
