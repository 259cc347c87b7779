"""The SageMaker SDK v3's pipelines, unmodified, with nothing but the variables of `mlplat local env`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PREPARE = """
import argparse, json, pathlib
given = argparse.ArgumentParser(); given.add_argument("--factor", type=int); factor = given.parse_args().factor
rows = [factor * int(row) for row in pathlib.Path("/opt/ml/processing/input/rows.csv").read_text().split()]
pathlib.Path("/opt/ml/processing/output/report.json").write_text(json.dumps({"rows": {"sum": sum(rows)}}))
"""

PROGRAM = """
import json
import boto3
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionGreaterThan
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterInteger
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep

trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
iam = boto3.client("iam")
role = iam.create_role(
    RoleName="sdk-pipelines", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
)["Role"]["Arn"]
iam.attach_role_policy(RoleName="sdk-pipelines", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
boto3.client("s3").create_bucket(Bucket="sdk-pipelines")

session = PipelineSession()
factor = ParameterInteger(name="Factor", default_value=2)
processor = ScriptProcessor(
    command=["python3"],
    role=role,
    image_uri="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    instance_count=1,
    instance_type="ml.m5.large",
    sagemaker_session=session,
)
source = ProcessingS3Input(
    s3_uri="data", local_path="/opt/ml/processing/input", s3_data_type="S3Prefix", s3_input_mode="File"
)
target = ProcessingS3Output(
    s3_uri=Join(on="/", values=["s3://sdk-pipelines", ExecutionVariables.PIPELINE_EXECUTION_ID]),
    local_path="/opt/ml/processing/output",
    s3_upload_mode="EndOfJob",
)
report = PropertyFile(name="Report", output_name="report", path="report.json")
prepare = ProcessingStep(
    name="Prepare",
    step_args=processor.run(
        code="source/run.py",
        inputs=[ProcessingInput(input_name="data", s3_input=source)],
        outputs=[ProcessingOutput(output_name="report", s3_output=target)],
        arguments=["--factor", factor.to_string()],
    ),
    property_files=[report],
    cache_config=CacheConfig(enable_caching=True, expire_after="PT1H"),
)
big = ConditionGreaterThan(left=JsonGet(step_name="Prepare", property_file=report, json_path="rows.sum"), right=15)
fail = FailStep(name="TooBig", error_message=Join(on=" ", values=["too big by", factor]))
check = ConditionStep(name="IsBig", conditions=[big], if_steps=[fail], else_steps=[])
pipeline = Pipeline(name="SdkPipeline", parameters=[factor], steps=[prepare, check], sagemaker_session=session)
pipeline.upsert(role_arn=role)
pipeline.upsert(role_arn=role, description="again")
first = pipeline.start()
first.wait(delay=1)
again = pipeline.start()
again.wait(delay=1)
steps = {each["StepName"]: each for each in again.list_steps()}
print(json.dumps([first.arn, steps["Prepare"].get("CacheHitResult", {}).get("SourcePipelineExecutionArn")]))
failed = pipeline.start(parameters={"Factor": 3})
try:
    failed.wait(delay=1)
except Exception as error:
    print(type(error).__name__)
print([(each["StepName"], each["StepStatus"], each.get("FailureReason")) for each in failed.list_steps()])
newest = pipeline.list_executions()["PipelineExecutionSummaries"][0]
print(pipeline.latest_pipeline_version_id, newest["PipelineExecutionArn"] == failed.arn)
pipeline.delete()
"""


@pytest.mark.e2e
def test_a_pipeline(cloud: Any, tmp_path: Path) -> None:
    for name, text in {"source/run.py": PREPARE, "data/rows.csv": "1\n2\n3"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    cloud.client("s3").create_bucket(Bucket=f"sagemaker-us-east-1-{cloud.account}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    first, source = json.loads(said[0])
    assert source == first
    assert said[1:] == [
        "WaiterError",
        "[('TooBig', 'Failed', 'too big by 3'), ('IsBig', 'Succeeded', None), ('Prepare', 'Succeeded', None)]",
        "1 True",
    ]
