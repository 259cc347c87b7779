"""A program that knows nothing of mlplat: plain boto3, pointed at the local cloud by `mlplat local env` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = '''
import io, json, tarfile, time
from collections import Counter
import boto3, joblib
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

INFERENCE = """
import json, os
import joblib

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

def input_fn(body, content_type):
    assert content_type == "application/json", content_type
    return json.loads(body)

def predict_fn(rows, model):
    return {"kind": type(model).__name__, "scores": model.predict_proba(rows)[:, 1].tolist()}

def output_fn(prediction, accept):
    return json.dumps(prediction), accept
"""
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

s3, iam, sagemaker = boto3.client("s3"), boto3.client("iam"), boto3.client("sagemaker")
s3.create_bucket(Bucket="plain-boto3-endpoint")
trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
role = iam.create_role(
    RoleName="plain-boto3-endpoint",
    AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
)["Role"]["Arn"]

rows, labels = make_classification(n_samples=200, n_features=4, random_state=0)
for name, model in (("linear", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))):
    dumped, packed = io.BytesIO(), io.BytesIO()
    joblib.dump(model.fit(rows, labels), dumped)
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, data in (("model.joblib", dumped.getvalue()), ("code/inference.py", INFERENCE.encode())):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    s3.put_object(Bucket="plain-boto3-endpoint", Key=f"{name}/model.tar.gz", Body=packed.getvalue())
    sagemaker.create_model(
        ModelName=f"plain-{name}",
        ExecutionRoleArn=role,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": f"s3://plain-boto3-endpoint/{name}/model.tar.gz",
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
        },
    )

sagemaker.create_endpoint_config(
    EndpointConfigName="plain",
    ProductionVariants=[
        {"VariantName": variant, "ModelName": f"plain-{model}", "InitialVariantWeight": weight,
         "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        for variant, model, weight in (("primary", "linear", 0.8), ("challenger", "tree", 0.2))
    ],
)
sagemaker.create_endpoint(EndpointName="plain", EndpointConfigName="plain")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="plain", WaiterConfig={"Delay": 1, "MaxAttempts": 60})

runtime = boto3.client("sagemaker-runtime")
body = json.dumps(rows[:1].tolist())
kinds, shares = {}, Counter()
for _ in range(1000):
    answer = runtime.invoke_endpoint(EndpointName="plain", ContentType="application/json", Body=body)
    shares[answer["InvokedProductionVariant"]] += 1
    kinds[answer["InvokedProductionVariant"]] = json.loads(answer["Body"].read())["kind"]

sagemaker.delete_endpoint(EndpointName="plain")
sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="plain", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
print(json.dumps({"shares": shares, "kinds": kinds}))
'''


@pytest.mark.e2e
def test_two_variants_share_a_thousand_calls_by_their_weights(cloud: Any, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["kinds"] == {"primary": "LogisticRegression", "challenger": "DecisionTreeClassifier"}
    # 800 expected, standard deviation sqrt(1000 * 0.8 * 0.2) = 12.6: five of them miss once in a million runs.
    assert abs(said["shares"]["primary"] - 800) < 64
    assert sum(said["shares"].values()) == 1000
