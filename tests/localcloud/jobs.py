"""What tests of jobs need: a role that SageMaker may assume, a bucket, scripts on S3, and waiting."""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


class Jobs:
    """Training jobs as a user's own boto3 program makes them."""

    def __init__(self, cloud: Any) -> None:
        self.cloud, self.client = cloud, cloud.client
        self.sagemaker, self.s3 = cloud.client("sagemaker"), cloud.client("s3")
        self.bucket = f"jobs-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.role = self.make_role(TRUST)

    def make_role(self, trust: dict[str, Any]) -> str:
        answer = self.client("iam").create_role(
            RoleName=f"jobs-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(trust)
        )
        return str(answer["Role"]["Arn"])

    def name(self, kind: str = "job") -> str:
        return f"{kind}-{uuid.uuid4().hex[:8]}"

    def put(self, key: str, body: str | bytes) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def script(self, text: str, **others: str) -> str:
        """The text as train.py (and others) in a tar.gz on S3."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as opened:
            for name, body in {"train.py": text, **others}.items():
                info = tarfile.TarInfo(name)
                info.size = len(body.encode())
                opened.addfile(info, io.BytesIO(body.encode()))
        return self.put(f"code/{uuid.uuid4().hex}/sourcedir.tar.gz", archive.getvalue())

    def request(self, script: str | None = None, /, **members: Any) -> dict[str, Any]:
        """A CreateTrainingJob request; `members` replace or add members, HyperParameters are added to."""
        parameters = members.pop("HyperParameters", {})
        if script is not None:
            submitted = {"sagemaker_program": "train.py", "sagemaker_submit_directory": self.script(script)}
            parameters = submitted | parameters
        return {
            "TrainingJobName": self.name(),
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 120},
            "HyperParameters": parameters,
        } | members

    def start(self, script: str | None = None, /, **members: Any) -> str:
        request = self.request(script, **members)
        self.sagemaker.create_training_job(**request)
        return str(request["TrainingJobName"])

    def describe(self, name: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_training_job(TrainingJobName=name))

    def wait(self, name: str, within: float = 60) -> dict[str, Any]:
        """Until the job has ended."""
        return until(
            lambda: self.describe(name),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
            within,
        )

    def run(self, script: str | None = None, /, **members: Any) -> dict[str, Any]:
        return self.wait(self.start(script, **members))

    def log(self, name: str) -> list[str]:
        """The lines of the job's log stream, all pages."""
        logs = self.client("logs")
        group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
        try:
            (stream,) = logs.describe_log_streams(**group, logStreamNamePrefix=f"{name}/")["logStreams"]
        except (ValueError, ClientError):
            return []
        page = {**group, "logStreamName": stream["logStreamName"], "startFromHead": True}
        lines, token = list[str](), None
        while True:
            answer = logs.get_log_events(**page, **({"nextToken": token} if token else {}))
            if not answer["events"]:
                return lines
            lines += [event["message"] for event in answer["events"]]
            token = answer["nextForwardToken"]

    def unpacked(self, uri: str) -> dict[str, bytes]:
        """The files of a tar.gz on S3."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as opened:
            files = [member for member in opened.getmembers() if member.isfile()]
            return {each.name.removeprefix("./"): opened.extractfile(each).read() for each in files}  # type: ignore[union-attr]

    def refused(self, operation: str, /, **request: Any) -> tuple[str, str]:
        """(code, message) of the error that the call answers with."""
        with pytest.raises(ClientError) as caught:
            getattr(self.sagemaker, operation)(**request)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


def until(read: Any, ready: Any, within: float = 60) -> Any:
    deadline = time.monotonic() + within
    while not ready(value := read()):
        assert time.monotonic() < deadline, f"still {value} after {within} s"
        time.sleep(0.03)
    return value


def channel(name: str, uri: str, **source: str) -> dict[str, Any]:
    """A channel of InputDataConfig."""
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **source}}}
