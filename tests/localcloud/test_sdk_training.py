"""The SageMaker SDK v3, unmodified, with nothing but the variables of `mlplat local env`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import argparse, os
from sklearn.tree import DecisionTreeClassifier
import joblib

given = argparse.ArgumentParser()
given.add_argument("--max-depth", type=int)
given.add_argument("--label")
given = given.parse_args()
with open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "train.csv")) as file:
    rows = [[float(each) for each in line.split(",")] for line in file]
if given.label == "broken":
    raise ValueError("no such label: broken")
model = DecisionTreeClassifier(max_depth=given.max_depth).fit([row[:-1] for row in rows], [row[-1] for row in rows])
print(f"accuracy={model.score([row[:-1] for row in rows], [row[-1] for row in rows]):.3f}")
joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
"""

SETUP = """
import json, logging, sys
import boto3
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode

trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
iam, name = boto3.client("iam"), sys.argv[1]
role = iam.create_role(
    RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
)["Role"]["Arn"]
allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
iam.put_role_policy(
    RoleName=name, PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
)
boto3.client("s3").create_bucket(Bucket=name)


logging.basicConfig(level=logging.INFO)


def trainer(**hyperparameters):
    return ModelTrainer(
        training_image="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        source_code=SourceCode(source_dir="source", entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{name}/out"),
        base_job_name="sdk",
        role=role,
        hyperparameters=hyperparameters,
    )
"""

TRAIN = (
    SETUP
    + """
made = trainer(**{"max-depth": 3, "label": "fine"})
made.train(input_data_config=[InputData(channel_name="train", data_source="data")], wait=True, logs=True)
job = made._latest_training_job
assert job.training_job_status == "Completed"
print(job.training_job_name, job.model_artifacts.s3_model_artifacts)

try:
    trainer(**{"max-depth": 3, "label": "broken"}).train(
        input_data_config=[InputData(channel_name="train", data_source="data")], wait=True, logs=False
    )
except Exception as error:
    print(type(error).__name__, str(error))
"""
)

TUNE = (
    SETUP
    + """
from sagemaker.core.parameter import IntegerParameter
from sagemaker.train.tuner import HyperparameterTuner

made = HyperparameterTuner(
    model_trainer=trainer(label="fine"),
    objective_metric_name="accuracy",
    metric_definitions=[{"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}],
    hyperparameter_ranges={"max-depth": IntegerParameter(1, 5)},
    strategy="Random",
    max_jobs=2,
    max_parallel_jobs=2,
)
made.tune(inputs=[InputData(channel_name="train", data_source=sys.argv[2])], wait=True)
job = made.describe()
print(job.hyper_parameter_tuning_job_status, job.best_training_job.training_job_name)
print(made.best_training_job())
"""
)


def run(cloud: Any, folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "source").mkdir()
    (folder / "data").mkdir()
    (folder / "source/train.py").write_text(SCRIPT)
    rows = [f"{n},{n % 7},{int(n > 20)}" for n in range(40)]
    (folder / "data/train.csv").write_text("\n".join(rows) + "\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **cloud.environment}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.e2e
def test_model_trainer(cloud: Any, tmp_path: Path) -> None:
    done = run(cloud, tmp_path, TRAIN, "sdk-model-trainer")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    job = cloud.client("sagemaker").list_training_jobs(NameContains="sdk-", StatusEquals="Completed")
    names = [each["TrainingJobName"] for each in job["TrainingJobSummaries"]]
    name, _, artifacts = next(line for line in lines if line.startswith("sdk-")).partition(" ")
    assert name in names
    assert artifacts == f"s3://sdk-model-trainer/out/{name}/output/model.tar.gz"
    assert "accuracy=1.000" in done.stdout + done.stderr  # the SDK shows the job's log
    failed = next(line for line in lines if line.startswith("FailedStatusError"))
    assert "AlgorithmError" in failed


@pytest.mark.e2e
def test_hyperparameter_tuner(cloud: Any, tmp_path: Path) -> None:
    rows = "\n".join(f"{n},{n % 7},{int(n > 20)}" for n in range(40))
    cloud.client("s3").create_bucket(Bucket="sdk-tuner-data")
    cloud.client("s3").put_object(Bucket="sdk-tuner-data", Key="train/train.csv", Body=rows)
    bucket = f"sagemaker-us-east-1-{cloud.account}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    done = run(cloud, tmp_path, TUNE, "sdk-tuner", "s3://sdk-tuner-data/train/")
    assert done.returncode == 0, done.stderr
    status, best = done.stdout.splitlines()[-2].split()
    assert status == "Completed"
    job = cloud.client("sagemaker").describe_training_job(TrainingJobName=best)
    assert 1 <= int(job["HyperParameters"]["max-depth"]) <= 5
    assert job["FinalMetricDataList"][0]["MetricName"] == "accuracy"
