"""Pipelines really run: their steps are jobs, seen from outside through plain boto3."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from typing import Any

import pytest
from tests.localcloud.jobs import Jobs, until
from tests.localcloud.pipelines import PipelineCalls, got, joined

WRITE = "import sys, pathlib; pathlib.Path('/opt/ml/processing/output/said').write_text(' '.join(sys.argv[1:]))"
READ = """
import pathlib, sys
text = pathlib.Path("/opt/ml/processing/input/said").read_text()
pathlib.Path("/opt/ml/processing/output/said").write_text(text + " " + " ".join(sys.argv[1:]))
"""
SLEEP = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def pipelines(cloud: Any) -> PipelineCalls:
    """A bucket, a role, and the calls around pipelines."""
    return PipelineCalls(Jobs(cloud))


@pytest.fixture(scope="module")
def two(pipelines: PipelineCalls) -> tuple[str, str]:
    """A pipeline of two steps, the second with the output of the first, and an execution that has ended."""
    first = pipelines.processing("First", WRITE, got("Parameters.Word"), joined("", got("Parameters.Number")))
    place = got("Steps.First.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri")
    second = pipelines.processing("Second", READ, got("Execution.PipelineExecutionId"))
    source = {"S3Uri": place, "LocalPath": "/opt/ml/processing/input", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    second["Arguments"]["ProcessingInputs"] = [{"InputName": "in", "S3Input": source}]
    parameters = [
        {"Name": "Word", "Type": "String"},
        {"Name": "Number", "Type": "Integer", "DefaultValue": 7, "EnumValues": [7, 8]},
    ]
    name = pipelines.create(second, first, Parameters=parameters, request={"Tags": [{"Key": "team", "Value": "a"}]})
    arn = pipelines.start(name, {"Word": "hello"}, PipelineExecutionDescription="a test")
    assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Succeeded", pipelines.steps(arn)
    return name, arn


def test_steps_run_in_the_order_of_what_they_use(pipelines: PipelineCalls, two: tuple[str, str]) -> None:
    steps = pipelines.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=two[1])["PipelineExecutionSteps"]
    assert [each["StepName"] for each in steps] == ["Second", "First"]  # the latest first
    assert [each["StepStatus"] for each in steps] == ["Succeeded", "Succeeded"]
    assert steps[0]["StartTime"] >= steps[1]["EndTime"]
    assert pipelines.read("Second/said") == f"hello 7 {two[1].rpartition('/')[2]}"


def test_what_is_told_of_an_execution(pipelines: PipelineCalls, two: tuple[str, str]) -> None:
    name, arn = two
    found = pipelines.describe(arn)
    assert re.fullmatch(rf"arn:aws:sagemaker:us-east-1:\d+:pipeline/{name}/execution/[a-z0-9]{{12}}", arn)
    assert found["PipelineArn"] == arn.partition("/execution")[0]
    assert found["PipelineExecutionDescription"] == "a test"
    assert found["PipelineExecutionDisplayName"].startswith("execution-")
    assert found["RoleArn"] == pipelines.jobs.role
    assert pipelines.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)[
        "PipelineParameters"
    ] == [{"Name": "Word", "Value": "hello"}, {"Name": "Number", "Value": "7"}]
    definition = pipelines.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    assert len(json.loads(definition["PipelineDefinition"])["Steps"]) == 2
    (summary,) = pipelines.sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    assert (summary["PipelineExecutionArn"], summary["PipelineExecutionStatus"]) == (arn, "Succeeded")
    assert pipelines.sagemaker.describe_pipeline(PipelineName=name)["LastRunTime"] == found["CreationTime"]


def test_jobs_are_named_and_tagged_as_aws_does(pipelines: PipelineCalls, two: tuple[str, str]) -> None:
    execution = two[1].rpartition("/")[2]
    job = pipelines.steps(two[1])["First"]["Metadata"]["ProcessingJob"]["Arn"]
    assert re.fullmatch(rf"pipelines-{execution}-First-\w{{10}}", job.rpartition("/")[2])
    tags = {each["Key"]: each["Value"] for each in pipelines.sagemaker.list_tags(ResourceArn=job)["Tags"]}
    assert tags == {"sagemaker:pipeline-execution-arn": two[1]}
    arn = two[1].partition("/execution")[0]
    assert pipelines.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]


def test_a_failed_step_fails_the_execution_and_others_go_on(pipelines: PipelineCalls) -> None:
    other = pipelines.processing("Other", WRITE, "done")
    after = pipelines.processing("After", WRITE, DependsOn=["Other"])
    never = pipelines.processing("Never", WRITE, DependsOn=["Broken"])
    execution, steps = pipelines.run(pipelines.processing("Broken", "raise SystemExit(3)"), never, other, after)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    assert {name: each["StepStatus"] for name, each in steps.items()} == {
        "Broken": "Failed",
        "Other": "Succeeded",
        "After": "Succeeded",
    }
    assert steps["Broken"]["FailureReason"] == "ClientError: AlgorithmError: , exit code: 3"


def test_a_job_that_is_refused(pipelines: PipelineCalls) -> None:
    step = pipelines.processing("Roleless", WRITE)
    step["Arguments"]["RoleArn"] = pipelines.jobs.role + "-that-is-not-there"
    execution, steps = pipelines.run(step)
    assert execution["PipelineExecutionStatus"] == "Failed"
    reason = steps["Roleless"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: Could not a")


def test_a_role_that_sagemaker_can_not_assume(pipelines: PipelineCalls) -> None:
    role = pipelines.jobs.role.rpartition("/")[0] + "/nobody"
    execution, steps = pipelines.run(pipelines.processing("Step", WRITE), request={"RoleArn": role})
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "Unable to assume the role" in execution["FailureReason"]
    assert steps == {}


def test_stopping_an_execution_stops_its_jobs(pipelines: PipelineCalls) -> None:
    name = pipelines.create(
        pipelines.processing("Long", SLEEP), pipelines.processing("Later", WRITE, DependsOn=["Long"])
    )
    arn = pipelines.start(name)
    until(lambda: pipelines.steps(arn), lambda steps: steps.get("Long", {}).get("StepStatus") == "Executing")
    code, message = pipelines.jobs.refused("delete_pipeline", PipelineName=name)
    assert code == "ConflictException", message
    pipelines.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Stopped"
    steps = pipelines.steps(arn)
    assert {name: each["StepStatus"] for name, each in steps.items()} == {"Long": "Stopped"}
    job = steps["Long"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    described = pipelines.sagemaker.describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] == "Stopped"
    assert pipelines.jobs.refused("stop_pipeline_execution", PipelineExecutionArn=arn)[0] == "ConflictException"
    pipelines.sagemaker.delete_pipeline(PipelineName=name)
    until(lambda: names(pipelines, name), lambda found: found == [])
    assert pipelines.jobs.refused("describe_pipeline_execution", PipelineExecutionArn=arn)[0] == "ResourceNotFound"


def names(pipelines: PipelineCalls, prefix: str) -> list[str]:
    found = pipelines.sagemaker.list_pipelines(PipelineNamePrefix=prefix)["PipelineSummaries"]
    return [each["PipelineName"] for each in found]


def test_no_more_steps_at_once_than_allowed(pipelines: PipelineCalls) -> None:
    steps = [pipelines.processing(f"Step{number}", WRITE) for number in range(3)]
    name = pipelines.create(*steps, request={"ParallelismConfiguration": {"MaxParallelExecutionSteps": 9}})
    arn = pipelines.start(name, ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    ran = sorted((each["StartTime"], each["EndTime"]) for each in pipelines.steps(arn).values())
    assert all(before[1] <= then[0] for before, then in itertools.pairwise(ran))


def test_the_same_token_starts_once(pipelines: PipelineCalls) -> None:
    token, name = uuid.uuid4().hex, pipelines.jobs.name("pipeline")
    about = {"PipelineName": name, "RoleArn": pipelines.jobs.role, "ClientRequestToken": token}
    about["PipelineDefinition"] = pipelines.definition(pipelines.processing("Step", WRITE))
    made = [pipelines.sagemaker.create_pipeline(**about)["PipelineArn"] for _ in range(2)]
    assert made[0] == made[1]
    code, message = pipelines.jobs.refused("create_pipeline", **about | {"ClientRequestToken": uuid.uuid4().hex})
    assert (code, message) == (
        "ValidationException",
        f"Pipeline names must be unique within an AWS account and region. Pipeline with name ({name}) already exists.",
    )
    started = {pipelines.start(name, ClientRequestToken=token) for _ in range(2)}
    assert len(started) == 1
    pipelines.wait(started.pop())


def test_a_retry_runs_what_has_not_succeeded(pipelines: PipelineCalls) -> None:
    name = pipelines.create(pipelines.processing("Good", WRITE), pipelines.processing("Bad", "raise SystemExit(1)"))
    arn = pipelines.start(name)
    pipelines.wait(arn)
    before = pipelines.steps(arn)
    pipelines.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Failed"
    after = pipelines.steps(arn)
    assert after["Good"]["Metadata"] == before["Good"]["Metadata"]
    assert after["Bad"]["Metadata"] != before["Bad"]["Metadata"]


def test_another_definition_is_another_version(pipelines: PipelineCalls) -> None:
    name = pipelines.create(pipelines.processing("Old", WRITE))
    update = {"PipelineName": name, "PipelineDescription": "told"}
    assert pipelines.sagemaker.update_pipeline(**update)["PipelineVersionId"] == 1
    newer = pipelines.definition(pipelines.processing("New", WRITE))
    place = pipelines.jobs.put(f"{name}.json", newer).removeprefix(f"s3://{pipelines.bucket}/")
    update["PipelineDefinitionS3Location"] = {"Bucket": pipelines.bucket, "ObjectKey": place}
    assert pipelines.sagemaker.update_pipeline(**update)["PipelineVersionId"] == 2
    found = pipelines.sagemaker.describe_pipeline(PipelineName=name)
    assert (found["PipelineDefinition"], found["PipelineDescription"]) == (newer, "told")
    old = pipelines.sagemaker.describe_pipeline(PipelineName=name, PipelineVersionId=1)["PipelineDefinition"]
    assert json.loads(old)["Steps"][0]["Name"] == "Old"
    versions = pipelines.sagemaker.list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]
    assert [each["PipelineVersionId"] for each in versions] == [2, 1]


def test_what_is_not_there(pipelines: PipelineCalls) -> None:
    for operation in ("describe_pipeline", "update_pipeline", "delete_pipeline", "start_pipeline_execution"):
        code, message = pipelines.jobs.refused(operation, PipelineName="absent")
        assert (code, message[-15:]) == ("ResourceNotFound", "does not exist.")
    arn = f"arn:aws:sagemaker:us-east-1:{pipelines.jobs.cloud.account}:pipeline/absent/execution/abcdefghijkl"
    for operation in ("describe_pipeline_execution", "stop_pipeline_execution", "list_pipeline_execution_steps"):
        assert pipelines.jobs.refused(operation, PipelineExecutionArn=arn)[0] == "ResourceNotFound"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"Unknown": "x", "Word": "y"}, "not defined"),
        ({}, "no default value"),
        ({"Word": "x", "Number": "seven"}, "must be of type Integer"),
        ({"Word": "x", "Number": "9"}, "must be one of [7, 8]"),
    ],
)
def test_parameters_that_do_not_fit(
    pipelines: PipelineCalls, two: tuple[str, str], given: dict[str, str], says: str
) -> None:
    parameters = [{"Name": name, "Value": value} for name, value in given.items()]
    code, message = pipelines.jobs.refused(
        "start_pipeline_execution", PipelineName=two[0], PipelineParameters=parameters
    )
    assert code == "ValidationException"
    assert says in message


def test_selected_steps_run_on_what_others_left(pipelines: PipelineCalls, two: tuple[str, str]) -> None:
    name, source = two
    wanted = {"SelectedSteps": [{"StepName": "Second"}], "SourcePipelineExecutionArn": source}
    arn = pipelines.start(name, {"Word": "other"}, SelectiveExecutionConfig=wanted)
    execution = pipelines.wait(arn)
    assert (execution["PipelineExecutionStatus"], execution["SelectiveExecutionConfig"]) == ("Succeeded", wanted)
    assert set(pipelines.steps(arn)) == {"Second"}
    assert pipelines.read("Second/said") == f"hello 7 {arn.rpartition('/')[2]}"  # of the source's First
    both = {"SelectedSteps": [{"StepName": "Second"}, {"StepName": "First"}], "SourcePipelineExecutionArn": source}
    arn = pipelines.start(name, {"Word": "new"}, SelectiveExecutionConfig=both)
    assert pipelines.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert pipelines.read("Second/said").startswith("new 7 ")
    for config, says in (
        ({"SelectedSteps": [{"StepName": "Third"}]}, "['Third'] are not defined"),
        ({"SelectedSteps": [{"StepName": "Second"}]}, "needs ['First']"),
    ):
        parameters = [{"Name": "Word", "Value": "x"}]
        code, message = pipelines.jobs.refused(
            "start_pipeline_execution",
            PipelineName=name,
            PipelineParameters=parameters,
            SelectiveExecutionConfig=config,
        )
        assert code == "ValidationException"
        assert says in message
