"""Training on several hosts: processes that find each other by name, share out the data, and fail as one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.localcloud.jobs import IMAGE, Jobs, channel

RING = """
import json, os, socket, sys, time
from pathlib import Path
hosts, me = json.loads(os.environ["SM_HOSTS"]), os.environ["SM_CURRENT_HOST"]
server = socket.create_server((me, 7777))  # the same port on each: they are machines of their own
found = {}
for host in hosts:
    for _ in range(200):
        try:
            with socket.create_connection((host, 7777), timeout=5) as made:
                made.sendall(me.encode())
            break
        except OSError:
            time.sleep(0.05)
    else:
        sys.exit(f"{me} can't reach {host}")
heard = set()
while len(heard) < len(hosts):
    made, _ = server.accept()
    heard.add(made.recv(100).decode())
rank = hosts.index(me)
print(f"rank={rank} machine={socket.gethostname()}", flush=True)
mine = {
    "heard": sorted(heard),
    "shard": sorted(os.listdir("/opt/ml/input/data/shard")),
    "all": sorted(os.listdir("/opt/ml/input/data/all")),
    "resources": json.loads(os.environ["SM_RESOURCE_CONFIG"]),
}
Path(f"/opt/ml/model/{rank}.json").write_text(json.dumps(mine))
Path("/opt/ml/model/everybody").write_text(str(rank))
Path(f"/opt/ml/output/data/{rank}").write_text("")
"""
RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 3, "VolumeSizeInGB": 1}


@pytest.fixture(scope="module")
def jobs(cloud: Any) -> Jobs:
    """A bucket, a role, and the calls around training jobs."""
    return Jobs(cloud)


@pytest.fixture(scope="module")
def three(jobs: Jobs) -> dict[str, Any]:
    """A job on three hosts."""
    for name in ("a", "b", "c", "d"):
        jobs.put(f"shared/{name}", name)
    where = f"s3://{jobs.bucket}/shared/"
    specification = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "rank", "Regex": r"rank=(\d+)"}],
    }
    job = jobs.run(
        RING,
        ResourceConfig=RESOURCES,
        AlgorithmSpecification=specification,
        InputDataConfig=[
            channel("shard", where, S3DataDistributionType="ShardedByS3Key"),
            channel("all", where),
        ],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


def test_hosts_find_each_other_and_share_out_the_data(jobs, three):
    files = jobs.unpacked(three["ModelArtifacts"]["S3ModelArtifacts"])
    seen = [json.loads(files[f"{rank}.json"]) for rank in range(3)]
    hosts = ["algo-1", "algo-2", "algo-3"]
    assert [each["heard"] for each in seen] == [hosts] * 3
    assert [each["shard"] for each in seen] == [["a", "d"], ["b"], ["c"]]
    assert [each["all"] for each in seen] == [["a", "b", "c", "d"]] * 3
    assert [each["resources"]["current_host"] for each in seen] == hosts
    assert seen[1]["resources"]["hosts"] == hosts
    assert seen[1]["resources"]["instance_groups"][0]["hosts"] == hosts


def test_the_model_is_that_of_all_hosts(jobs, three):
    uri = three["ModelArtifacts"]["S3ModelArtifacts"]
    files = jobs.unpacked(uri)
    assert sorted(files) == ["0.json", "1.json", "2.json", "everybody"]
    assert files["everybody"] == b"0"
    assert sorted(jobs.unpacked(uri.replace("model.tar.gz", "output.tar.gz"))) == ["0", "1", "2"]


def test_each_host_has_a_log_stream_and_all_have_metrics(jobs, three):
    logs, name = jobs.client("logs"), three["TrainingJobName"]
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    assert [each["logStreamName"].rpartition("-")[0] for each in streams] == [f"{name}/algo-{n}" for n in (1, 2, 3)]
    for number, stream in enumerate(streams):
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        assert f"rank={number} machine=algo-{number + 1}" in [each["message"] for each in events]
    assert three["FinalMetricDataList"][0]["MetricName"] == "rank"


def test_one_host_that_fails_fails_the_job(jobs):
    script = """
import os, sys, time
if os.environ["SM_CURRENT_HOST"] == "algo-2": raise ValueError("out of luck")
time.sleep(100)
"""
    job = jobs.run(script, ResourceConfig=RESOURCES)
    assert job["TrainingJobStatus"] == "Failed"
    assert "ValueError: out of luck" in job["FailureReason"]
    assert (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds() < 20


def test_a_channel_may_be_for_one_instance_group_only(jobs):
    jobs.put("grouped/a", "a")
    groups = [
        {"InstanceGroupName": name, "InstanceType": kind, "InstanceCount": 1}
        for name, kind in (("readers", "ml.m5.large"), ("trainers", "ml.c5.xlarge"))
    ]
    script = """
import json, os
from pathlib import Path
told = json.load(open("/opt/ml/input/config/resourceconfig.json"))
seen = {"there": os.path.exists("/opt/ml/input/data/data/a"), "type": told["current_instance_type"]}
Path(f"/opt/ml/model/{told['current_group_name']}").write_text(json.dumps(seen))
"""
    data = channel("data", f"s3://{jobs.bucket}/grouped/")
    data["DataSource"]["S3DataSource"]["InstanceGroupNames"] = ["trainers"]
    resources = {"InstanceGroups": groups, "VolumeSizeInGB": 1}
    job = jobs.run(script, ResourceConfig=resources, InputDataConfig=[data])
    files = jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert json.loads(files["readers"]) == {"there": False, "type": "ml.m5.large"}
    assert json.loads(files["trainers"]) == {"there": True, "type": "ml.c5.xlarge"}
