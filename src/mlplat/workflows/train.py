"""A training job from source to registered model. Its name carries a digest of all that goes in, so the same
training is recognised instead of repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlplat.errors import MlplatError, UsageError, telling
from mlplat.settings import Workload
from mlplat.templates.images import image_uri
from mlplat.workflows import data, files, registry
from mlplat.workflows.choice import chosen
from mlplat.workflows.platform import Platform

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
"""SageMaker writes every training job's log there; the name can't be chosen."""

TERMINAL = frozenset({"Completed", "Failed", "Stopped"})


@dataclass(frozen=True)
class Event:
    """Something that happened to a run: a new status, a line of its log, or a trial's result."""

    what: Literal["status", "log", "trials"]
    text: str = ""
    value: Any = None


@dataclass(frozen=True)
class Inputs:
    """Everything a job is made of, uploaded; `digest` is ten hex digits over image, source, data, hyperparameters."""

    workload: str
    spec: Workload
    image: str
    source_uri: str
    channels: Mapping[str, str]
    hyperparameters: Mapping[str, str]
    digest: str
    contents: Mapping[str, str] = field(default_factory=dict)


def workload_of(platform: Platform, name: str | None) -> tuple[str, Workload]:
    """The workload of that name, or the only one there is. Raises UsageError with the nearest name."""
    return chosen(platform.settings.workloads, name, "workload", "mlplat train")


def prepare(
    platform: Platform, name: str, spec: Workload, hyperparameters: Mapping[str, Any], salt: str = ""
) -> Inputs:
    """Pack and upload source and data (skipped when already there) and digest all that goes in."""
    instance_type = spec.instance_type or platform.settings.training.instance_type
    image = image_uri(spec.image, platform.session.region, "training", instance_type)
    packed = files.archive(Path(spec.source))
    if not (Path(spec.source) / spec.entry_point).is_file():
        raise UsageError(f"packing workload {name}: {spec.source} has no {spec.entry_point}", hint="mlplat config show")
    source = files.upload_bytes(
        platform.session,
        data.bucket(platform, "experiments"),
        f"source/{name}/{files.digest(packed)}/sourcedir.tar.gz",
        packed,
    )
    channels = {channel: _channel(platform, name, channel, place) for channel, place in sorted(spec.channels.items())}
    values = {key: _text(value) for key, value in sorted(hyperparameters.items())}
    whole = files.digest(image, files.digest(packed), json.dumps([channels, values, spec.entry_point]), salt)
    return Inputs(name, spec, image, source, channels, values, whole)


def _channel(platform: Platform, workload: str, channel: str, place: str) -> str:
    """The s3:// address of a channel, whose key carries the digest of its files."""
    if place.startswith("s3://"):
        return place
    found = files.local_files(Path(place), f"channel {channel} of workload {workload}:", "mlplat config show workloads")
    root = Path(place) if Path(place).is_dir() else Path(place).parent
    whole = files.digest(*[f"{path.relative_to(root)}={files.file_digest(path)}" for path in found])
    prefix = f"training/{workload}/{channel}/{whole}"
    for path in found:
        key = f"{prefix}/{path.relative_to(root).as_posix()}"
        files.upload_file(platform.session, path, data.bucket(platform, "processed"), key, skip_existing=True)
    return f"s3://{data.bucket(platform, 'processed')}/{prefix}/"


def _text(value: Any) -> str:
    """Hyperparameters are strings on the wire; the toolkit reads JSON and falls back to text."""
    return value if isinstance(value, str) else json.dumps(value)


def parse_parameters(texts: Sequence[str]) -> dict[str, str]:
    """`C=0.5` -> {"C": "0.5"}. Raises UsageError."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"reading --parameter {text}: expected NAME=VALUE", hint="mlplat train --parameter C=0.5")
        found[name] = value
    return found


def submit(platform: Platform, inputs: Inputs, *, force: bool = False) -> tuple[str, bool]:
    """The job of these inputs: (name, started now). A job that runs or has completed is joined, not repeated.

    One whose model was deleted since is repeated. A role made a moment ago is waited for.
    """
    base = platform.place.name(inputs.workload, inputs.digest, limit=58)
    name, status = latest_attempt(platform, base)
    joins = status in ("InProgress", "Stopping") or (status == "Completed" and has_model(platform, name))
    if joins and not force:
        return name, False
    name = base if status is None else f"{base}-r{_attempt(name, base) + 1}"
    request = training_request(platform, inputs, name)
    create = platform.session.client("sagemaker").create_training_job
    with telling(f"starting training job {name}", "mlplat config show training"):
        create(**request)
    return name, True


def has_model(platform: Platform, job: str) -> bool:
    """Whether the model of a completed job is still there: a job stays for good, a destroy may take its bucket."""
    found = platform.session.client("sagemaker").describe_training_job(TrainingJobName=job)
    return files.exists(platform.session, found["ModelArtifacts"]["S3ModelArtifacts"])


def latest_attempt(platform: Platform, base: str) -> tuple[str, str | None]:
    """The newest job made of the same inputs, and its status (None: there is none)."""
    listed = platform.session.client("sagemaker").pages(
        "list_training_jobs", "TrainingJobSummaries", NameContains=base, SortBy="CreationTime", SortOrder="Descending"
    )
    mine = [each for each in listed if _attempt(each["TrainingJobName"], base)]
    newest = max(mine, key=lambda each: _attempt(each["TrainingJobName"], base), default=None)
    return (newest["TrainingJobName"], newest["TrainingJobStatus"]) if newest else (base, None)


def _attempt(name: str, base: str) -> int:
    """1 for `base`, n for `base-rn`, 0 for any other name."""
    tail = name.removeprefix(base)
    if tail == "" and name == base:
        return 1
    return int(tail[2:]) if tail.startswith("-r") and tail[2:].isdigit() else 0


def training_request(platform: Platform, inputs: Inputs, name: str) -> dict[str, Any]:
    """CreateTrainingJob, whole."""
    return {
        "TrainingJobName": name,
        "HyperParameters": {**inputs.hyperparameters, **script_mode(platform, inputs)},
        "EnableNetworkIsolation": False,
        "Tags": run_tags(platform, inputs.workload),
        **job_definition(platform, inputs),
    }


def script_mode(platform: Platform, inputs: Inputs) -> dict[str, str]:
    """The hyperparameters by which AWS's framework containers find the user's code."""
    return {
        "sagemaker_program": inputs.spec.entry_point,
        "sagemaker_submit_directory": inputs.source_uri,
        "sagemaker_container_log_level": "20",
        "sagemaker_region": platform.session.region,
    }


def job_definition(platform: Platform, inputs: Inputs) -> dict[str, Any]:
    """What a training job and the jobs of a tuning have in common.

    No VolumeKmsKeyId: instance types with local storage (g4dn, g5, p4d) refuse it, and all volumes are encrypted
    anyway (ResourceConfig's page).
    """
    spec, training = inputs.spec, platform.settings.training
    key = str(platform.output("ml_data_infrastructure.kms_key.platform", "arn"))
    definition: dict[str, Any] = {
        "AlgorithmSpecification": {
            "TrainingImage": inputs.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": metric, "Regex": regex} for metric, regex in spec.metrics.items()],
        },
        "RoleArn": platform.output("ml_training_infrastructure.role.training", "arn"),
        "InputDataConfig": [_input(channel, uri) for channel, uri in inputs.channels.items()],
        "OutputDataConfig": {
            "S3OutputPath": f"s3://{data.bucket(platform, 'models')}/training/{inputs.workload}",
            "KmsKeyId": key,
        },
        "ResourceConfig": {
            "InstanceType": spec.instance_type or training.instance_type,
            "InstanceCount": spec.instance_count or training.instance_count,
            "VolumeSizeInGB": training.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60 * (spec.max_runtime_minutes or training.max_runtime_minutes)},
    }
    if spec.environment:
        definition["Environment"] = dict(spec.environment)
    if training.in_vpc:
        definition["VpcConfig"] = vpc_config(platform)
    return definition


def _input(channel: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": channel, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def vpc_config(platform: Platform) -> dict[str, list[str]]:
    """The platform's private subnets and its workload security group."""
    count = platform.settings.network.zones
    subnets = [platform.output(f"ml_data_infrastructure.subnet.private_{n}", "id") for n in range(1, count + 1)]
    return {
        "Subnets": subnets,
        "SecurityGroupIds": [platform.output("ml_data_infrastructure.security_group.workloads", "id")],
    }


def run_tags(platform: Platform, workload: str) -> list[dict[str, str]]:
    """The tags of a run: whose it is, not an address, because a run is no resource."""
    whose = {"ManagedBy": "mlplat", "mlplat:namespace": platform.settings.namespace, "mlplat:workload": workload}
    tags = {**platform.session.labels, **whose}
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def described(platform: Platform, job: str) -> dict[str, Any]:
    """DescribeTrainingJob. Raises ApiError that names the job."""
    with telling(f"describing training job {job}", "mlplat train"):
        found: dict[str, Any] = platform.session.client("sagemaker").describe_training_job(TrainingJobName=job)
    return found


def follow(platform: Platform, job: str, *, every: float = 5.0) -> Iterator[Event]:
    """Statuses and log lines of a job until it has ended. Stopping and calling again goes on following."""
    tail, said, pause = _Tail(platform, job), "", 0.2
    while True:
        found = described(platform, job)
        status = f"{found['TrainingJobStatus']}: {found.get('SecondaryStatus', '')}".removesuffix(": ")
        if status != said:
            said, pause = status, 0.2
            yield Event("status", status, found)
        for line in tail.lines():
            pause = 0.2
            yield Event("log", line)
        if found["TrainingJobStatus"] in TERMINAL:
            return
        platform.session.pause(pause)
        pause = min(pause * 1.5, every)


class _Tail:
    """The lines of a job's log streams that have not been read yet."""

    def __init__(self, platform: Platform, job: str) -> None:
        self._session, self._job = platform.session, job
        self._tokens: dict[str, str | None] = {}

    def lines(self) -> Iterator[str]:
        logs = self._session.client("logs")
        found = self._session.find(
            lambda: logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self._job}/")
        )
        for stream in (found or {}).get("logStreams", []):
            yield from self._read(stream["logStreamName"])

    def _read(self, stream: str) -> Iterator[str]:
        logs = self._session.client("logs")
        while True:
            token = self._tokens.get(stream)
            start = {"nextToken": token} if token else {"startFromHead": True}
            page = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, **start)
            for event in page["events"]:
                yield event["message"].rstrip("\n")
            self._tokens[stream] = page["nextForwardToken"]
            if not page["events"] or page["nextForwardToken"] == token:
                return


def result(platform: Platform, job: str) -> dict[str, Any]:
    """What a completed job gave: metrics and model address. Raises MlplatError with AWS's reason when it failed."""
    found = described(platform, job)
    if found["TrainingJobStatus"] != "Completed":
        reason = found.get("FailureReason") or found.get("SecondaryStatus", "no reason given")
        raise MlplatError(
            f"training job {job}: {found['TrainingJobStatus']}: {reason}", hint=f"mlplat train --logs {job}"
        )
    return {
        "job": job,
        "status": found["TrainingJobStatus"],
        "metrics": {each["MetricName"]: each["Value"] for each in found.get("FinalMetricDataList", [])},
        "model": found["ModelArtifacts"]["S3ModelArtifacts"],
        "seconds": found.get("TrainingTimeInSeconds"),
        "hyperparameters": user_hyperparameters(found["HyperParameters"]),
    }


def user_hyperparameters(all_of_them: Mapping[str, str]) -> dict[str, str]:
    """The hyperparameters that the script sees: without the container's own."""
    return {key: value for key, value in all_of_them.items() if not key.startswith(("sagemaker_", "_tuning_"))}


def register(platform: Platform, workload: str, spec: Workload, trained: Mapping[str, Any]) -> registry.Version:
    """The model version of a completed job, pending approval; found again when it was registered before."""
    container = {
        "Image": image_uri(spec.image, platform.session.region, "inference", _serving_type(platform, workload)),
        "ModelDataUrl": trained["model"],
        "Environment": {
            "SAGEMAKER_PROGRAM": spec.inference_entry_point,
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
            "SAGEMAKER_REGION": platform.session.region,
        },
    }
    group = str(platform.output(f"ml_feature_store.model_package_group.{spec.model_package_group}", "name"))
    return registry.register(platform, group, container, trained["job"], workload, trained["metrics"])


def _serving_type(platform: Platform, workload: str) -> str:
    """The instance type that the workload's model will be served on: a GPU needs another image."""
    settings = platform.settings
    own = [each.instance_type for each in settings.endpoints.values() if each.workload == workload]
    return next((each for each in own if each), settings.serving.instance_type)
