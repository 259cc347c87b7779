"""The part of ml_feature_store that fills the groups: pipelines, or Glue jobs, from raw files, and a crawler of those.

A transformation is one script, made of the job that comes with mlplat, what it is for, and the user's own code.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mlplat.errors import SettingsError
from mlplat.resources import BucketObject, EventRule, GlueCrawler, GlueJob, GlueTrigger, Pipeline, Role
from mlplat.resources.base import Declared, Ref, Resource
from mlplat.resources.s3 import OWN
from mlplat.templates import permissions
from mlplat.templates.feature_monitoring import OWN as METRICS
from mlplat.templates.images import image_uri
from mlplat.templates.permissions import DATA, Statement, allow, bucket, document
from mlplat.templates.place import Place
from mlplat.templates.versions import FEATURE_STORE, group_address, versioned

if TYPE_CHECKING:
    from mlplat.settings import Settings, Transformation

CODE = "/opt/ml/processing/input/code"
DATABASE = f"{DATA}.glue_database.catalog"
CODE_BUCKET = f"{DATA}.bucket.experiments"
RAW = "raw_"
"""What the names of the crawler's tables begin with."""
GLUE_LOGS = ("/aws-glue/python-jobs/output", "/aws-glue/python-jobs/error")
"""Glue's names, the same in every account."""


def transformations(settings: Settings, place: Place) -> Iterator[Declared]:
    """What each transformation of the settings consists of, what they share, and the crawler."""
    pipelines = {name for name, each in settings.transformations.items() if each.engine == "processing"}
    for name, spec in settings.transformations.items():
        yield _declared("role", f"transformation_{name}", _role(settings, place, name, spec))
        code = _script(settings, place, name, spec)
        yield Declared(f"{FEATURE_STORE}.bucket_object.transformation_{name}", code, after=(CODE_BUCKET,))
        yield from _pipeline(settings, place, name, spec) if name in pipelines else _glue(place, name, spec)
    if pipelines:
        yield _declared("role", "pipelines", _pipeline_role(settings, place, sorted(pipelines)))
    if scheduled := [name for name in sorted(pipelines) if settings.transformations[name].schedule]:
        yield _declared("role", "schedules", _schedule_role(place, scheduled))
    if settings.crawler.enabled:
        yield from _crawler(settings, place)


def kept(name: str) -> str:
    """Where in the processed bucket a transformation keeps its marks, reports and quarantine."""
    return f"transformations/{name}/"


def _declared(kind: str, name: str, resource: Resource) -> Declared:
    return Declared(f"{FEATURE_STORE}.{kind}.{name}", resource)


def _group(settings: Settings, name: str, spec: Transformation) -> tuple[str, int]:
    group = spec.feature_group or name
    return group, settings.feature_groups[group].version


def _script(settings: Settings, place: Place, name: str, spec: Transformation) -> BucketObject:
    """The job's source, then what it is told and the user's source as texts, then the call."""
    group, version = _group(settings, name, spec)
    schema = settings.feature_groups[group]
    contract = {
        "feature_group": place.name(versioned(group, version)),
        "region": place.region,
        "raw": {"bucket": place.global_name("raw"), "prefix": spec.source},
        "kept": {"bucket": place.global_name("processed"), "prefix": kept(name)},
        "features": schema.features,
        "identifier": schema.record_identifier,
        "event_time": schema.event_time,
        "max_quarantined": spec.max_quarantined,
        "publishes": settings.monitoring.feature_store.enabled,
        "rules": {feature: rule.model_dump(exclude_defaults=True) for feature, rule in spec.rules.items()},
    }
    job = files("mlplat.jobs").joinpath("transform_features.py").read_text()
    told = f"CONTRACT = json.loads({json.dumps(contract)!r})\nSOURCE = {_source(settings, name, spec)!r}\n"
    return BucketObject(
        name=f"{OWN}transformations/{name}.py",
        bucket=place.global_name("experiments"),  # no Ref: without a state it is found by its place alone
        content=f"{job}\n\n{told}\nraise SystemExit(main(CONTRACT, SOURCE))\n",
    )


def _source(settings: Settings, name: str, spec: Transformation) -> str:
    """The user's code. Raises SettingsError when there is none, or when it has no function `transform`."""
    key = ("transformations", name, "script")
    try:
        source = spec.script.read_text(encoding="utf-8")
        tree = ast.parse(source, filename=spec.script.name)
    except SyntaxError as error:
        reason = f"line {error.lineno}: {error.msg}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    else:
        if any(isinstance(each, ast.FunctionDef) and each.name == "transform" for each in tree.body):
            return source
        reason = "it has no function transform(frame)"
    raise SettingsError(
        f"reading the settings: {settings.origin(key)}: {'.'.join(key)} = {json.dumps(str(spec.script))}: {reason}",
        hint=f"ls -l {spec.script}",
    )


def _pipeline(settings: Settings, place: Place, name: str, spec: Transformation) -> Iterator[Declared]:
    group, _ = _group(settings, name, spec)
    pipeline = Pipeline(
        name=place.name("transform", name),
        definition=_definition(settings, place, name, spec),
        role=Ref(f"{FEATURE_STORE}.role.pipelines", "arn"),
        description=f"Raw files into feature group {group}",
    )
    yield _declared("pipeline", f"transformation_{name}", pipeline)
    if spec.schedule:
        target = {
            "Arn": Ref(f"{FEATURE_STORE}.pipeline.transformation_{name}", "arn"),
            "RoleArn": Ref(f"{FEATURE_STORE}.role.schedules", "arn"),
        }
        rule = EventRule(
            name=place.name("transform", name, limit=64),
            schedule=spec.schedule,
            targets={"pipeline": target},
            description=f"Starts pipeline {pipeline.name}",
        )
        yield _declared("event_rule", f"transformation_{name}", rule)


def _definition(settings: Settings, place: Place, name: str, spec: Transformation) -> dict[str, Any]:
    """Pipelines' JSON schema, version 2020-12-01: one processing step."""
    code = Ref(f"{FEATURE_STORE}.bucket_object.transformation_{name}", "uri")
    source = {"S3Uri": code, "LocalPath": CODE, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    arguments: dict[str, Any] = {
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": spec.instance_type,
                "InstanceCount": 1,
                "VolumeSizeInGB": spec.volume_gb,
            }
        },
        "AppSpecification": {
            "ImageUri": image_uri(spec.image, place.region, "processing", spec.instance_type),
            "ContainerEntrypoint": ["python3", f"{CODE}/{name}.py"],
            "ContainerArguments": [
                *("--run", {"Get": "Execution.PipelineExecutionId"}),
                *("--files", {"Get": "Parameters.Files"}),
            ],
        },
        "RoleArn": Ref(f"{FEATURE_STORE}.role.transformation_{name}", "arn"),
        "ProcessingInputs": [{"InputName": "code", "AppManaged": False, "S3Input": source}],
        "StoppingCondition": {"MaxRuntimeInSeconds": 60 * spec.max_runtime_minutes},
    }
    if settings.training.in_vpc:
        arguments["NetworkConfig"] = {"VpcConfig": _vpc(settings)}
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [{"Name": "Files", "Type": "String", "DefaultValue": "new", "EnumValues": ["new", "all"]}],
        "Steps": [{"Name": "transform", "Type": "Processing", "Arguments": arguments}],
    }


def _vpc(settings: Settings) -> dict[str, Any]:
    return {
        "SecurityGroupIds": [Ref(permissions.SECURITY_GROUP, "id")],
        "Subnets": [Ref(subnet, "id") for subnet in permissions.subnets(settings)],
    }


def _glue(place: Place, name: str, spec: Transformation) -> Iterator[Declared]:
    job = GlueJob(
        name=place.name("transform", name, limit=255),
        role=Ref(f"{FEATURE_STORE}.role.transformation_{name}", "arn"),
        script=Ref(f"{FEATURE_STORE}.bucket_object.transformation_{name}", "uri"),
        arguments={"library-set": "analytics"},
        timeout_minutes=spec.max_runtime_minutes,
        description=f"Raw files into feature group {spec.feature_group or name}",
    )
    yield _declared("glue_job", f"transformation_{name}", job)
    if spec.schedule:
        trigger = GlueTrigger(
            name=place.name("transform", name, limit=255),
            schedule=spec.schedule,
            job=Ref(f"{FEATURE_STORE}.glue_job.transformation_{name}", "name"),
            description=f"Starts Glue job {job.name}",
        )
        yield _declared("glue_trigger", f"transformation_{name}", trigger)


def _role(settings: Settings, place: Place, name: str, spec: Transformation) -> Role:
    """What the job may do: read its raw files and code, write its records, keep what it keeps."""
    arn = Ref(group_address(*_group(settings, name, spec)), "arn")
    code = Ref(CODE_BUCKET, "arn", f"{{}}/{OWN}transformations/{name}.py")
    policies = {
        "data": document(
            permissions.find_in("raw", "processed", "experiments"),
            permissions.read(*bucket("raw", spec.source), *bucket("processed", kept(name)), code),
            permissions.write(*bucket("processed", kept(name))),
            *permissions.encryption(),
        ),
        "records": document(
            allow("WriteRecords", ["sagemaker:PutRecord"], [arn]),
            allow(
                "PublishMetrics",
                ["cloudwatch:PutMetricData"],
                ["*"],
                StringEquals={"cloudwatch:namespace": METRICS},
            ),
        ),
        "containers": document(*_container(place, spec)),
    }
    if spec.engine == "processing" and settings.training.in_vpc:
        policies["network"] = document(*permissions.network(settings, place))
    if spec.engine == "processing":
        trust = permissions.assumed_by_sagemaker(settings, place)
    else:
        trust = permissions.assumed_by("glue.amazonaws.com")
    return Role(
        name=place.name("transform", name, place.region, limit=64),
        trust=trust,
        policies=policies,
        description=f"Transformation {name}: raw files into a feature group",
    )


def _container(place: Place, spec: Transformation) -> list[Statement]:
    if spec.engine == "glue":
        return [permissions.logs(place, *GLUE_LOGS)]
    own = [spec.image] if "/" in spec.image else []
    logs = permissions.logs(place, "/aws/sagemaker/ProcessingJobs")
    return [*permissions.images(place, own), logs, permissions.metrics()]


def _pipeline_role(settings: Settings, place: Place, names: list[str]) -> Role:
    """What starts the jobs: pipelines name them `pipelines-<execution>-<step>-<random>`."""
    jobs = place.arn("sagemaker", "processing-job/pipelines-*")
    actions = ["AddTags", "CreateProcessingJob", "DescribeProcessingJob", "ListTags", "StopProcessingJob"]
    roles = [Ref(f"{FEATURE_STORE}.role.transformation_{name}", "arn") for name in names]
    passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    return Role(
        name=place.name("pipelines", place.region, limit=64),
        trust=permissions.assumed_by_sagemaker(settings, place),
        policies={
            "jobs": document(
                allow("RunJobs", [f"sagemaker:{action}" for action in actions], [jobs]),
                allow("PassRoles", ["iam:PassRole"], roles, StringEquals=passed),
            )
        },
        description="Pipelines: start the jobs of their steps",
    )


def _schedule_role(place: Place, names: list[str]) -> Role:
    pipelines = [Ref(f"{FEATURE_STORE}.pipeline.transformation_{name}", "arn") for name in names]
    start = allow("StartPipelines", ["sagemaker:StartPipelineExecution"], pipelines)
    return Role(
        name=place.name("schedules", place.region, limit=64),
        trust=permissions.assumed_by("events.amazonaws.com"),
        policies={"pipelines": document(start)},
        description="Schedules: start pipelines",
    )


def _crawler(settings: Settings, place: Place) -> Iterator[Declared]:
    """Tables of what is in the raw bucket, beside those of the offline store."""
    yield _declared("role", "crawler", _crawler_role(place))
    crawler = GlueCrawler(
        name=place.name("raw", limit=255),
        role=Ref(f"{FEATURE_STORE}.role.crawler", "name"),
        database=Ref(DATABASE, "name"),
        folders=[Ref(f"{DATA}.bucket.raw", "uri", "{}/")],
        table_prefix=RAW,
        table_level=2,  # a table for each folder of the bucket, however many there are
        schedule=settings.crawler.schedule or "",
        description="Tables of the files in the raw bucket",
    )
    yield _declared("glue_crawler", "raw", crawler)


def _crawler_role(place: Place) -> Role:
    tables = ["CreateTable", "GetTable", "GetTables", "UpdateTable"]
    partitions = [
        "BatchCreatePartition", "BatchGetPartition", "BatchUpdatePartition", "CreatePartition", "GetPartition",
        "GetPartitions", "UpdatePartition",
    ]  # fmt: skip
    catalog: list[str | Ref] = [
        place.arn("glue", "catalog"),
        Ref(DATABASE, "arn"),
        Ref(DATABASE, "name", place.arn("glue", f"table/{{}}/{RAW}*")),
    ]
    return Role(
        name=place.name("crawler", place.region, limit=64),
        trust=permissions.assumed_by("glue.amazonaws.com"),
        policies={
            "raw": document(
                permissions.find_in("raw"),
                permissions.read(*bucket("raw")),
                allow("UseKey", ["kms:Decrypt"], [permissions.KEY]),
            ),
            "catalog": document(
                allow("KeepTables", [f"glue:{each}" for each in ("GetDatabase", *tables, *partitions)], catalog),
                permissions.logs(place, "/aws-glue/crawlers"),
            ),
        },
        description="Crawler: keeps tables of the raw files",
    )
