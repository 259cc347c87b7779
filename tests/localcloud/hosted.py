"""Models and endpoints on the test session's local cloud, made with plain boto3 calls."""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

ECHO = """
import os
def model_fn(model_dir): return open(os.path.join(model_dir, "name")).read()
def transform_fn(model, body, content_type, accept): return f"{model} {os.getpid()} {body}"
"""
"""A model that answers its name, its process and what it was sent."""


class Hosted:
    """A bucket, a role, and short ways to models, endpoint configurations and endpoints."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self.sagemaker, self.runtime, self.s3 = (cloud.client(s) for s in ("sagemaker", "sagemaker-runtime", "s3"))
        self.mark = uuid.uuid4().hex[:8]
        self.bucket = f"hosted-{self.mark}"
        self.s3.create_bucket(Bucket=self.bucket)
        trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = cloud.client("iam").create_role(RoleName=f"hosted-{self.mark}", AssumeRolePolicyDocument=policy)
        self.role = role["Role"]["Arn"]

    def upload(self, key: str, files: dict[str, str | bytes]) -> str:
        """A tar.gz of these files on S3."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, content in files.items():
                data = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
                info = tarfile.TarInfo(path)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=packed.getvalue())
        return f"s3://{self.bucket}/{key}"

    def model(
        self, name: str, code: str | None = ECHO, files: dict[str, str | bytes] | None = None, **container: Any
    ) -> str:
        """A model of this code, and its unique name."""
        unique = f"{name}-{self.mark}"
        packed = {"name": name, **(files or {}), **({"code/inference.py": code} if code else {})}
        url = self.upload(f"models/{name}.tar.gz", packed)
        primary = {"Image": IMAGE, "ModelDataUrl": url, **container}
        self.sagemaker.create_model(ModelName=unique, PrimaryContainer=primary, ExecutionRoleArn=self.role)
        return unique

    def config(self, name: str, variants: dict[str, tuple[str, float]], **more: Any) -> str:
        """An endpoint configuration of variants (model, weight), and its unique name."""
        unique = f"{name}-{self.mark}"
        declared = [
            {"VariantName": variant, "ModelName": model, "InitialVariantWeight": weight, "InitialInstanceCount": 1,
             "InstanceType": "ml.m5.large"}
            for variant, (model, weight) in variants.items()
        ]  # fmt: skip
        self.sagemaker.create_endpoint_config(EndpointConfigName=unique, ProductionVariants=declared, **more)
        return unique

    def create(self, name: str, config: str, status: str = "InService") -> str:
        """An endpoint, once it has settled in `status`, and its unique name."""
        unique = f"{name}-{self.mark}"
        self.sagemaker.create_endpoint(EndpointName=unique, EndpointConfigName=config)
        assert self.settled(unique)["EndpointStatus"] == status, self.settled(unique).get("FailureReason")
        return unique

    def settled(self, endpoint: str) -> dict[str, Any]:
        """The endpoint once it is no longer on its way."""
        return until(
            lambda: self.sagemaker.describe_endpoint(EndpointName=endpoint),
            lambda found: found["EndpointStatus"] in ("InService", "Failed"),
        )

    def invoke(self, endpoint: str, body: bytes | str = "", **more: Any) -> dict[str, Any]:
        """The answer, its Body read."""
        given = {"ContentType": "text/csv", **more}
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, **given)
        return {**answer, "Body": answer["Body"].read().decode()}

    def log(self, endpoint: str, variant: str, contains: str) -> str:
        """What the variant's containers have logged, once it contains a text."""
        logs = self.cloud.client("logs")
        group = f"/aws/sagemaker/Endpoints/{endpoint}"

        def read() -> str:
            streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{variant}/")["logStreams"]
            return "\n".join(
                event["message"]
                for stream in streams
                for event in logs.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
                )["events"]
            )

        return until(read, lambda text: contains in text)

    def delete(self, endpoint: str) -> None:
        """Delete the endpoint and wait until it is gone."""
        self.sagemaker.delete_endpoint(EndpointName=endpoint)
        until(self.names, lambda names: endpoint not in names)

    def names(self) -> list[str]:
        """This test's endpoints."""
        found = self.sagemaker.list_endpoints(NameContains=self.mark, MaxResults=100)["Endpoints"]
        return [each["EndpointName"] for each in found]


def until(read: Callable[[], Any], good: Callable[[Any], bool], within: float = 60.0) -> Any:
    """Read again and again until it is good; what was read then."""
    end = time.monotonic() + within
    while True:
        try:
            found = read()
            if good(found):
                return found
            last: object = found
        except Exception as error:
            last = error
        assert time.monotonic() < end, f"still {last!r}"
        time.sleep(0.05)


def host(cloud: Any) -> Iterator[Hosted]:
    """The body of a fixture: a place for models and endpoints; what a test has left is deleted."""
    made = Hosted(cloud)
    yield made
    for name in made.names():
        made.settled(name)
        made.delete(name)
