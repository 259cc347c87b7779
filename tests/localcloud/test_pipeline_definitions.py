"""Definitions that CreatePipeline refuses, and small pieces of those that it takes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.localcloud.pipelines import got, joined

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.pipelines import definitions, durations
from mlplat.localcloud.pipelines.definitions import Step
from mlplat.localcloud.pipelines.expressions import Scope, Unresolved, evaluated
from mlplat.localcloud.pipelines.retrying import Failure, pause
from mlplat.localcloud.pipelines.step_runs import name_of
from mlplat.localcloud.pipelines.step_types import MAKING

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abcdefghijkl"


def processing(name: str = "A", **members: Any) -> dict[str, Any]:
    arguments = {
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "AppSpecification": {"ImageUri": "image"},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments | members.pop("Arguments", {})} | members


def document(*steps: Any, **members: Any) -> str:
    import json

    return json.dumps({"Version": "2020-12-01", "Steps": list(steps)} | members)


def condition(name: str, *conditions: Any, yes: Any = (), no: Any = ()) -> dict[str, Any]:
    inside = {"Conditions": list(conditions), "IfSteps": list(yes), "ElseSteps": list(no)}
    return {"Name": name, "Type": "Condition", "Arguments": inside}


EQUALS = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Malformed JSON"),
        ("[]", "Expecting start of Json Object."),
        (document(Version="2021-01-01"), "Version '2021-01-01' is not supported"),
        (document(), "1 to 50 steps, not 0"),
        (document(processing(), processing()), "duplicate names: A"),
        (document(processing(), condition("C", EQUALS, yes=[processing()])), "duplicate names: A"),
        (document(processing("with space")), "Invalid step name: with space"),
        (document(processing(Type="Juggle")), "Unknown step type 'Juggle' of step A"),
        (document(processing(DependsOn=["B"])), "depends on B, which is not defined"),
        (document(processing(DependsOn=["B"]), processing("B", DependsOn=["A"])), "depend on each other"),
        (document(processing(Arguments={"RoleArn": got("Parameters.Role")})), "Parameters.Role is not defined"),
        (document(processing(Arguments={"RoleArn": got("Steps.B.RoleArn")})), "Steps.B is not defined (step A)"),
        (document(processing(Arguments={"RoleArn": got("Execution.Weather")})), "Execution.Weather is not defined"),
        (document(processing(Arguments={"RoleArn": got("nonsense")})), "Invalid reference: nonsense"),
        (document(processing(Arguments={"Environment": []})), "Expecting start of Json Object."),
        (document(processing(Arguments={"ProcessingInputs": got("Parameters.X")})), "Expecting start of Json Array."),
        (document(processing(Arguments={"Surprise": 1})), "Unknown property 'Surprise'"),
        (document({"Name": "A", "Type": "Processing", "Arguments": {}}), "must not be null"),
        (document(condition("C")), "has no Conditions"),
        (document(condition("C", {"Type": "Or", "Conditions": 3})), "Expecting start of Json Array."),
        (document(condition("C", {"Type": "In", "QueryValue": 1, "Values": 3})), "Expecting start of Json Array."),
        (
            document(processing(DependsOn=["F"]), {"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}),
            "A can not depends on F",
        ),
        (document(processing(CacheConfig=[1])), "Expecting start of Json Object."),
        (document(processing(RetryPolicies=["again"])), "Expecting start of Json Object."),
        (document(processing(DependsOn=[{"a": 1}])), "Unexpected value: {'a': 1}."),
        (document(processing(PropertyFiles="x")), "Expecting start of Json Array."),
        (document(processing(Arguments={"RoleArn": {"Std:Join": {"On": ""}}})), "Std:Join has no Values"),
        (document(processing(Arguments={"RoleArn": {"Std:JsonGet": {"Path": "a"}}})), "either a PropertyFile or an S3"),
        (document(processing(), Parameters=[{"Name": "X", "Type": "String", "EnumValues": "a"}]), "Json Array."),
        (document(condition("C", {"Type": "Is"})), "Unknown condition type: Is."),
        (document(condition("C", {"Type": "Not", "Condition": {"Type": "In"}})), "requires QueryValue, Values"),
        (document({"Name": "L", "Type": "Lambda", "Arguments": {}}), "has no FunctionArn"),
        (document(processing(CacheConfig={"Enabled": True, "ExpireAfter": "soon"})), "Invalid ExpireAfter 'soon'"),
        (document(processing(CacheConfig={"Enabled": True})), "Invalid ExpireAfter 'None'"),
        (document(processing(RetryPolicies=[{"ExceptionType": ["Bad.LUCK"]}])), "Unknown exception type Bad.LUCK"),
        (document(processing(), Parameters=[{"Name": "X", "Type": "Date"}]), "Unknown type 'Date' of parameter X"),
        (document(processing(), Parameters=[{"Name": "X", "Type": "Float"}] * 2), "X is defined more than once"),
        (
            document(processing(), Parameters=[{"Name": "X", "Type": "Integer", "DefaultValue": "1"}]),
            "default value of parameter X is not a Integer",
        ),
    ],
)  # fmt: skip
def test_definitions_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(AwsError) as caught:
        definitions.parse(text)
    assert caught.value.code == "ValidationException"
    assert caught.value.message.startswith("Unable to parse pipeline definition. ")
    assert says in caught.value.message


def test_a_value_that_an_enumeration_does_not_have() -> None:
    source = {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix", "S3InputMode": "FastFile"}
    with pytest.raises(AwsError) as caught:
        definitions.parse(document(processing(Arguments={"ProcessingInputs": [{"InputName": "i", "S3Input": source}]})))
    assert caught.value.message.startswith(
        "Unable to parse pipeline definition. Model Validation failed: Value 'FastFile' for 'ProcessingS3InputMode' "
        "failed to satisfy enum value set: [Pipe, File]"  # recorded from AWS
    )


def test_steps_that_the_local_cloud_does_not_run() -> None:
    with pytest.raises(AwsError, match="The local cloud does not run steps of type EMR \\(step A\\)"):
        definitions.parse(document(processing(Type="EMR")))


def test_what_comes_before_what() -> None:
    later = processing("Later", Arguments={"Environment": {"x": joined("/", "s3:/", got("Steps.First.RoleArn"))}})
    found = definitions.parse(document(later, condition("C", EQUALS, no=[processing("Inside")]), processing("First")))
    assert {name: sorted(step.after) for name, step in found.steps.items()} == {
        "Later": ["First"],
        "C": [],
        "Inside": ["C"],
        "First": [],
    }
    branch = found.steps["Inside"].branch
    assert branch is not None
    assert not branch.outcome


@pytest.fixture
def scope() -> Scope:
    described = {
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": {"S3Uri": "s3://b/out"}}]},
        "HyperParameters": {"max.depth": "3"},
        "TrainingJobSummaries": [{"TrainingJobName": "best"}],
    }
    return Scope(
        {"Flag": True, "Count": 3},
        {"PipelineName": "p"},
        lambda _: described,
        lambda step, name: f"s3://b/{step}/{name}",
        lambda uri: b'{"metrics": {"auc": [0.5, 0.9]}}' if uri == "s3://b/Eval/file" else b"no",
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (got("Parameters.Count"), 3),
        (joined("-", got("Execution.PipelineName"), got("Parameters.Flag"), got("Parameters.Count")), "p-true-3"),
        (got("Steps.A.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"), "s3://b/out"),
        (got("Steps.A.HyperParameters['max.depth']"), "3"),
        (got("Steps.A.TrainingJobSummaries[0].TrainingJobName"), "best"),
        ({"Std:JsonGet": {"PropertyFile": got("Steps.Eval.PropertyFiles.file"), "Path": "metrics.auc[1]"}}, 0.9),
        ([{"deep": got("Parameters.Count")}, "as it is"], [{"deep": 3}, "as it is"]),
    ],
)
def test_expressions(scope: Scope, expression: Any, value: Any) -> None:
    assert evaluated(expression, scope) == value


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        (got("Steps.A.ModelArtifacts.S3ModelArtifacts"), "Steps.A.ModelArtifacts.S3ModelArtifacts has no value"),
        (got("Steps.A.TrainingJobSummaries[1].TrainingJobName"), "has no value"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/other", "Path": "x"}}, "s3://b/other is not JSON"),
        ({"Std:JsonGet": {"PropertyFile": got("Steps.Eval.PropertyFiles.file"), "Path": "metrics"}}, "not a single"),
    ],
)
def test_expressions_that_lead_to_nothing(scope: Scope, expression: Any, says: str) -> None:
    with pytest.raises(Unresolved, match=says.replace("[", r"\[")):
        evaluated(expression, scope)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT1H", 3600),
        ("p30d", 30 * 86400),
        ("P4DT12H", 388800),
        ("T16m", 960),
        ("5y", 157680000),
        ("x", None),
        ("P", None),
    ],
)
def test_durations(text: str, seconds: int | None) -> None:
    assert durations.seconds(text) == seconds


def test_retries() -> None:
    policy = {
        "ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"],
        "IntervalSeconds": 10,
        "BackoffRate": 3,
        "MaxAttempts": 2,
    }
    step = Step("A", "Processing", {"RetryPolicies": [policy]}, frozenset())
    failure = Failure("SageMaker.JOB_INTERNAL_ERROR", "why")
    assert [pause(step, failure, attempt, 0) for attempt in (1, 2, 3)] == [10, 30, None]
    assert pause(step, Failure("SageMaker.CAPACITY_ERROR", "why"), 1, 0) is None
    assert pause(step, Failure("Step.THROTTLING", "why"), 1, 0) == 1  # without a policy, too
    assert pause(step, Failure(None, "why"), 1, 0) is None


@pytest.mark.parametrize(
    ("kind", "prefix", "begin"),
    [
        ("Processing", None, "pipelines-abcdefghijkl-My-Step-"),
        ("Tuning", None, "abcdefghijkl-My-Step-"),
        ("Training", "churn", "churn-abcdefghijkl-"),
    ],
)
def test_names_of_jobs(kind: str, prefix: str | None, begin: str) -> None:
    made, step = MAKING[kind], Step("My_Step", kind, {}, frozenset())
    name = name_of({"PipelineExecutionArn": ARN}, step, made, prefix)
    assert name.startswith(begin)
    long = name_of({"PipelineExecutionArn": ARN}, Step("x" * 64, kind, {}, frozenset()), made, prefix)
    assert len(name) <= len(long) <= made.longest_name


def test_a_name_that_was_seen_on_aws() -> None:
    """`pipelines-8pk6dxn4cfvl-Rossmann-Model-Train-bPVYsMzUlc` was a job of the step Rossmann-Model-Training."""
    step = Step("Rossmann-Model-Training", "Training", {}, frozenset())
    name = name_of({"PipelineExecutionArn": "execution/8pk6dxn4cfvl"}, step, MAKING["Training"], None)
    assert name[:-10] == "pipelines-8pk6dxn4cfvl-Rossmann-Model-Train-"
