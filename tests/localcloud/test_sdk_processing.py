"""The SageMaker SDK v3's processors, unmodified, with nothing but the variables of `mlplat local env`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import argparse, pathlib, sklearn
given = argparse.ArgumentParser(); given.add_argument("--factor", type=int); factor = given.parse_args().factor
rows = pathlib.Path("/opt/ml/processing/input/rows.csv").read_text().split()
pathlib.Path("/opt/ml/processing/output/rows.csv").write_text("\\n".join(str(factor * int(row)) for row in rows))
print("multiplied", len(rows), "rows")
"""

PROGRAM = """
import json, sys
import boto3
from sagemaker.core.processing import FrameworkProcessor, ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output

trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
role = boto3.client("iam").create_role(
    RoleName="sdk-processing", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
)["Role"]["Arn"]
boto3.client("s3").create_bucket(Bucket="sdk-processing")
about = {
    "role": role,
    "image_uri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    "instance_count": 1,
    "instance_type": "ml.m5.large",
}


def inputs():
    source = ProcessingS3Input(
        s3_uri="data", local_path="/opt/ml/processing/input", s3_data_type="S3Prefix", s3_input_mode="File"
    )
    return [ProcessingInput(input_name="data", s3_input=source)]


def outputs(name):
    target = ProcessingS3Output(
        s3_uri=f"s3://sdk-processing/{name}", local_path="/opt/ml/processing/output", s3_upload_mode="EndOfJob"
    )
    return [ProcessingOutput(output_name="rows", s3_output=target)]


def run(name, processor, code, **more):
    arguments = {"inputs": inputs(), "outputs": outputs(name), "arguments": ["--factor", "3"]}
    processor.run(code=code, job_name=name, logs=False, **arguments, **more)
    print(name, processor.latest_job.processing_job_name)


run("sdk-framework", FrameworkProcessor(**about), "run.py", source_dir="source", wait=False)
run("sdk-script", ScriptProcessor(command=["python3"], **about), "source/run.py", wait=True)
"""


@pytest.mark.e2e
def test_processors(cloud: Any, tmp_path: Path) -> None:
    for name, text in {"source/run.py": SCRIPT, "data/rows.csv": "1\n2\n3"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    cloud.client("s3").create_bucket(Bucket=f"sagemaker-us-east-1-{cloud.account}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said == ["sdk-framework sdk-framework", "sdk-script sdk-script"]
    sagemaker, s3 = cloud.client("sagemaker"), cloud.client("s3")
    for name in said[0].split()[0], said[1].split()[0]:
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
        assert s3.get_object(Bucket="sdk-processing", Key=f"{name}/rows.csv")["Body"].read() == b"3\n6\n9"
