"""A platform on the in-process cloud: all four templates with a release deployed, before and after an edit."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.faults.census import Census, census
from tests.faults.cloud import InProcessCloud
from tests.faults.layer import STATE, Call, Fault, FaultySession, Wire, no_fault, session_on

from mlplat.reconciler.apply import Outcome, apply
from mlplat.reconciler.interrupts import stoppable
from mlplat.reconciler.objects import Objects
from mlplat.reconciler.plan import Plan
from mlplat.reconciler.state import Store
from mlplat.settings import Settings
from mlplat.templates.release import Release, Variant
from mlplat.workflows.platform import Platform

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
PARALLELISM = 8
KEY = f"mlplat/{STATE}"

FEATURES = {"customer_id": "String", "event_time": "String", "minutes": "Fractional"}
SCRIPT = Path(__file__).parents[2] / "examples" / "churn" / "transform.py"
BEFORE: dict[str, Any] = {
    "network": {"nat": "none", "interface_endpoints": ["sagemaker.api"]},
    "workloads": {
        "churn": {
            "source": Path("/somewhere"),
            "image": "scikit-learn:1.2-1",
            "model_package_group": "churn",
            "channels": {"train": "s3://bucket/train.csv"},
        }
    },
    "endpoints": {"churn": {"workload": "churn"}},
    "monitoring": {"emails": ["a@example.com"], "feature_store": {"enabled": True}},
    "transformations": {
        "customer": {"script": SCRIPT, "source": "customers/", "schedule": "rate(1 day)"},
        "nightly": {
            "script": SCRIPT,
            "source": "nightly/",
            "feature_group": "customer",
            "engine": "glue",
            "schedule": "cron(0 3 * * ? *)",
        },
    },
}
AFTER: dict[str, Any] = {
    **BEFORE,
    "network": {**BEFORE["network"], "nat": "single", "flow_logs": False},
    "storage": {"raw_archive_days": 120, "temp_days": 3},
    "logs": {"retention_days": 90},
    "encryption": {"rotation": False},
    "monitoring": {"enabled": True, "emails": ["b@example.com"], "feature_store": {"enabled": True, "errors": 5}},
    "crawler": {"schedule": "cron(0 4 * * ? *)"},
    "transformations": {
        "customer": {"script": SCRIPT, "source": "clients/", "schedule": "rate(6 hours)"},
        "nightly": {**BEFORE["transformations"]["nightly"], "schedule": "cron(0 5 * * ? *)"},
    },
}


def settings(namespace: str, region: str, *, edited: bool = False) -> Settings:
    """Before and after somebody edited the configuration: lifecycle, retention, flow logs, NAT, alarms, a feature."""
    features = {**FEATURES, "churned": "String"} if edited else FEATURES
    group = {"record_identifier": "customer_id", "event_time": "event_time", "features": features}
    tables = AFTER if edited else BEFORE
    return Settings(namespace=namespace, region=region, target="aws", feature_groups={"customer": group}, **tables)


@dataclass
class World:
    """One namespace in one region, and the wire its sessions are on."""

    cloud: InProcessCloud
    folder: Path
    namespace: str
    region: str
    bucket: str = ""
    """Where its state is, when it isn't on the disk."""
    packages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.bucket:
            self.cloud.client("s3", self.region).create_bucket(Bucket=self.bucket)
        self.wire = Wire(self.cloud, self.folder / ".mlplat")
        self.session = self.process()
        self.packages = [register(self.cloud, self.region, "elsewhere") for _ in range(2)]
        self.empty: Census = self.look()

    def process(self, fault: Fault = no_fault) -> FaultySession:
        """The session of a new process."""
        like = getattr(self, "session", None)
        self.session = session_on(self.wire, self.namespace, self.region, like)
        self.wire.begin(fault, self.session)
        return self.session

    def alone(self) -> World:
        """Its state in a folder of its own, because a copy of the process shares the disk."""
        mine = Path(tempfile.mkdtemp(dir=self.folder)) / ".mlplat"  # pids come again
        shutil.copytree(self.wire.folder, mine)
        self.wire.folder = mine
        self.temporary.mkdir()
        tempfile.tempdir = str(self.temporary)
        return self

    def rival(self) -> World:
        """The same platform and state, in another process that has made no call yet."""
        other = copy.copy(self)
        other.wire = Wire(self.cloud, self.wire.folder)
        other.session = session_on(other.wire, self.namespace, self.region)
        other.wire.begin(no_fault, other.session)
        return other

    @property
    def changes(self) -> list[Call]:
        """The calls of its process that changed something; that a lock in S3 comes and goes is no change."""
        return [call for call in self.wire.mutations if call.address != f"{STATE}.lock"]

    def look(self) -> Census:
        """Every object of the region."""
        return census(self.cloud, self.region)

    @property
    def temporary(self) -> Path:
        """Its folder for temporary files."""
        return self.wire.folder.with_suffix(".tmp")

    @property
    def store(self) -> Store:
        """Its state, as a new process has it."""
        backend = Objects(self.session, self.bucket, KEY) if self.bucket else None
        return Store(self.wire.folder, self.namespace, backend=backend)

    def bury(self) -> None:
        """What a process that was killed leaves: its disk as it was, and a lock of somebody who is no more."""
        self.wire.bury()
        s3 = self.cloud.client("s3", self.region)
        for each in s3.list_objects_v2(Bucket=self.bucket).get("Contents", ()) if self.bucket else ():
            if each["Key"].endswith(".lock"):
                holder = json.loads(s3.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read())
                s3.put_object(Bucket=self.bucket, Key=each["Key"], Body=json.dumps({**holder, "started": "0"}))

    def platform(self, *, edited: bool = False) -> Platform:
        """As the commands have it."""
        return Platform(settings(self.namespace, self.region, edited=edited), self.session, self.store)

    def deploy(self, number: int) -> None:
        """What the state says each endpoint serves."""
        variants = {
            name: Variant(self.packages[number], number + 1, weight, "ml.m5.large", 1)
            for name, weight in (("primary", 0.75), ("challenger", 0.25))[: number + 1]
        }
        with self.store.edit("deploy") as state:
            state.releases["churn"] = Release(variants).to_json()

    def warm(self) -> None:
        """Make all clients now, and what they read lists and errors with, so that copies of this process need not."""
        for service in (
            "ec2",
            "s3",
            "kms",
            "iam",
            "glue",
            "athena",
            "events",
            "logs",
            "sts",
            "sagemaker",
            "sagemaker-featurestore-runtime",
            "resourcegroupstaggingapi",
            "cloudwatch",
            "sns",
        ):
            boto = self.session.client(service).boto
            boto.can_paginate(next(iter(boto.meta.method_to_api_mapping)))
            boto.meta.service_model.shape_for_error_code("any")
        _ = self.session.account


@dataclass(frozen=True)
class Phase:
    """What is done to a world, and what is there when it is done."""

    name: str
    edited: bool = False
    destroys: bool = False

    def plan(self, world: World) -> Plan:
        """As the command makes it."""
        platform = world.platform(edited=self.edited)
        return platform.plan_destroy(reverse=True, delete_data=["*"]) if self.destroys else platform.plan()

    def run(self, world: World) -> Outcome:
        """As the command does it, under the lock."""
        platform = world.platform(edited=self.edited)
        with stoppable(), platform.lock(self.name, recovers=not self.destroys):
            return apply(self.plan(world), world.session, platform.store, parallelism=PARALLELISM)

    def expected(self, world: World) -> set[str]:
        """The addresses that have exactly one object afterwards."""
        if self.destroys:
            return set()
        return {each.address for each in world.platform(edited=self.edited).declared()}


APPLY, UPDATE, DESTROY = Phase("apply"), Phase("update", edited=True), Phase("destroy", destroys=True)
IN_S3 = Phase("apply, state in S3")
PHASES = (APPLY, UPDATE, DESTROY)
REGIONS = {APPLY: "us-east-1", UPDATE: "us-west-2", DESTROY: "eu-west-1", IN_S3: "us-east-1"}


def register(cloud: InProcessCloud, region: str, group: str) -> str:
    """A model package version in a group that may not exist yet; its ARN."""
    sagemaker = cloud.client("sagemaker", region)
    there = sagemaker.list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]
    if not there:
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
        cloud.settle()
    containers = [{"Image": IMAGE, "ModelDataUrl": "s3://nowhere/model.tar.gz"}]
    made = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        ClientToken=uuid.uuid4().hex,
        InferenceSpecification={
            "Containers": containers,
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    return str(made["ModelPackageArn"])


@dataclass
class Worlds:
    """A world for each phase, in regions of their own, as it is just before the phase begins."""

    of: dict[str, World]
    before: dict[str, Census]
    calls: dict[str, list[Call]] = field(default_factory=dict)
    """What each phase calls when nothing goes wrong."""
    writes: dict[tuple[str, int], int] = field(default_factory=dict)
    """How often each phase writes to the disk, by the sort of failure (an errno)."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each phase takes when nothing goes wrong, on this machine as busy as it is."""

    def alone(self, phase: Phase) -> World:
        """The phase's world, in a copy of the process."""
        return self.of[phase.name].alone()

    @classmethod
    def made(cls, folder: Path, patch: pytest.MonkeyPatch) -> Worlds:
        """The whole platform stands in two of them; one of those holds data."""
        cloud = InProcessCloud(folder / "local", patch)
        _live(_world(cloud, folder, "rehearsal", "us-east-2"))
        of = {}
        for phase, region in REGIONS.items():
            bucket = "state-of-faults" if phase is IN_S3 else ""
            of[phase.name] = world = _world(cloud, folder, phase.name.split(",")[0] + bucket, region, bucket)
            if phase in (UPDATE, DESTROY):
                APPLY.run(world)
            if phase is UPDATE:
                world.deploy(1)
            if phase is DESTROY:
                fill(world)
        cloud.settle()
        return cls(of, {name: world.look() for name, world in of.items()})


def _world(cloud: InProcessCloud, folder: Path, name: str, region: str, bucket: str = "") -> World:
    (folder / name / ".mlplat").mkdir(parents=True)
    world = World(cloud, folder / name, f"faults-{name}"[:20], region, bucket)
    world.warm()
    world.deploy(0)
    return world


def _live(world: World) -> None:
    """A whole life, once: what boto3 and moto make at the first call of a kind, each copy of this process has then."""
    APPLY.run(world)
    world.deploy(1)
    for phase in (UPDATE, DESTROY):
        world.process()
        phase.run(world)


def fill(world: World) -> None:
    """Data in a bucket and a version in the registry."""
    s3 = world.cloud.client("s3", world.region)
    bucket = next(each["Name"] for each in s3.list_buckets()["Buckets"] if f"{world.namespace}-raw" in each["Name"])
    for key in ("a.csv", "b.csv"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1,2")
    register(world.cloud, world.region, f"mlplat-{world.namespace}-churn")
