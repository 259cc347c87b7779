"""Glue's Python shell jobs really run, and triggers start them: seen from outside, through plain boto3."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.jobs import Jobs, until
from tests.localcloud.test_alarms import Queue

from mlplat.localcloud import daemon

ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SHOW = """
import json, os, sys
import boto3, local_module, zipped
from awsglue.utils import getResolvedOptions
bucket = getResolvedOptions(sys.argv, ["bucket"])["bucket"]
seen = {"argv": sys.argv[1:], "modules": [local_module.NAME, zipped.NAME], "region": os.environ["AWS_DEFAULT_REGION"]}
boto3.client("s3").put_object(Bucket=bucket, Key="seen.json", Body=json.dumps(seen))
print("to the output")
print("to the error", file=sys.stderr)
"""


class GlueJobs:
    """Jobs as a user's own boto3 program makes them."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.jobs, self.glue, self.cloud = Jobs(cloud), cloud.client("glue"), cloud
        self.role = self.jobs.make_role(TRUST)

    def definition(self, script: str, **members: Any) -> dict[str, Any]:
        place = self.jobs.put(f"{self.jobs.name('script')}.py", script)
        command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": place}
        return {"Role": self.role, "Command": command, "MaxCapacity": 0.0625} | members

    def make(self, script: str, **members: Any) -> str:
        name = self.jobs.name("glue-job")
        self.glue.create_job(Name=name, **self.definition(script, **members))
        return name

    def start(self, name: str, **members: Any) -> str:
        return str(self.glue.start_job_run(JobName=name, **members)["JobRunId"])

    def describe(self, name: str, run: str) -> dict[str, Any]:
        return dict(self.glue.get_job_run(JobName=name, RunId=run)["JobRun"])

    def wait(self, name: str, run: str) -> dict[str, Any]:
        return dict(until(lambda: self.describe(name, run), lambda it: it["JobRunState"] in ENDED))

    def run(self, script: str, **members: Any) -> dict[str, Any]:
        name = self.make(script, **members)
        return self.wait(name, self.start(name))

    def runs(self, name: str) -> list[dict[str, Any]]:
        return list(self.glue.get_job_runs(JobName=name)["JobRuns"])

    def log(self, kind: str, run: str) -> list[str]:
        events = self.cloud.client("logs").get_log_events(
            logGroupName=f"/aws-glue/python-jobs/{kind}", logStreamName=run, startFromHead=True
        )["events"]
        return [each["message"] for each in events]

    def refused(self, operation: str, **request: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            getattr(self.glue, operation)(**request)
        return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def glue(cloud: RunningCloud) -> GlueJobs:
    """A bucket, a role, and the calls around Glue's jobs."""
    return GlueJobs(cloud)


def test_a_script_runs_with_its_arguments_and_libraries(glue: GlueJobs) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("zipped.py", "NAME = 'zipped'")
    libraries = [
        glue.jobs.put("lib/local_module.py", "NAME = 'local'"),
        glue.jobs.put("lib/zipped.zip", archive.getvalue()),
    ]
    defaults = {"--extra-py-files": ",".join(libraries), "--bucket": glue.jobs.bucket, "--mode": "full"}
    name = glue.make(SHOW, DefaultArguments=defaults, Tags={"team": "churn"})
    run = glue.wait(name, glue.start(name, Arguments={"--mode": "delta"}))
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    seen = json.loads(glue.jobs.s3.get_object(Bucket=glue.jobs.bucket, Key="seen.json")["Body"].read())
    assert seen["modules"] == ["local", "zipped"]
    assert seen["argv"][2:7] == ["--bucket", glue.jobs.bucket, "--mode", "delta", "--scriptLocation"]
    assert seen["argv"][8:] == ["--python-version", "3.9"]
    assert (glue.log("output", run["Id"]), glue.log("error", run["Id"])) == (["to the output"], ["to the error"])
    assert run["Arguments"]["--mode"] == "delta"
    assert (run["MaxCapacity"], run["Attempt"], run["LogGroupName"]) == (0.0625, 0, "/aws-glue/python-jobs")
    assert run["Id"].startswith("jr_")
    arn = f"arn:aws:glue:us-east-1:{glue.cloud.account}:job/{name}"
    assert glue.glue.get_tags(ResourceArn=arn)["Tags"] == {"team": "churn"}
    assert name in glue.glue.list_jobs(Tags={"team": "churn"})["JobNames"]


def test_a_script_that_fails_says_why_and_is_tried_again(glue: GlueJobs) -> None:
    name = glue.make("raise ValueError('no rows')", MaxRetries=1)
    first = glue.wait(name, glue.start(name))
    assert (first["JobRunState"], first["ErrorMessage"]) == ("FAILED", "ValueError: no rows")
    again, _ = until(lambda: glue.runs(name), lambda runs: len(runs) == 2 and runs[0]["JobRunState"] in ENDED)
    assert (again["Id"], again["Attempt"]) == (f"{first['Id']}_attempt_1", 1)
    assert again["PreviousRunId"] == first["Id"]


def test_an_exit_code_and_a_missing_script(glue: GlueJobs) -> None:
    assert glue.run("raise SystemExit(3)")["ErrorMessage"] == "Command failed with exit code 3"
    absent = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": f"s3://{glue.jobs.bucket}/absent.py"}
    run = glue.run("pass", Command=absent)
    assert run["JobRunState"] == "FAILED"
    assert "absent.py" in run["ErrorMessage"]


def test_a_role_that_glue_can_not_assume(glue: GlueJobs) -> None:
    run = glue.run("pass", Role=glue.jobs.role)
    message = f"Role {glue.jobs.role} should be given assume role permissions for Glue Service."
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", message)


def test_a_run_is_stopped_and_runs_once_at_a_time(glue: GlueJobs) -> None:
    name = glue.make("import time; time.sleep(600)")
    run = glue.start(name)
    assert glue.refused("start_job_run", JobName=name)[0] == "ConcurrentRunsExceededException"
    until(lambda: glue.describe(name, run), lambda it: it["JobRunState"] == "RUNNING")
    answer = glue.glue.batch_stop_job_run(JobName=name, JobRunIds=[run, "jr_absent"])
    assert answer["SuccessfulSubmissions"] == [{"JobName": name, "JobRunId": run}]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert glue.wait(name, run)["JobRunState"] == "STOPPED"


def test_definitions(glue: GlueJobs) -> None:
    name, definition = glue.jobs.name("glue-job"), glue.definition("pass")
    for _ in range(2):
        assert glue.glue.create_job(Name=name, **definition)["Name"] == name  # the same again is no error
    other = definition | {"MaxRetries": 2}
    assert glue.refused("create_job", Name=name, **other) == (
        "IdempotentParameterMismatchException",
        f"Job with name '{name}' already submitted with different configuration",
    )
    glue.glue.update_job(JobName=name, JobUpdate=other)
    found = glue.glue.get_job(JobName=name)["Job"]
    assert (found["MaxRetries"], found["ExecutionProperty"]) == (2, {"MaxConcurrentRuns": 1})
    for _ in range(2):
        glue.glue.delete_job(JobName=name)
    for operation in ("get_job", "start_job_run", "get_job_runs"):
        assert glue.refused(operation, JobName=name)[0] == "EntityNotFoundException"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"MaxCapacity": 2.0}, "must be 0.0625 or 1"),
        ({"Command": {"Name": "juggle"}}, "Invalid command name: juggle"),
        ({"Command": {"Name": "pythonshell", "PythonVersion": "2", "ScriptLocation": "s3://b/k"}}, "Python version 2"),
        ({"Command": {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": "k.py"}}, "a path on S3"),
    ],
)
def test_definitions_that_are_refused(glue: GlueJobs, members: dict[str, Any], says: str) -> None:
    code, message = glue.refused("create_job", Name="refused", **glue.definition("pass") | members)
    assert code == "InvalidInputException"
    assert says in message


def test_spark_is_kept_but_not_run(glue: GlueJobs) -> None:
    name = glue.jobs.name("spark")
    command = {"Name": "glueetl", "ScriptLocation": "s3://b/k.py"}
    glue.glue.create_job(
        Name=name, Role=glue.role, Command=command, GlueVersion="5.0", WorkerType="G.1X", NumberOfWorkers=2
    )
    assert glue.glue.get_job(JobName=name)["Job"]["WorkerType"] == "G.1X"
    code, message = glue.refused("start_job_run", JobName=name)
    assert (code, message) == (
        "InvalidInputException",
        f"The local cloud does not run Spark or Ray: job {name} is a glueetl job. It runs pythonshell jobs.",
    )


def test_triggers_start_jobs(glue: GlueJobs) -> None:
    name, after = glue.make("print('first')"), glue.make("print('second')")
    scheduled = {"Name": f"{name}-nightly", "Type": "SCHEDULED", "Schedule": "cron(0 3 * * ? *)"}
    code, message = glue.refused(
        "create_trigger", **scheduled | {"Schedule": "rate(1 day)"}, Actions=[{"JobName": name}]
    )
    assert (code, message) == ("InvalidInputException", "Invalid schedule expression: rate(1 day)")
    glue.glue.create_trigger(**scheduled, Actions=[{"JobName": name}], StartOnCreation=True)
    condition = {"LogicalOperator": "EQUALS", "JobName": name, "State": "SUCCEEDED"}
    glue.glue.create_trigger(
        Name=f"{after}-then", Type="CONDITIONAL", Predicate={"Conditions": [condition]}, Actions=[{"JobName": after}],
        StartOnCreation=True,
    )  # fmt: skip
    for trigger in (f"{name}-nightly", f"{after}-then"):
        wait_for(glue, trigger, "ACTIVATED")
    daemon.advance(glue.cloud.address, 0)
    daemon.advance(glue.cloud.address, 24 * 3600)
    (run,) = until(lambda: glue.runs(name), lambda runs: len(runs) == 1 and runs[0]["JobRunState"] in ENDED)
    assert (run["JobRunState"], run["TriggerName"]) == ("SUCCEEDED", f"{name}-nightly")
    until(lambda: glue.runs(after), lambda runs: len(runs) == 1 and runs[0]["JobRunState"] in ENDED)
    glue.glue.stop_trigger(Name=f"{name}-nightly")
    wait_for(glue, f"{name}-nightly", "DEACTIVATED")
    glue.glue.create_trigger(Name=f"{name}-now", Type="ON_DEMAND", Actions=[{"JobName": name}])
    glue.glue.start_trigger(Name=f"{name}-now")
    until(lambda: glue.runs(name), lambda runs: len(runs) == 2 and runs[0]["JobRunState"] in ENDED)
    for trigger in (f"{name}-nightly", f"{name}-now", f"{after}-then"):
        glue.glue.delete_trigger(Name=trigger)


def wait_for(glue: GlueJobs, trigger: str, state: str) -> None:
    until(lambda: glue.glue.get_trigger(Name=trigger)["Trigger"]["State"], lambda found: found == state)


def test_the_end_of_a_run_is_an_event(glue: GlueJobs) -> None:
    name = glue.make("print('done')")
    queue, events = Queue(glue.cloud, name), glue.cloud.client("events")
    pattern = {"source": ["aws.glue"], "detail": {"jobName": [name]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "one", "Arn": queue.arn}])
    run = glue.start(name)
    (event,) = queue.wait()
    assert event["detail-type"] == "Glue Job State Change"
    assert (event["detail"]["state"], event["detail"]["jobRunId"]) == ("SUCCEEDED", run)
    events.remove_targets(Rule=name, Ids=["one"])
    events.delete_rule(Name=name)
