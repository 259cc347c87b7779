"""Still there tomorrow: what a local cloud holds is the same after a stop, a kill, and the start that follows."""

from __future__ import annotations

import io
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import RunningCloud
from tests.faults.world import settings
from tests.localcloud.everything import everything
from tests.localcloud.hosted import Hosted, until
from tests.localcloud.jobs import IMAGE, Jobs
from tests.localcloud.pipelines import PipelineCalls
from tests.localcloud.searches import Tuning
from tests.localcloud.test_glue_jobs import GlueJobs

from mlplat.errors import LocalCloudError
from mlplat.localcloud import daemon, processes
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE
from mlplat.localcloud.sagemaker import record_metrics
from mlplat.localcloud.store import Store
from mlplat.localcloud.supervisor import TAG
from mlplat.reconciler.apply import apply
from mlplat.reconciler.state import Store as State
from mlplat.workflows.platform import Platform

SAVED = 2.0
"""Seconds after which a change is on disk, on a machine that has other things to do."""

SERVING = "/aws/sagemaker/Endpoints/"


class Place:
    """A folder whose local cloud comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cloud = RunningCloud(daemon.start(folder, transition_delay=0.0))

    def again(self, *, kill: bool = False) -> RunningCloud:
        """End it and start it."""
        old = self.cloud.address
        if kill:
            os.kill(old.pid, signal.SIGKILL)
            until(lambda: processes.lives(old.pid, old.started), lambda lives: not lives)
        else:
            daemon.stop(self.folder)
        self.cloud = RunningCloud(daemon.start(self.folder, transition_delay=0.0))
        return self.cloud


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / ".mlplat" / "local")
    yield made
    daemon.stop(made.folder)


def test_all_that_is_there_is_there_again(place: Place, tmp_path: Path) -> None:
    fill(place.cloud, tmp_path)
    secrets = sealed(place.cloud)
    before = at_rest(place.cloud.client)
    cloud = place.again()
    settled = until(lambda: everything(cloud.client), lambda found: "SystemUpdating" not in str(found))
    assert differences(before, settled) == {}
    assert opened(cloud, secrets) == {"symmetric": b"secret", "rsa": b"secret"}
    record = cloud.client("sagemaker-featurestore-runtime").get_record(
        FeatureGroupName="customers", RecordIdentifierValueAsString="7"
    )
    assert record["Record"][0]["ValueAsString"] == "7"
    assert "can't be kept" not in (place.folder / "daemon.log").read_text()
    session = cloud.session("restarted")
    platform = Platform(settings("restarted", "us-east-1"), session, State(tmp_path / "state", "restarted"))
    assert platform.plan().is_empty


def at_rest(client: Callable[[str], Any]) -> dict[str, Any]:
    """Everything, once it is the same twice: what is counted or written a moment later has arrived."""
    found = [everything(client)]

    def again() -> dict[str, Any]:
        found.append(everything(client))
        return differences(deepcopy(found[-2]), deepcopy(found[-1]))

    until(again, lambda changed: changed == {})
    return found[-1]


def fill(cloud: RunningCloud, folder: Path) -> None:
    """All four templates, and objects of every family that they don't have."""
    session = cloud.session("restarted")
    store = State(folder / "state", "restarted")
    platform = Platform(settings("restarted", "us-east-1"), session, store)
    assert not apply(platform.plan(), session, store, parallelism=4).failed
    hosted = Hosted(cloud)
    model = hosted.model("kept")
    hosted.create("kept", hosted.config("kept", {"a": (model, 1.0), "b": (model, 3.0)}))
    fill_features(cloud, hosted)
    fill_services(cloud, hosted)
    jobs = Jobs(cloud)
    assert jobs.run("print('hello')")["TrainingJobStatus"] == "Completed"


def fill_features(cloud: RunningCloud, hosted: Hosted) -> None:
    sagemaker, runtime = cloud.client("sagemaker"), cloud.client("sagemaker-featurestore-runtime")
    sagemaker.create_feature_group(
        FeatureGroupName="customers",
        RecordIdentifierFeatureName="id",
        EventTimeFeatureName="at",
        FeatureDefinitions=[
            {"FeatureName": "id", "FeatureType": "String"},
            {"FeatureName": "at", "FeatureType": "String"},
        ],
        RoleArn=hosted.role,
        OnlineStoreConfig={"EnableOnlineStore": True},
        OfflineStoreConfig={"S3StorageConfig": {"S3Uri": f"s3://{hosted.bucket}/offline"}},
        Tags=[{"Key": "kept", "Value": "yes"}],
    )
    until(
        lambda: sagemaker.describe_feature_group(FeatureGroupName="customers"),
        lambda found: found["FeatureGroupStatus"] == "Created",
    )
    record = [
        {"FeatureName": "id", "ValueAsString": "7"},
        {"FeatureName": "at", "ValueAsString": "2024-01-01T00:00:00Z"},
    ]
    runtime.put_record(FeatureGroupName="customers", Record=record)
    until(
        lambda: hosted.s3.list_objects_v2(Bucket=hosted.bucket, Prefix="offline").get("Contents", ()),
        lambda found: any(each["Key"].endswith(".parquet") for each in found),
    )
    until(  # the request is counted a few seconds later
        lambda: cloud.client("cloudwatch").list_metrics(Namespace=record_metrics.NAMESPACE)["Metrics"],
        lambda found: len(found) > 0,
    )


def fill_services(cloud: RunningCloud, hosted: Hosted) -> None:
    s3, bucket = hosted.s3, hosted.bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one" * 5000, b"two"):
        s3.put_object(Bucket=bucket, Key="versions/ä b", Body=body, Metadata={"who": "me"}, Tagging="a=b")
    s3.delete_object(Bucket=bucket, Key="versions/ä b")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    etags = [
        s3.upload_part(**part, PartNumber=n, Body=bytes([n]) * size)["ETag"] for n, size in ((1, 5 << 20), (2, 9000))
    ]
    listed = [{"ETag": etag, "PartNumber": number} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(**part, MultipartUpload={"Parts": listed})
    pending = s3.create_multipart_upload(Bucket=bucket, Key="pending")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="pending", UploadId=pending, PartNumber=1, Body=b"x" * 9000)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("f.py", "def handler(event, context): return event")
    cloud.client("lambda").create_function(
        FunctionName="f", Runtime="python3.11", Role=hosted.role, Handler="f.handler", Code={"ZipFile": code.getvalue()}
    )
    cloud.client("ecr").create_repository(repositoryName="images")
    cloud.client("ssm").put_parameter(Name="/a", Value="b", Type="String")
    topic = cloud.client("sns").create_topic(Name="topic")["TopicArn"]
    cloud.client("sqs").create_queue(QueueName="queue")
    watch, events = cloud.client("cloudwatch"), cloud.client("events")
    watch.put_metric_data(Namespace="Mine", MetricData=[{"MetricName": "m", "Value": float(n)} for n in range(20)])
    watch.put_metric_alarm(
        AlarmName="alarm", MetricName="silent", Namespace="Mine", Period=60, EvaluationPeriods=1, Threshold=1.0,
        Statistic="Sum", ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic],
        TreatMissingData="ignore",  # it stays as it is, however long the test takes
    )  # fmt: skip
    events.put_rule(Name="rule", ScheduleExpression="rate(1 hour)")
    iam = cloud.client("iam")
    iam.attach_role_policy(RoleName=hosted.role.rpartition("/")[2], PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    iam.create_user(UserName="user")
    iam.create_access_key(UserName="user")


def sealed(cloud: RunningCloud) -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """Texts encrypted with a key of each kind."""
    kms = cloud.client("kms")
    symmetric = kms.create_key()["KeyMetadata"]["KeyId"]
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    found = {}
    for name, key, how in (("symmetric", symmetric, {}), ("rsa", rsa, {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"})):
        found[name] = (key, kms.encrypt(KeyId=key, Plaintext=b"secret", **how)["CiphertextBlob"], how)
    return found


def opened(cloud: RunningCloud, secrets: dict[str, tuple[str, bytes, dict[str, str]]]) -> dict[str, bytes]:
    kms = cloud.client("kms")
    return {
        name: kms.decrypt(KeyId=key, CiphertextBlob=blob, **how)["Plaintext"]
        for name, (key, blob, how) in secrets.items()
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Questions whose answers differ, with both. What serves again writes into its log that it does."""
    for answers in (before, after):
        for key in [key for key in answers if SERVING in key]:
            del answers[key]
        groups = answers["logs describe_log_groups"]["logGroups"]
        groups[:] = [each for each in groups if SERVING not in each["logGroupName"]]
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    return {key: _changed(before.get(key) or {}, after.get(key) or {}) for key in changed}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {key: (before.get(key), after.get(key)) for key in {*before, *after} if before.get(key) != after.get(key)}


def test_what_served_serves_again_and_what_ran_has_failed(place: Place) -> None:
    hosted, jobs = Hosted(place.cloud), Jobs(place.cloud)
    endpoint = hosted.create("kept", hosted.config("kept", {"a": (hosted.model("kept"), 1.0)}))
    name = jobs.start("import time; time.sleep(600)")
    until(lambda: jobs.describe(name)["SecondaryStatus"], lambda status: status == "Training")
    time.sleep(SAVED)
    cloud = place.again(kill=True)
    answer = cloud.client("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=b"x", ContentType="text/csv")
    assert answer["Body"].read().startswith(b"kept ")
    sagemaker = cloud.client("sagemaker")
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    assert (described["EndpointStatus"], described.get("FailureReason")) == ("InService", None)
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith("InternalServerError: the local cloud was stopped")
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed"
    sagemaker.delete_endpoint(EndpointName=endpoint)


HIDING = """
import os, pathlib, time, uuid
if not os.fork():
    os.setsid()
    os.fork()
(pathlib.Path({folder!r}) / uuid.uuid4().hex).touch()
time.sleep(600)
"""
"""A program of three processes, two of them in a session of their own; each leaves a mark in a folder."""


def test_whatever_ran_has_failed_and_nothing_of_it_is_left(place: Place, tmp_path: Path) -> None:
    """Jobs of every kind: killed with the daemon, with all that they have started, before any restart."""
    hosted, jobs = Hosted(place.cloud), Jobs(place.cloud)
    (tmp_path / "marks").mkdir()
    hide = HIDING.format(folder=str(tmp_path / "marks"))
    code = "def model_fn(folder): return 1\ndef transform_fn(model, body, content_type, accept): exec(model_code)\n"
    model = hosted.model("hiding", f"model_code = {hide!r}\n{code}")
    sagemaker = hosted.sagemaker
    training = jobs.start(hide)
    tuning = Tuning(jobs).start(hide, most=2)
    sagemaker.create_processing_job(
        ProcessingJobName="p", RoleArn=jobs.role,
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "-c", hide]},
    )  # fmt: skip
    source = {"S3DataType": "S3Prefix", "S3Uri": jobs.put("rows", "1")}
    sagemaker.create_transform_job(
        TransformJobName="t", ModelName=model,
        TransformInput={"DataSource": {"S3DataSource": source}, "ContentType": "text/csv"},
        TransformOutput={"S3OutputPath": f"s3://{hosted.bucket}/out"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )  # fmt: skip
    pipelines, glue = PipelineCalls(jobs), GlueJobs(place.cloud)
    execution = pipelines.start(pipelines.create(pipelines.processing("Hide", hide)))
    glue_job = glue.make(hide)
    glue_run = glue.start(glue_job)
    until(lambda: len(list((tmp_path / "marks").iterdir())), lambda found: found == 3 * 7, 90)  # tuning runs two
    time.sleep(SAVED)
    address = place.cloud.address
    os.kill(address.pid, signal.SIGKILL)
    until(lambda: processes.tagged(TAG, str(place.folder)), lambda left: not left, 20)
    cloud = place.again()
    sagemaker = cloud.client("sagemaker")
    ended = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
    assert (ended["PipelineExecutionStatus"], ended["FailureReason"]) == ("Failed", ENDED_MEANWHILE)
    (step,) = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    assert (step["StepStatus"], step["FailureReason"]) == ("Failed", ENDED_MEANWHILE)
    run = cloud.client("glue").get_job_run(JobName=glue_job, RunId=glue_run)["JobRun"]
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", ENDED_MEANWHILE)
    described = (
        sagemaker.describe_training_job(TrainingJobName=training),
        sagemaker.describe_processing_job(ProcessingJobName="p"),
        sagemaker.describe_transform_job(TransformJobName="t"),
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=tuning),
    )
    for job in described:
        status = next(value for key, value in job.items() if key.endswith("JobStatus"))
        assert status == "Failed", job
        assert "the local cloud was stopped, or ended" in job["FailureReason"]
    listed = {
        "list_training_jobs": "TrainingJobSummaries", "list_processing_jobs": "ProcessingJobSummaries",
        "list_transform_jobs": "TransformJobSummaries",
    }  # fmt: skip
    for operation, key in listed.items():
        assert all("InProgress" not in str(each) for each in getattr(sagemaker, operation)()[key])


def test_a_kill_loses_no_more_than_the_last_moment(place: Place) -> None:
    s3 = place.cloud.client("s3")
    s3.create_bucket(Bucket="many")
    written: dict[str, tuple[float, bytes]] = {}
    until_then = time.monotonic() + 4.0
    while time.monotonic() < until_then:
        number = len(written)
        body = f"{number}".encode() * (2000 if number % 3 else 1)
        s3.put_object(Bucket="many", Key=f"{number:05}", Body=body)
        written[f"{number:05}"] = (time.monotonic(), body)
    killed = time.monotonic()
    s3 = place.again(kill=True).client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="many")
    there = {each["Key"] for page in pages for each in page.get("Contents", ())}
    lost = [killed - when for key, (when, _) in written.items() if key not in there]
    assert max(lost, default=0.0) < SAVED, f"{len(lost)} of {len(written)}"
    for key in sorted(there)[::37]:
        assert s3.get_object(Bucket="many", Key=key)["Body"].read() == written[key][1]


def test_the_address_stays_and_so_do_the_keys(place: Place) -> None:
    before = place.cloud.address
    after = place.again().address
    assert (after.url, after.access_key, after.secret_key) == (before.url, before.access_key, before.secret_key)
    assert after.instance != before.instance


def test_work_that_waited_is_done_after_the_restart(tmp_path: Path) -> None:
    folder = tmp_path / ".mlplat" / "local"
    slow = RunningCloud(daemon.start(folder, transition_delay=30.0))
    ec2 = slow.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    slow.client("sagemaker").create_model_package_group(ModelPackageGroupName="waiting")
    daemon.stop(folder)
    cloud = RunningCloud(daemon.start(folder, transition_delay=0.0))
    try:
        until(
            lambda: cloud.client("ec2").describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"],
            lambda state: state == "available",
        )
        until(
            lambda: cloud.client("sagemaker").describe_model_package_group(ModelPackageGroupName="waiting"),
            lambda group: group["ModelPackageGroupStatus"] == "Completed",
        )
    finally:
        daemon.stop(folder)


def test_what_cannot_be_read_is_refused_with_the_way_out(place: Place) -> None:
    daemon.stop(place.folder)
    (place.folder / "store.sqlite").chmod(0o644)
    with pytest.raises(LocalCloudError, match="open to other users") as caught:
        daemon.start(place.folder)
    assert caught.value.hint == "mlplat local reset"
    (place.folder / "store.sqlite").chmod(0o600)
    store = Store(place.folder)
    store._db.execute("UPDATE stamp SET value = '4.0' WHERE name = 'moto'")
    store.close()
    with pytest.raises(LocalCloudError, match=r"written by .*moto 4\.0.*, and this is .*moto 5") as caught:
        daemon.start(place.folder)
    daemon.reset(place.folder)
    assert daemon.start(place.folder).instance
    assert sorted(path.name for path in (place.folder / "objects").glob("*")) == []


def test_pickles_that_are_damaged_are_refused_too(place: Place) -> None:
    place.cloud.client("kms").create_key()
    daemon.stop(place.folder)
    store = Store(place.folder)
    store._db.execute("UPDATE backends SET data = substr(data, 1, 50)")
    store.close()
    with pytest.raises(LocalCloudError, match="is damaged") as caught:
        daemon.start(place.folder)
    assert caught.value.hint == "mlplat local reset"
