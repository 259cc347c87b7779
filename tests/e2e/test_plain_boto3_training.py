"""A program that knows nothing of mlplat trains a scikit-learn script on the local cloud and loads what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import argparse, os
import joblib, pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

given = argparse.ArgumentParser()
given.add_argument("--regularization", type=float)
given.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
given = given.parse_args()

data = pd.read_csv(os.path.join(given.train, "train.csv"))
columns, labels = data.drop(columns="label"), data["label"]
model = LogisticRegression(C=given.regularization).fit(columns, labels)
print(f"train_auc={roc_auc_score(labels, model.predict_proba(columns)[:, 1]):.4f}")
joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
"""

PROGRAM = """
import io, json, sys, tarfile, time
import boto3, joblib, pandas as pd
from sklearn.datasets import make_classification

BUCKET, JOB = "plain-boto3-training", "plain-boto3-training-1"
s3, iam, sagemaker, logs = (boto3.client(name) for name in ("s3", "iam", "sagemaker", "logs"))
s3.create_bucket(Bucket=BUCKET)
trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
role = iam.create_role(
    RoleName=BUCKET, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
)["Role"]["Arn"]

rows, labels = make_classification(n_samples=400, n_features=5, random_state=0)
table = pd.DataFrame(rows, columns=list("abcde")).assign(label=labels)
s3.put_object(Bucket=BUCKET, Key="data/train.csv", Body=table.to_csv(index=False))
packed, script = io.BytesIO(), sys.stdin.read().encode()
with tarfile.open(fileobj=packed, mode="w:gz") as archive:
    info = tarfile.TarInfo("train.py")
    info.size = len(script)
    archive.addfile(info, io.BytesIO(script))
s3.put_object(Bucket=BUCKET, Key="code/sourcedir.tar.gz", Body=packed.getvalue())

sagemaker.create_training_job(
    TrainingJobName=JOB,
    RoleArn=role,
    AlgorithmSpecification={
        "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "train:auc", "Regex": "train_auc=([0-9.]+)"}],
    },
    HyperParameters={
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": f"s3://{BUCKET}/code/sourcedir.tar.gz",
        "regularization": "0.5",
    },
    InputDataConfig=[
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/"}},
        }
    ],
    OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/models"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
    StoppingCondition={"MaxRuntimeInSeconds": 300},
)
waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
waiter.wait(TrainingJobName=JOB, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
job = sagemaker.describe_training_job(TrainingJobName=JOB)

bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
body = io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
with tarfile.open(fileobj=body) as archive:
    model = joblib.load(archive.extractfile("model.joblib"))
(stream,) = logs.describe_log_streams(
    logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{JOB}/"
)["logStreams"]
events = logs.get_log_events(
    logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream["logStreamName"], startFromHead=True
)["events"]
print(json.dumps({
    "status": job["TrainingJobStatus"],
    "model": type(model).__name__,
    "regularization": model.C,
    "accuracy": model.score(table.drop(columns="label"), labels),
    "auc": {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}["train:auc"],
    "log": [event["message"] for event in events],
}))
"""


@pytest.mark.e2e
def test_a_plain_boto3_program_trains_and_loads_its_model(cloud: Any, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, input=SCRIPT, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["status"] == "Completed"
    assert (said["model"], said["regularization"]) == ("LogisticRegression", 0.5)
    assert said["accuracy"] > 0.8
    assert said["auc"] > 0.85
    assert any(line.startswith("train_auc=0.") for line in said["log"])
