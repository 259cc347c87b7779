"""Lambda: functions in Python really run, fail as they do on AWS, and leave nothing behind."""

from __future__ import annotations

import base64
import io
import json
import textwrap
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.jobs import until

from mlplat.localcloud import daemon

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


class Functions:
    """Functions as a user's own boto3 program makes them."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud, self.lambdas = cloud, cloud.client("lambda")
        role = cloud.client("iam").create_role(
            RoleName=f"functions-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        self.role: str = role["Role"]["Arn"]

    def make(self, code: str, **members: Any) -> str:
        name = f"function-{uuid.uuid4().hex[:8]}"
        given = {"Runtime": "python3.12", "Handler": "app.handler", "Timeout": 10} | members
        self.lambdas.create_function(
            FunctionName=name, Role=self.role, Code={"ZipFile": zipped({"app.py": textwrap.dedent(code)})}, **given
        )
        return name

    def call(self, name: str, payload: Any = None, **members: Any) -> tuple[Any, dict[str, Any]]:
        """What the function answered, and the whole answer."""
        answer = self.lambdas.invoke(FunctionName=name, Payload=json.dumps(payload), **members)
        body = answer["Payload"].read()
        return (json.loads(body) if body else None), answer

    def log(self, name: str) -> list[str]:
        logs = self.cloud.client("logs")
        group = f"/aws/lambda/{name}"
        try:
            return [each["message"] for each in logs.filter_log_events(logGroupName=group)["events"]]
        except logs.exceptions.ResourceNotFoundException:
            return []


def zipped(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


@pytest.fixture(scope="module")
def functions(cloud: RunningCloud) -> Iterator[Functions]:
    made = Functions(cloud)
    yield made
    until(lambda: daemon.about(cloud.address)["children"], lambda found: "function " not in str(found), within=10)


def test_a_function_answers_and_logs(functions: Functions) -> None:
    name = functions.make(
        """
        import os
        def handler(event, context):
            print("asked for", event["what"])
            left = context.get_remaining_time_in_millis()
            return {"what": event["what"], "stage": os.environ["STAGE"], "name": context.function_name,
                    "in_time": 0 < left <= 10_000, "memory": context.memory_limit_in_mb}
        """,
        Environment={"Variables": {"STAGE": "test"}},
        MemorySize=256,
    )
    said, answer = functions.call(name, {"what": "scores"}, LogType="Tail")
    assert said == {"what": "scores", "stage": "test", "name": name, "in_time": True, "memory": "256"}
    assert (answer["StatusCode"], answer["ExecutedVersion"], "FunctionError" in answer) == (200, "$LATEST", False)
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "asked for scores" in tail and tail.startswith("START RequestId") and "REPORT RequestId" in tail
    assert "asked for scores" in functions.log(name)


def test_a_function_calls_the_local_cloud(functions: Functions) -> None:
    name = functions.make(
        """
        import boto3
        def handler(event, context):
            return boto3.client("sts").get_caller_identity()["Account"]
        """
    )
    assert functions.call(name)[0] == functions.cloud.account


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        ("def handler(event, context): raise ValueError('no such customer')", "ValueError", "no such customer"),
        ("import no_such_module", "Runtime.ImportModuleError", "Unable to import module 'app': No module named"),
        ("def other(event, context): pass", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("def handler(event, context): return {1, 2}", "Runtime.MarshalError", "Unable to marshal response"),
        ("import os\ndef handler(event, context): os._exit(3)", "Runtime.ExitError", "exit status 3"),
        ("def handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
    ],
)
def test_a_failure_has_the_shape_of_awss(functions: Functions, code: str, kind: str, text: str) -> None:
    said, answer = functions.call(functions.make(code))
    assert answer["FunctionError"] == "Unhandled" and answer["StatusCode"] == 200
    assert said["errorType"] == kind and text in said["errorMessage"]


def test_a_function_that_takes_too_long_is_ended_with_all_that_it_started(functions: Functions) -> None:
    name = functions.make(
        """
        import subprocess, time
        def handler(event, context):
            subprocess.Popen(["setsid", "sleep", "71.25"])
            time.sleep(60)
        """,
        Timeout=1,
    )
    said, answer = functions.call(name)
    assert answer["FunctionError"] == "Unhandled"
    assert said["errorType"] == "Sandbox.Timedout" and "timed out after 1.00 seconds" in said["errorMessage"]
    until(lambda: sleepers("71.25"), lambda found: not found)


def sleepers(seconds: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


def test_an_event_is_tried_three_times(functions: Functions) -> None:
    name = functions.make("def handler(event, context): raise RuntimeError(event['what'])")
    answer = functions.lambdas.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"what": "again"}')
    assert answer["StatusCode"] == 202 and answer["Payload"].read() == b""
    until(lambda: starts(functions.log(name)), len)
    lines = until(lambda: later(functions, name), lambda found: len(found) == 3)
    assert len(set(lines)) == 1, "the request id stays the same"
    assert len(later(functions, name)) == len(later(functions, name)) == 3


def later(functions: Functions, name: str) -> list[str]:
    """The attempts, two minutes later."""
    daemon.advance(functions.cloud.address, 120)
    return starts(functions.log(name))


def starts(lines: list[str]) -> list[str]:
    return [each for each in lines if each.startswith("START ")]


def test_what_sns_sends_reaches_the_function(functions: Functions) -> None:
    name = functions.make("def handler(event, context): print(event['Records'][0]['Sns']['Message'])")
    arn = functions.lambdas.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    sns = functions.cloud.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="hello from a topic")
    until(lambda: functions.log(name), lambda lines: "hello from a topic" in lines)


def test_what_cannot_be_run_is_refused(functions: Functions) -> None:
    other = functions.make("exports.handler = 1", Runtime="nodejs22.x")
    assert refused(functions, other)[0] == "InvalidRuntimeException"
    assert "Python only" in refused(functions, other)[1]
    code, text = refused(functions, "no-such-function")
    assert code == "ResourceNotFoundException" and text.startswith("Function not found: arn:aws:lambda:")
    name = functions.make("def handler(event, context): pass")
    assert refused(functions, name, Payload=b"{")[0] == "InvalidRequestContentException"
    dry = functions.lambdas.invoke(FunctionName=name, InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    functions.lambdas.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert refused(functions, name)[0] == "TooManyRequestsException"


def refused(functions: Functions, name: str, **members: Any) -> tuple[str, str]:
    lambdas = functions.cloud.client("lambda", retries={"total_max_attempts": 1})
    with pytest.raises(ClientError) as caught:
        lambdas.invoke(FunctionName=name, **members)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_an_event_is_handled_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / ".mlplat" / "local"
    functions = Functions(RunningCloud(daemon.start(folder, transition_delay=0.0)))
    name = functions.make("def handler(event, context): raise RuntimeError('not yet')")
    functions.lambdas.invoke(FunctionName=name, InvocationType="Event")
    try:
        until(lambda: starts(functions.log(name)), len)
        daemon.stop(folder)
        functions.cloud = RunningCloud(daemon.start(folder, transition_delay=0.0))
        until(lambda: later(functions, name), lambda found: len(found) == 3)
    finally:
        daemon.stop(folder)
