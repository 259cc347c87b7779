"""Processing jobs really run: seen from outside, through plain boto3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.localcloud.jobs import Jobs, until

GROUP = "/aws/sagemaker/ProcessingJobs"
CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}

SHOW = """
import json, os, socket, sys
from pathlib import Path
home = Path("/opt/ml/processing")
config = json.loads(Path("/opt/ml/config/resourceconfig.json").read_text())
host = config["current_host"]
seen = {
    "argv": sys.argv[1:],
    "environment": dict(os.environ),
    "inputs": sorted(str(file.relative_to(home)) for file in (home / "input").rglob("*") if file.is_file()),
    "job": json.loads(Path("/opt/ml/config/processingjobconfig.json").read_text()),
    "resources": config,
}
print(f"hello from {host}")
(home / "output" / f"{host}.json").write_text(json.dumps(seen))
os.symlink("/etc/hostname", home / "output" / "link")
Path("/opt/ml/output/message").write_text(f"{host} done. ")
"""


class Processing:
    """Processing jobs as a user's own boto3 program makes them."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs, self.sagemaker, self.bucket = jobs, jobs.sagemaker, jobs.bucket

    def request(self, script: str, **members: Any) -> dict[str, Any]:
        """The script as the input `code`, run by python3; an output `result`. `members` replace or add."""
        name = self.jobs.name("process")
        code = self.jobs.put(f"{name}/code/run.py", script)
        inputs = [s3_input("code", code, "/opt/ml/processing/input/code"), *members.pop("inputs", ())]
        output = s3_output("result", f"s3://{self.bucket}/{name}/result", "/opt/ml/processing/output")
        entrypoint = ["python3", "/opt/ml/processing/input/code/run.py"]
        return {
            "ProcessingJobName": name,
            "RoleArn": self.jobs.role,
            "AppSpecification": {"ImageUri": "any/image:1", "ContainerEntrypoint": entrypoint},
            "ProcessingResources": {"ClusterConfig": CLUSTER},
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {"Outputs": members.pop("outputs", [output])},
        } | members

    def start(self, script: str, **members: Any) -> str:
        request = self.request(script, **members)
        self.sagemaker.create_processing_job(**request)
        return str(request["ProcessingJobName"])

    def describe(self, name: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_processing_job(ProcessingJobName=name))

    def wait(self, name: str) -> dict[str, Any]:
        ended = ("Completed", "Failed", "Stopped")
        return until(lambda: self.describe(name), lambda job: job["ProcessingJobStatus"] in ended)

    def run(self, script: str, **members: Any) -> dict[str, Any]:
        return self.wait(self.start(script, **members))

    def read(self, key: str) -> str:
        return str(self.jobs.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())

    def keys(self, prefix: str) -> list[str]:
        found = self.jobs.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", ())
        return [each["Key"].removeprefix(prefix) for each in found]

    def refused(self, **members: Any) -> tuple[str, str]:
        return self.jobs.refused("create_processing_job", **self.request("pass", **members))


def s3_input(name: str, uri: str, path: str, **members: str) -> dict[str, Any]:
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File", **members}
    return {"InputName": name, "S3Input": source}


def s3_output(name: str, uri: str, path: str, mode: str = "EndOfJob") -> dict[str, Any]:
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}}


@pytest.fixture(scope="module")
def processing(cloud: Any) -> Processing:
    """A bucket, a role, and the calls around processing jobs."""
    return Processing(Jobs(cloud))


@pytest.fixture(scope="module")
def two(processing: Processing) -> dict[str, Any]:
    """A job on two hosts, with inputs for all and shared out."""
    for name in ("a.csv", "b.csv", "deep/c.csv"):
        processing.jobs.put(f"data/{name}", name)
    where = f"s3://{processing.bucket}/data/"
    shared = s3_input("shard", where, "/opt/ml/processing/input/shard", S3DataDistributionType="ShardedByS3Key")
    request = processing.request(
        SHOW,
        inputs=[s3_input("all", where, "/opt/ml/processing/input/all"), shared],
        ProcessingResources={"ClusterConfig": CLUSTER | {"InstanceCount": 2}},
        Environment={"MINE": "yes"},
        Tags=[{"Key": "team", "Value": "churn"}],
    )
    request["AppSpecification"]["ContainerArguments"] = ["--share", "0.2"]
    processing.sagemaker.create_processing_job(**request)
    return processing.wait(request["ProcessingJobName"])


def seen(processing: Processing, job: dict[str, Any], host: str) -> dict[str, Any]:
    return dict(json.loads(processing.read(f"{job['ProcessingJobName']}/result/{host}.json")))


def test_inputs_come_down_to_every_host_whole_or_shared_out(processing, two):
    first, second = seen(processing, two, "algo-1"), seen(processing, two, "algo-2")
    assert first["inputs"] == [
        "input/all/a.csv", "input/all/b.csv", "input/all/deep/c.csv", "input/code/run.py", "input/shard/a.csv",
        "input/shard/deep/c.csv",
    ]  # fmt: skip
    assert second["inputs"] == [
        "input/all/a.csv", "input/all/b.csv", "input/all/deep/c.csv", "input/code/run.py", "input/shard/b.csv",
    ]  # fmt: skip


def test_outputs_go_up_from_every_host_but_no_links(processing, two):
    assert processing.keys(f"{two['ProcessingJobName']}/result/") == ["algo-1.json", "algo-2.json"]


def test_the_container_is_told_about_its_job(processing, two):
    told = seen(processing, two, "algo-2")
    assert told["argv"] == ["--share", "0.2"]
    assert told["resources"] == {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}
    job = told["job"]
    assert job["ProcessingJobArn"] == two["ProcessingJobArn"]
    assert job["AppSpecification"] == two["AppSpecification"]
    assert [each["InputName"] for each in job["ProcessingInputs"]] == ["code", "all", "shard"]
    assert job["ProcessingOutputConfig"]["KmsKeyId"] is None
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    environment = told["environment"]
    assert environment["MINE"] == "yes"
    assert environment["AWS_ENDPOINT_URL"] == processing.jobs.cloud.url
    assert "TRAINING_JOB_NAME" not in environment


def test_describe_and_list_answer_all_that_aws_does(processing, two):
    name = two["ProcessingJobName"]
    assert two["ProcessingJobStatus"] == "Completed", two.get("FailureReason")
    assert two["ProcessingJobArn"].endswith(f":processing-job/{name}")
    assert two["ExitMessage"] == "algo-1 done. algo-2 done. "
    assert two["CreationTime"] <= two["ProcessingStartTime"] <= two["ProcessingEndTime"] <= two["LastModifiedTime"]
    assert two["ProcessingInputs"][1]["S3Input"]["S3DataDistributionType"] == "FullyReplicated"
    assert two["ProcessingInputs"][1]["AppManaged"] is False
    assert "FailureReason" not in two
    listed = processing.sagemaker.list_processing_jobs(NameContains=name, StatusEquals="Completed")
    (summary,) = listed["ProcessingJobSummaries"]
    assert summary["ExitMessage"] == two["ExitMessage"]
    tags = processing.sagemaker.list_tags(ResourceArn=two["ProcessingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "churn"}]


def test_each_host_has_a_log_stream(processing, two):
    logs, name = processing.jobs.client("logs"), two["ProcessingJobName"]
    streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
    assert [each["logStreamName"].rpartition("-")[0] for each in streams] == [f"{name}/algo-1", f"{name}/algo-2"]
    events = [
        logs.get_log_events(logGroupName=GROUP, logStreamName=each["logStreamName"])["events"] for each in streams
    ]
    assert [each[0]["message"] for each in events] == ["hello from algo-1", "hello from algo-2"]


def test_a_script_that_fails_fails_the_job_and_keeps_its_message(processing):
    job = processing.run("open('/opt/ml/output/message', 'w').write('no column churn')\nraise SystemExit(3)")
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no column churn, exit code: 3"
    assert job["ExitMessage"] == "no column churn"
    assert processing.run("raise SystemExit(1)")["FailureReason"] == "AlgorithmError: , exit code: 1"


def test_one_host_that_fails_ends_the_others(processing):
    script = """
import json, sys, time
if json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"] == "algo-2": sys.exit(7)
time.sleep(100)
"""
    job = processing.run(script, ProcessingResources={"ClusterConfig": CLUSTER | {"InstanceCount": 2}})
    assert job["FailureReason"] == "AlgorithmError: , exit code: 7"
    assert (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() < 15


def test_a_message_is_cut_at_a_kilobyte_and_must_be_text(processing):
    job = processing.run("open('/opt/ml/output/message', 'w').write('é' * 1000)")
    assert job["ProcessingJobStatus"] == "Completed"
    assert job["ExitMessage"] == "é" * 512
    job = processing.run("open('/opt/ml/output/message', 'wb').write(b'\\xff\\xfe')")
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError:")


def test_continuous_outputs_come_while_the_script_runs_and_when_it_fails(processing):
    name = processing.jobs.name("process")
    place = f"s3://{processing.bucket}/{name}"
    outputs = [
        s3_output("now", f"{place}/now/", "/opt/ml/processing/now", "Continuous"),
        s3_output("late", f"{place}/late/", "/opt/ml/processing/late"),
    ]
    script = """
import time
for folder in ("now", "late"): open(f"/opt/ml/processing/{folder}/part", "w").write("1")
time.sleep(2.5)
open("/opt/ml/processing/now/part", "w").write("22")
raise SystemExit(1)
"""
    started = processing.start(script, outputs=outputs)
    until(lambda: processing.keys(f"{name}/"), lambda keys: "now/part" in keys, 10)
    assert processing.describe(started)["ProcessingJobStatus"] == "InProgress"
    assert processing.wait(started)["ProcessingJobStatus"] == "Failed"
    assert processing.read(f"{name}/now/part") == "22"
    assert processing.keys(f"{name}/") == ["now/part"]  # EndOfJob: only what ends well


def test_stop_and_the_time_limit_end_the_whole_job(processing):
    script = "import time; print('up', flush=True); time.sleep(100)"
    name = processing.start(script)
    jobs = processing.jobs
    until(lambda: processing.describe(name), lambda job: "ProcessingStartTime" in job)
    processing.sagemaker.stop_processing_job(ProcessingJobName=name)
    job = processing.wait(name)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    assert jobs.refused("stop_processing_job", ProcessingJobName=name)[0] == "ValidationException"
    job = processing.run(script, StoppingCondition={"MaxRuntimeInSeconds": 2})
    assert job["ProcessingJobStatus"] == "Stopped"
    assert 2 <= (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() < 10
    assert not list((jobs.cloud.folder / "jobs").glob("*/processing/*"))


def test_a_job_can_be_deleted_once_it_has_ended(processing):
    name = processing.start("import time; time.sleep(1)")
    code, _ = processing.jobs.refused("delete_processing_job", ProcessingJobName=name)
    assert code == "ResourceInUse"
    code, words = processing.jobs.refused("create_processing_job", **processing.request("", ProcessingJobName=name))
    assert (code, words.split(",")[0]) == ("ResourceInUse", "Job name must be unique within an AWS account and region")
    processing.wait(name)
    processing.sagemaker.delete_processing_job(ProcessingJobName=name)
    code, words = processing.jobs.refused("describe_processing_job", ProcessingJobName=name)
    assert (code, words) == ("ValidationException", f"Could not find requested job with name: {name}")


def test_data_that_is_not_there_and_images_without_entrypoint_fail_the_job(processing):
    missing = s3_input("data", f"s3://{processing.bucket}/no/such/", "/opt/ml/processing/input/data")
    assert processing.run("", inputs=[missing])["FailureReason"].startswith("ClientError: Data download failed:")
    job = processing.run("", AppSpecification={"ImageUri": "any/image:1"})
    assert "no runtime for the image any/image:1" in job["FailureReason"]


def test_the_first_preference_is_what_runs(processing):
    preferences = [{"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}, {"InstanceType": "ml.m5.large"}]
    cluster = {"InstancePreferences": preferences, "VolumeSizeInGB": 1}
    job = processing.run("", ProcessingResources={"ClusterConfig": cluster})
    selected = job["ProcessingResources"]["ClusterConfig"]
    assert (selected["SelectedInstanceType"], selected["SelectedInstanceCount"]) == ("ml.m5.xlarge", 2)


PATH = "/opt/ml/processing/x"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"inputs": [s3_input("x", "s3://b/k", "/opt/ml/input/x")]}, "must begin with /opt/ml/processing/"),
        ({"inputs": [s3_input("x", "s3://b/k", "/opt/ml/processing/../x")]}, "must begin with /opt/ml/processing/"),
        ({"inputs": [s3_input("code", "s3://b/k", PATH)]}, "input name code is used more than once"),
        ({"inputs": [s3_input("x", "s3://b/k", PATH, S3InputMode="Pipe")]}, "no Pipe mode"),
        ({"inputs": [s3_input("x", "s3://b/k", PATH, S3CompressionType="Gzip")]}, "Gzip can only be used when Pipe"),
        ({"inputs": [{"InputName": "x"}]}, "exactly one of S3Input and DatasetDefinition"),
        ({"outputs": [s3_output("x", "s3://b/k", "/tmp/x")]}, "must begin with /opt/ml/processing/"),
        ({"outputs": [{"OutputName": "x"}]}, "exactly one of S3Output and FeatureStoreOutput"),
        (
            {"outputs": [{"OutputName": "x", "FeatureStoreOutput": {"FeatureGroupName": "g"}}]},
            "only supported when AppManaged",
        ),
        ({"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1}}}, "InstanceType and InstancePreferences"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "Could not assume role"),
    ],
)
def test_requests_that_are_refused(processing, members, words):
    code, message = processing.refused(**members)
    assert code == "ValidationException"
    assert words in message


def test_too_many_instances_are_refused(processing):
    code, message = processing.refused(ProcessingResources={"ClusterConfig": CLUSTER | {"InstanceCount": 21}})
    assert code == "ResourceLimitExceeded"
    assert "ml.m5.large for processing job usage" in message
