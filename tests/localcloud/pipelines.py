"""What tests of pipelines need: definitions of small Processing steps, executions, and waiting for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.localcloud.jobs import Jobs, until

CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
ENDED = ("Succeeded", "Failed", "Stopped")
FOLDER = "/opt/ml/processing/output"


class PipelineCalls:
    """Pipelines as a user's own boto3 program makes them."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs, self.sagemaker, self.bucket = jobs, jobs.sagemaker, jobs.bucket

    def processing(self, name: str, program: str, /, *arguments: Any, **members: Any) -> dict[str, Any]:
        """A step that runs `program` by `python3 -c`; what it writes to FOLDER goes to s3://bucket/NAME/..."""
        place = {"S3Uri": self.uri(name), "LocalPath": FOLDER, "S3UploadMode": "EndOfJob"}
        given = {
            "RoleArn": self.jobs.role,
            "AppSpecification": {
                "ImageUri": "any/image:1",
                "ContainerEntrypoint": ["python3", "-c", program],
                **({"ContainerArguments": list(arguments)} if arguments else {}),
            },
            "ProcessingResources": {"ClusterConfig": CLUSTER},
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": place}]},
        }
        return {"Name": name, "Type": "Processing", "Arguments": given} | members

    def uri(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}"

    def definition(self, *steps: Mapping[str, Any], **members: Any) -> str:
        return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": steps} | members)

    def create(self, *steps: Mapping[str, Any], request: Mapping[str, Any] | None = None, **members: Any) -> str:
        """A pipeline of these steps; its name."""
        name = self.jobs.name("pipeline")
        definition = self.definition(*steps, **members)
        about = {"PipelineName": name, "RoleArn": self.jobs.role, "PipelineDefinition": definition}
        self.sagemaker.create_pipeline(**about | dict(request or {}))
        return name

    def start(self, name: str, parameters: Mapping[str, str] | None = None, **members: Any) -> str:
        given = [{"Name": key, "Value": value} for key, value in (parameters or {}).items()]
        answer = self.sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=given, **members)
        return str(answer["PipelineExecutionArn"])

    def describe(self, arn: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn))

    def wait(self, arn: str, within: float = 60) -> dict[str, Any]:
        return dict(until(lambda: self.describe(arn), lambda it: it["PipelineExecutionStatus"] in ENDED, within))

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        answer = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
        return {each["StepName"]: each for each in answer["PipelineExecutionSteps"]}

    def run(self, *steps: Mapping[str, Any], **members: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """A pipeline made of these steps, and run: its execution and its steps by name."""
        arn = self.start(self.create(*steps, **members))
        return self.wait(arn), self.steps(arn)

    def read(self, key: str) -> str:
        return str(self.jobs.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())

    def refused(self, *steps: Mapping[str, Any], **members: Any) -> tuple[str, str]:
        """(code, message) of CreatePipeline."""
        about = {"PipelineName": self.jobs.name("pipeline"), "RoleArn": self.jobs.role}
        return self.jobs.refused("create_pipeline", PipelineDefinition=self.definition(*steps, **members), **about)


def got(path: str) -> dict[str, str]:
    """`Get` of a path."""
    return {"Get": path}


def joined(on: str, *values: Any) -> dict[str, Any]:
    """`Std:Join`."""
    return {"Std:Join": {"On": on, "Values": list(values)}}
