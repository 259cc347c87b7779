"""The SageMaker SDK v3's transformer, unmodified, with nothing but the variables of `mlplat local env`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.localcloud.hosted import Hosted, host

MODEL = """
def model_fn(model_dir): return 10
def transform_fn(model, body, content_type, accept):
    return "".join(f"{model * float(line)}\\n" for line in body.splitlines())
"""

PROGRAM = """
import sys
from sagemaker.core.transformer import Transformer

model, bucket = sys.argv[1:]
transformer = Transformer(
    model_name=model,
    instance_count=1,
    instance_type="ml.m5.large",
    strategy="MultiRecord",
    assemble_with="Line",
    accept="text/csv",
    output_path=f"s3://{bucket}/sdk-out",
)
transformer.transform(
    f"s3://{bucket}/sdk-in/",
    content_type="text/csv",
    split_type="Line",
    input_filter="$[1]",
    join_source="Input",
    output_filter="$[0,-1]",
    job_name="sdk-transform",
    wait=False,
    logs=False,
)
transformer.wait(logs=False)
print(transformer.latest_transform_job.transform_job_name)
"""


@pytest.fixture
def hosted(cloud: Any) -> Iterator[Hosted]:
    """A place for models."""
    yield from host(cloud)


@pytest.mark.e2e
def test_transformer(hosted: Hosted, tmp_path: Path) -> None:
    cloud, model = hosted.cloud, hosted.model("tenfold", MODEL)
    hosted.s3.put_object(Bucket=hosted.bucket, Key="sdk-in/rows.csv", Body="a,1\nb,2\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment}
    command = [sys.executable, "-c", PROGRAM, model, hosted.bucket]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "sdk-transform"
    answer = hosted.s3.get_object(Bucket=hosted.bucket, Key="sdk-out/rows.csv.out")
    assert answer["Body"].read() == b"a,10.0\nb,20.0\n"
