"""Training jobs really run: seen from outside, through plain boto3."""

import contextlib
import json
import time
from pathlib import Path

import pytest
from tests.localcloud.jobs import IMAGE, Jobs, channel, until

SHOW = """
import json, os, sys
from pathlib import Path
seen = {
    "argv": sys.argv[1:],
    "environment": dict(os.environ),
    "channels": {
        folder.name: sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        for folder in Path("/opt/ml/input/data").iterdir()
    },
    "config": {file.stem: json.loads(file.read_text()) for file in Path("/opt/ml/input/config").iterdir()},
}
Path("/opt/ml/model/seen.json").write_text(json.dumps(seen))
Path("/opt/ml/output/data/report.txt").write_text("fine")
"""
METRICS = [{"Name": "validation:auc", "Regex": r"auc=(\S+)"}, {"Name": "loss", "Regex": r"loss: ([0-9.]+)"}]
SPECIFICATION = {"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": METRICS}


@pytest.fixture(scope="module")
def jobs(cloud):
    """A bucket, a role, and the calls around training jobs."""
    return Jobs(cloud)


@pytest.fixture(scope="module")
def seen(jobs):
    """(what a script in classic mode saw, its job)."""
    jobs.put("data/train/a.csv", "1")
    jobs.put("data/train/deep/b.csv", "2")
    jobs.put("data/training.csv", "3")
    manifest = jobs.put(
        "lists/m.manifest", json.dumps([{"prefix": f"s3://{jobs.bucket}/data/"}, "train/deep/b.csv", "training.csv"])
    )
    job = jobs.run(
        SHOW,
        HyperParameters={"lr": "0.1", "b": "1", "sagemaker_region": '"us-east-1"'},
        Environment={"MINE": "yes"},
        InputDataConfig=[
            channel("folder", f"s3://{jobs.bucket}/data/train/"),
            channel("bare", f"s3://{jobs.bucket}/data/train"),
            channel("single", f"s3://{jobs.bucket}/data/training.csv"),
            channel("listed", manifest, S3DataType="ManifestFile"),
            channel("sharded", f"s3://{jobs.bucket}/data/train/", S3DataDistributionType="ShardedByS3Key")
            | {"ContentType": "text/csv"},
        ],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    files = jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])
    return json.loads(files["seen.json"]), job


def test_channels_hold_what_is_under_their_prefix(seen):
    channels = seen[0]["channels"]
    assert channels["folder"] == ["a.csv", "deep/b.csv"]
    assert channels["single"] == ["training.csv"]
    assert channels["listed"] == ["train/deep/b.csv", "training.csv"]
    assert channels["sharded"] == ["a.csv", "deep/b.csv"]
    # a prefix is a prefix: data/train also names data/training.csv
    assert channels["bare"] == ["train/a.csv", "train/deep/b.csv", "training.csv"]


def test_the_container_finds_its_configuration(seen):
    config, job = seen[0]["config"], seen[1]
    assert config["resourceconfig"] == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.large",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
        ],
        "network_interface_name": "lo",
    }
    assert config["inputdataconfig"]["sharded"] == {
        "TrainingInputMode": "File",
        "S3DistributionType": "ShardedByS3Key",
        "RecordWrapperType": "None",
        "ContentType": "text/csv",
    }
    assert config["hyperparameters"] == job["HyperParameters"]


def test_the_script_gets_arguments_and_an_environment_of_its_own(seen, jobs):
    script, job = seen
    environment = script["environment"]
    assert script["argv"] == ["-b", "1", "--lr", "0.1"]
    assert environment["SM_CHANNEL_FOLDER"] == "/opt/ml/input/data/folder"
    assert environment["MINE"] == "yes"
    assert environment["TRAINING_JOB_NAME"] == job["TrainingJobName"]
    assert environment["TRAINING_JOB_ARN"] == job["TrainingJobArn"]
    assert environment["AWS_ENDPOINT_URL"] == jobs.cloud.url
    assert environment["AWS_REGION"] == "us-east-1"
    home = jobs.cloud.folder / "jobs/us-east-1/training" / job["TrainingJobName"] / "algo-1/home"
    assert environment["HOME"] == str(home)
    assert "AWS_PROFILE" not in environment


def test_describe_answers_all_that_aws_does(seen, jobs):
    job = seen[1]
    name = job["TrainingJobName"]
    assert job["TrainingJobArn"] == f"arn:aws:sagemaker:us-east-1:{jobs.cloud.account}:training-job/{name}"
    assert job["SecondaryStatus"] == "Completed"
    assert [each["Status"] for each in job["SecondaryStatusTransitions"]] == [
        "Starting", "Downloading", "Training", "Uploading", "Completed",
    ]  # fmt: skip
    times = [each[side] for each in job["SecondaryStatusTransitions"] for side in ("StartTime", "EndTime")]
    assert times == sorted(times)
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 120}
    assert job["EnableManagedSpotTraining"] is False
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{jobs.bucket}/out/{name}/output/model.tar.gz"
    assert jobs.unpacked(f"s3://{jobs.bucket}/out/{name}/output/output.tar.gz") == {"report.txt": b"fine"}
    assert "VpcConfig" not in job
    assert "TuningJobArn" not in job


def test_nothing_of_a_job_is_left_on_the_disk(seen, jobs):
    until(
        lambda: list((jobs.cloud.folder / "jobs").glob(f"*/training/{seen[1]['TrainingJobName']}")),
        lambda left: not left,
        5,
    )


def test_metrics_are_found_in_the_log(jobs):
    name = jobs.start(
        "import sys, time\nprint('auc=0.5 auc=0.6 loss: 2\\nauc=nan\\nauc=n/a')\n"
        "time.sleep(0.5)  # the toolkit reads the two streams apart, so only time orders them\n"
        "print('auc=0.7', file=sys.stderr)",
        AlgorithmSpecification=SPECIFICATION,
    )
    job = jobs.wait(name)
    final = {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}
    assert final == {"validation:auc": pytest.approx(0.7), "loss": 2.0}
    assert final["validation:auc"] != 0.7  # AWS keeps 32 bits of it
    points = jobs.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="validation:auc",
        Dimensions=[{"Name": "TrainingJobName", "Value": name}],
        StartTime=job["CreationTime"].timestamp() - 120,
        EndTime=job["LastModifiedTime"].timestamp() + 120,
        Period=60,
        Statistics=["SampleCount", "Maximum"],
    )["Datapoints"]
    assert sum(point["SampleCount"] for point in points) == 3
    assert max(point["Maximum"] for point in points) == pytest.approx(0.7)


def test_lines_come_while_the_script_runs_and_pages_end_with_an_empty_one(jobs):
    name = jobs.start("import time\nprint('first')\ntime.sleep(20)")
    until(lambda: jobs.log(name), lambda lines: "first" in lines, 15)
    assert jobs.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress"
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    jobs.wait(name)
    logs, group = jobs.client("logs"), "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    job, _, host = stream["logStreamName"].partition("/")
    assert job == name
    assert host.startswith("algo-1-")
    assert abs(int(host.rpartition("-")[2]) - time.time()) < 60
    page = {"logGroupName": group, "logStreamName": stream["logStreamName"], "startFromHead": True}
    end = logs.get_log_events(**page)["nextForwardToken"]
    last = logs.get_log_events(**page, nextToken=end)
    assert last["events"] == []
    assert last["nextForwardToken"] == end


def test_a_flood_of_lines_and_an_endless_one_arrive_whole(jobs):
    name = jobs.start("for n in range(25_000): print(n)\nprint('x' * 700_000)\nprint('é' * 300)\nprint('end')")
    assert jobs.wait(name)["TrainingJobStatus"] == "Completed"
    lines = jobs.log(name)
    assert [line for line in lines if line.isdigit()] == [str(n) for n in range(25_000)]
    assert sum(line.count("x") for line in lines if set(line) == {"x"}) == 700_000
    assert "é" * 300 in lines
    assert "end" in lines


def test_a_script_that_raises_fails_with_its_traceback(jobs):
    job = jobs.run("def fit():\n    raise ValueError('no column churn')\nfit()")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith('AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "raise ')
    assert "ValueError: no column churn" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")
    assert "ModelArtifacts" not in job
    assert "Traceback (most recent call last):" in jobs.log(job["TrainingJobName"])


def test_a_failure_reason_is_cut_at_1024_characters(jobs):
    job = jobs.run("open('/opt/ml/output/failure', 'w').write('y' * 5000)\nraise SystemExit(3)")
    assert job["FailureReason"] == "AlgorithmError: " + "y" * (1024 - len("AlgorithmError: "))


def test_an_entrypoint_of_ones_own_runs_in_any_image(jobs):
    specification = {
        "TrainingImage": "anything/at-all:1",
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["/bin/sh", "-c"],
        "ContainerArguments": ["python3 -c 'import sklearn; print(1 + 1)' && pip3 --version > /opt/ml/model/pip"],
    }
    job = jobs.run(AlgorithmSpecification=specification)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert b"pip" in jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])["pip"]
    failing = specification | {"ContainerArguments": ["exit 7"]}
    assert jobs.run(AlgorithmSpecification=failing)["FailureReason"] == "AlgorithmError: , exit code: 7"


def test_what_can_not_run_here_says_so(jobs):
    def reason(image, **members):
        specification = {"TrainingImage": image, "TrainingInputMode": "File"}
        job = jobs.run(AlgorithmSpecification=specification, **members)
        assert job["TrainingJobStatus"] == "Failed"
        return job["FailureReason"]

    assert "no runtime for the image 1.dkr.ecr/linear-learner:1" in reason("1.dkr.ecr/linear-learner:1")
    assert "torch" in reason("1.dkr.ecr/pytorch-training:2.8", HyperParameters={"sagemaker_program": "train.py"})
    assert "sagemaker_program" in reason(IMAGE)


def test_stop_lets_the_script_save_its_model(jobs):
    script = """
import signal, sys, time
def save(*_):
    open('/opt/ml/model/saved', 'w').write('half')
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print('ready', flush=True)
time.sleep(60)
"""
    name = jobs.start(script)
    until(lambda: jobs.log(name), lambda lines: "ready" in lines)
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    job = jobs.wait(name, within=10)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    statuses = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"saved": b"half"}
    assert "FailureReason" not in job
    code, message = jobs.refused("stop_training_job", TrainingJobName=name)
    assert code == "ValidationException"
    assert message == "The request was rejected because the training job is in status Stopped."


def test_a_job_that_is_stopped_at_once_ends_stopped(jobs):
    name = jobs.start("import time; time.sleep(60)")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert jobs.describe(name)["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert jobs.wait(name, within=10)["SecondaryStatus"] == "Stopped"


def test_max_runtime_stops_the_job_and_keeps_its_model(jobs):
    script = "import time\nopen('/opt/ml/model/m', 'w').write('early')\ntime.sleep(60)"
    job = jobs.run(script, StoppingCondition={"MaxRuntimeInSeconds": 2})
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert 2 <= job["BillableTimeInSeconds"] <= 6
    assert jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"m": b"early"}


def test_what_a_script_leaves_running_ends_with_the_job(jobs):
    mark = f"left-behind-{jobs.name()}"
    script = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)', {mark!r}], start_new_session=True)
print('left it', flush=True)
time.sleep(1.5)
"""
    name = jobs.start(script)
    until(lambda: processes(mark), lambda found: len(found) == 1, 10)  # it was there
    assert jobs.wait(name)["TrainingJobStatus"] == "Completed"
    until(lambda: processes(mark), lambda found: not found, 5)


def processes(mark):
    """The processes of this machine with `mark` as an argument of their own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(entry.name)
    return found


def test_uncompressed_output_and_checkpoints(jobs):
    jobs.put("checkpoints/old/epoch", "3")
    script = """
from pathlib import Path
assert Path('/opt/ml/checkpoints/old/epoch').read_text() == '3'
Path('/opt/ml/checkpoints/epoch').write_text('4')
Path('/opt/ml/model/deep').mkdir()
Path('/opt/ml/model/deep/m').write_text('m')
"""
    job = jobs.run(
        script,
        OutputDataConfig={"S3OutputPath": f"s3://{jobs.bucket}/plain/", "CompressionType": "NONE"},
        CheckpointConfig={"S3Uri": f"s3://{jobs.bucket}/checkpoints/"},
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{jobs.bucket}/plain/{job['TrainingJobName']}/output/model/"
    prefix = uri.partition(f"{jobs.bucket}/")[2]
    assert [each["Key"] for each in jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix=prefix)["Contents"]] == [
        f"{prefix}deep/m"
    ]
    assert jobs.s3.get_object(Bucket=jobs.bucket, Key="checkpoints/epoch")["Body"].read() == b"4"


def test_an_output_bucket_that_is_not_there_fails_the_job(jobs):
    job = jobs.run(
        "open('/opt/ml/model/m', 'w').write('x')", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket-at-all/x"}
    )
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:")
    assert "NoSuchBucket" in job["FailureReason"]


def test_a_script_archive_that_is_not_there_fails_the_job(jobs):
    missing = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{jobs.bucket}/no/code.tar.gz"}
    job = jobs.run(HyperParameters=missing)
    assert job["FailureReason"].startswith("AlgorithmError: framework error:")
    assert "404" in job["FailureReason"]


def test_jobs_run_side_by_side_each_with_its_own_opt_ml(jobs):
    script = """
import sys, time
from pathlib import Path
Path('/opt/ml/model/who').write_text(sys.argv[2])
time.sleep(0.5)
assert Path('/opt/ml/model/who').read_text() == sys.argv[2]
"""
    names = [jobs.start(script, HyperParameters={"who": str(number)}) for number in range(4)]
    for number, name in enumerate(names):
        job = jobs.wait(name)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert jobs.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"who": str(number).encode()}
