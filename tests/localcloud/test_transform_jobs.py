"""Transform jobs really run: seen from outside, through plain boto3."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.localcloud.hosted import Hosted, host, until

SUM = """
import os
def model_fn(model_dir): return {}
def transform_fn(model, body, content_type, accept):
    os.write(1, f"asked for {len(body.splitlines())} as {content_type} -> {accept}\\n".encode())
    if "bad" in body: raise ValueError("a bad record")
    if "sleep" in body: __import__("time").sleep(60)
    if "environment" in body:
        return " ".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(("SAGEMAKER_", "MINE")))
    return "".join(f"{sum(map(float, line.split(',')))}\\n" for line in body.splitlines())
"""


class Transforms:
    """Transform jobs as a user's own boto3 program makes them."""

    def __init__(self, hosted: Hosted) -> None:
        self.hosted, self.sagemaker, self.s3, self.bucket = hosted, hosted.sagemaker, hosted.s3, hosted.bucket
        self.model = hosted.model("sum", SUM, Environment={"MINE": "model"})
        self.count = 0

    def put(self, key: str, body: str | bytes) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def request(self, uri: str, *, split: str = "Line", assemble: str = "Line", **members: Any) -> dict[str, Any]:
        self.count += 1
        name = f"transform-{self.hosted.mark}-{self.count}"
        source = {"S3DataType": members.pop("S3DataType", "S3Prefix"), "S3Uri": uri}
        given = {"ContentType": "text/csv", "SplitType": split} | members.pop("input", {})
        output = {"S3OutputPath": f"s3://{self.bucket}/{name}", "AssembleWith": assemble, "Accept": "text/csv"}
        return {
            "TransformJobName": name,
            "ModelName": self.model,
            "TransformInput": {"DataSource": {"S3DataSource": source}, **given},
            "TransformOutput": output | members.pop("output", {}),
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        } | members

    def start(self, uri: str, **members: Any) -> str:
        request = self.request(uri, **members)
        self.sagemaker.create_transform_job(**request)
        return str(request["TransformJobName"])

    def describe(self, name: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_transform_job(TransformJobName=name))

    def wait(self, name: str) -> dict[str, Any]:
        ended = ("Completed", "Failed", "Stopped")
        return dict(until(lambda: self.describe(name), lambda job: job["TransformJobStatus"] in ended))

    def run(self, uri: str, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """The job once it has ended, and its outputs."""
        job = self.wait(self.start(uri, **members))
        return job, self.outputs(job["TransformJobName"])

    def outputs(self, name: str) -> dict[str, str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{name}/").get("Contents", ())
        read = {each["Key"]: self.s3.get_object(Bucket=self.bucket, Key=each["Key"]) for each in found}
        return {key.removeprefix(f"{name}/"): answer["Body"].read().decode() for key, answer in read.items()}

    def log(self, name: str, end: str = "") -> list[str]:
        """The lines of the container's log, or of the data log."""
        logs, group = self.hosted.cloud.client("logs"), "/aws/sagemaker/TransformJobs"
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
        names = [each["logStreamName"] for each in streams if each["logStreamName"].endswith("/data-log") == bool(end)]
        read = [logs.get_log_events(logGroupName=group, logStreamName=each, startFromHead=True) for each in names]
        return [event["message"] for answer in read for event in answer["events"]]

    def refused(self, **members: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            self.sagemaker.create_transform_job(**self.request(f"s3://{self.bucket}/x", **members))
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def transforms(cloud: Any) -> Iterator[Transforms]:
    """A model that sums the cells of each row."""
    for made in host(cloud):
        yield Transforms(made)


@pytest.fixture(scope="module")
def done(transforms: Transforms) -> tuple[dict[str, Any], dict[str, str]]:
    """A job over three objects, on two instances, with tags."""
    transforms.put("in/one.csv", "1,2\n3,4\n")
    transforms.put("in/deep/two.csv", "5,6\r\n7,8")
    transforms.put("in/three.csv", "9\n")
    return transforms.run(
        f"s3://{transforms.bucket}/in/",
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
        MaxConcurrentTransforms=2,
        Tags=[{"Key": "team", "Value": "churn"}],
    )


def test_each_object_has_an_output_of_its_name(done):
    assert done[1] == {"one.csv.out": "3.0\n7.0\n", "deep/two.csv.out": "11.0\n15.0\n", "three.csv.out": "9.0\n"}


def test_describe_list_and_tags(done, transforms):
    job = done[0]
    name = job["TransformJobName"]
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert job["TransformJobArn"].endswith(f":transform-job/{name}")
    assert (job["MaxConcurrentTransforms"], job["MaxPayloadInMB"]) == (2, 6)
    assert job["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    found = transforms.sagemaker.list_transform_jobs(NameContains=name, StatusEquals="Completed")
    assert [each["TransformJobName"] for each in found["TransformJobSummaries"]] == [name]
    tags = transforms.sagemaker.list_tags(ResourceArn=job["TransformJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "churn"}]
    code, words = transforms.refused(TransformJobName=name)
    assert (code, words.split(",")[0]) == ("ResourceInUse", "Job name must be unique within an AWS account and region")


def test_logs_say_what_was_asked_and_how(done, transforms):
    name = done[0]["TransformJobName"]
    assert "asked for 2 as text/csv -> text/csv" in transforms.log(name)
    settings = "MaxConcurrentTransforms=2, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"
    assert [line.split(": ", 1)[1] for line in transforms.log(name, "data-log")] == [settings] * 2


def test_a_single_object_one_record_at_a_time(transforms):
    uri = transforms.put("single/rows.csv", "1\n2\n3\n")
    job, outputs = transforms.run(uri, BatchStrategy="SingleRecord")
    assert outputs == {"rows.csv.out": "1.0\n2.0\n3.0\n"}
    assert transforms.log(job["TransformJobName"]).count("asked for 1 as text/csv -> text/csv") == 3


def test_payloads_keep_to_their_size_and_answers_to_their_order(transforms):
    rows = "".join(f"{number},{'0' * 30_000}\n" for number in range(100))
    uri = transforms.put("big/rows.csv", rows)
    job, outputs = transforms.run(uri, MaxPayloadInMB=1, MaxConcurrentTransforms=4)
    assert outputs["rows.csv.out"].split() == [f"{number}.0" for number in range(100)]
    asked = [line for line in transforms.log(job["TransformJobName"]) if line.startswith("asked")]
    assert sorted(asked) == [f"asked for {count} as text/csv -> text/csv" for count in (32, 34, 34)]
    job, outputs = transforms.run(uri, split="None", MaxPayloadInMB=1)
    assert (job["FailureReason"], outputs) == ("ClientError: See job logs for more information", {})
    assert transforms.run(uri, split="None", MaxPayloadInMB=0)[0]["TransformJobStatus"] == "Completed"


def test_filters_and_join(transforms):
    uri = transforms.put("joined/rows.csv", "id-1,1,2\nid-2,3,4\n")
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    _, outputs = transforms.run(uri, DataProcessing=processing)
    assert outputs == {"rows.csv.out": "id-1,3.0\nid-2,7.0\n"}


def test_compressed_input_and_a_manifest(transforms):
    transforms.put("packed/a.csv.gz", gzip.compress(b"1,1\n"))
    prefix = {"prefix": f"s3://{transforms.bucket}/packed/"}
    uri = transforms.put("lists/m.json", json.dumps([prefix, "a.csv.gz"]))
    _, outputs = transforms.run(uri, S3DataType="ManifestFile", input={"CompressionType": "Gzip"})
    assert outputs == {"a.csv.gz.out": "2.0\n"}


def test_one_bad_object_fails_the_job_but_not_the_others(transforms):
    transforms.put("mixed/a.csv", "1\n")
    transforms.put("mixed/b.csv", "1\nbad\n")
    transforms.put("mixed/c.csv", "3\n")
    client = {"InvocationsMaxRetries": 1, "InvocationsTimeoutInSeconds": 30}
    job, outputs = transforms.run(f"s3://{transforms.bucket}/mixed/", ModelClientConfig=client)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert outputs == {"a.csv.out": "1.0\n", "c.csv.out": "3.0\n"}
    said = transforms.log(job["TransformJobName"], "data-log")
    where = f"{transforms.bucket}/mixed/b.csv"
    assert any(f"{where}: Bad HTTP status received from algorithm: 500" in line for line in said)
    assert any(f"{where}: a bad record" in line for line in said)
    asked = transforms.log(job["TransformJobName"])
    assert asked.count("asked for 2 as text/csv -> text/csv") == 2  # once more


def test_a_model_that_takes_too_long_is_given_up(transforms):
    uri = transforms.put("slow/a.csv", "sleep\n")
    client = {"InvocationsMaxRetries": 0, "InvocationsTimeoutInSeconds": 1}
    job, _ = transforms.run(uri, ModelClientConfig=client)
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert any("did not respond" in line for line in transforms.log(job["TransformJobName"], "data-log"))


def test_the_container_is_told_about_the_job(transforms):
    uri = transforms.put("told/a.csv", "environment\n")
    _, outputs = transforms.run(uri, Environment={"MINE": "job"}, MaxPayloadInMB=2)
    assert outputs["a.csv.out"].split() == [
        "MINE=job", "SAGEMAKER_BATCH=true", "SAGEMAKER_BATCH_STRATEGY=MULTI_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS=1", "SAGEMAKER_MAX_PAYLOAD_IN_MB=2",
    ]  # fmt: skip


def test_a_model_that_does_not_load_fails_the_job(transforms):
    broken = transforms.hosted.model("broken", "def model_fn(folder): raise ValueError('no model')")
    uri = transforms.put("any/a.csv", "1\n")
    job, _ = transforms.run(uri, ModelName=broken)
    assert job["FailureReason"].startswith("AlgorithmError: Model container failed to respond to ping")
    assert any("no model" in line for line in transforms.log(job["TransformJobName"]))
    assert transforms.run(f"s3://{transforms.bucket}/nothing/")[0]["FailureReason"].startswith("ClientError: Data ")


def test_a_stopped_job_stores_nothing(transforms):
    transforms.put("stopped/a.csv", "1\n")
    transforms.put("stopped/b.csv", "sleep\n")
    name = transforms.start(f"s3://{transforms.bucket}/stopped/")
    until(lambda: transforms.log(name), lambda lines: len([each for each in lines if "asked" in each]) == 2)
    transforms.sagemaker.stop_transform_job(TransformJobName=name)
    job = transforms.wait(name)
    assert job["TransformJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    assert transforms.outputs(name) == {}
    with pytest.raises(ClientError, match="in status Stopped"):
        transforms.sagemaker.stop_transform_job(TransformJobName=name)


CSV_JOIN = {"JoinSource": "Input"}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"MaxPayloadInMB": 101}, "must not exceed 100 MB"),
        ({"MaxPayloadInMB": 30, "MaxConcurrentTransforms": 4}, "must not exceed 100 MB"),
        ({"DataProcessing": {"InputFilter": "$..x"}}, "Invalid JSONPath in DataProcessing"),
        ({"DataProcessing": CSV_JOIN, "split": "None"}, "needs SplitType and AssembleWith to be Line"),
        ({"DataProcessing": CSV_JOIN, "output": {"Accept": "application/json"}}, "can't turn text/csv into"),
        ({"DataProcessing": CSV_JOIN, "input": {"ContentType": "application/x-npy"}}, "that are one of text/csv"),
        ({"S3DataType": "AugmentedManifestFile"}, "not supported for batch transform"),
    ],
)
def test_requests_that_are_refused(transforms, members, words):
    code, message = transforms.refused(**members)
    assert code == "ValidationException"
    assert words in message


def test_an_absent_job_is_not_found(transforms):
    with pytest.raises(ClientError) as caught:
        transforms.describe("nobody")
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        "ValidationException", "Could not find requested job with name: nobody",
    )  # fmt: skip
