"""The effective settings of one namespace: every table of config/default.toml, typed and checked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mlplat.settings.features import FeatureGroup
from mlplat.settings.limits import (
    DIGEST,
    NAME_LIMIT,
    TUNING_NAME_LIMIT,
    Name,
    NamespaceName,
    Region,
    RetentionDays,
    ServingInstanceType,
    TagKey,
    TagText,
    TrainingInstanceType,
)
from mlplat.settings.monitoring import Monitoring
from mlplat.settings.problems import KeyPath, Origin, Refusal, dotted, matching, nearest, refuse
from mlplat.settings.section import Section
from mlplat.settings.sources import sources_in_force
from mlplat.settings.transformations import Crawler, Transformation, misfits
from mlplat.settings.workloads import Endpoint, Workload

Days = Annotated[int, Field(ge=1, le=36500)]
Count = Annotated[int, Field(ge=1)]


def _cidr(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise refuse(Refusal(f"an IPv4 block like 10.1.0.0/16: {error}")) from error
    if not 16 <= network.prefixlen <= 28:
        raise refuse(Refusal("a VPC has between /16 and /28"))
    return value


_SERVICE = "an AWS service as its endpoint is named: sagemaker.api, logs, ecr.dkr"
EndpointService = Annotated[str, matching(r"[a-z0-9]+([.-][a-z0-9]+)*", _SERVICE)]


_PATTERN = "an address, in which * matches many: ml_data_infrastructure.bucket.*"
AddressPattern = Annotated[str, matching(r"[a-z0-9_*?-]+(\.[a-zA-Z0-9_*?-]+){0,2}", _PATTERN)]


_ADDRESS = "a whole address: ml_feature_store.feature_group.customer"
Address = Annotated[str, matching(r"[a-z0-9_]+\.[a-z0-9_]+\.[a-zA-Z0-9_-]+", _ADDRESS)]


class Approval(Section):
    """Whether a person is asked before something changes."""

    required: bool = True


class Apply(Section):
    """How fast, and for how long."""

    parallelism: Annotated[int, Field(ge=1, le=256)] = 16
    timeout_minutes: Count = 120


class Lifecycle(Section):
    """What must not end by the way."""

    protect: dict[AddressPattern, bool] = {}
    """Whether a plan may delete or replace what is at an address: the most specific pattern decides."""


_BUCKET = "a bucket's name: 3 to 63 lower-case letters, digits, - and ., with a letter or digit at both ends"
BucketName = Annotated[str, matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", _BUCKET)]
_OBJECT = "the key of an object: letters, digits and / ! - _ . * ' ( ), at most 1000, with no / at either end"
ObjectKey = Annotated[str, matching(r"(?!/)[A-Za-z0-9/!_.*'()-]{1,1000}(?<!/)", _OBJECT)]
_KMS_KEY = "the ARN of a KMS key, which is not an alias: arn:aws:kms:REGION:ACCOUNT:key/ID"
KmsKey = Annotated[str, matching(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+", _KMS_KEY)]


class State(Section):
    """Where mlplat keeps what it remembers of a namespace."""

    backend: Literal["local", "s3"] = "local"
    bucket: BucketName | None = None
    key: ObjectKey | None = None
    kms_key: KmsKey | None = None

    @model_validator(mode="after")
    def _has_a_bucket(self) -> Self:
        if self.backend == "s3" and self.bucket is None:
            raise refuse(Refusal('missing: backend = "s3" needs one (mlplat bootstrap makes it)', ("bucket",)))
        return self


class Moved(Section):
    """An address that was renamed: its object keeps its life under the new one."""

    from_: Address = Field(alias="from")
    to: Address


class Encryption(Section):
    """The platform's KMS key."""

    deletion_window_days: Annotated[int, Field(ge=7, le=30)] = 7
    rotation: bool = True


class Storage(Section):
    """The buckets: transport, and how long objects stay where."""

    force_tls: bool = True
    abort_uploads_days: Days = 7
    noncurrent_days: Days = 90
    raw_infrequent_days: Annotated[int, Field(ge=30, le=36500)] = 30
    raw_archive_days: Days = 90
    raw_expire_days: Days = 2555
    failed_experiments_days: Days = 30
    temp_days: Days = 7

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        """S3 wants 30 days in STANDARD_IA before GLACIER, and expiry after the last transition."""
        found = []
        if self.raw_archive_days < self.raw_infrequent_days + 30:
            reason = f"at least 30 days after raw_infrequent_days, which is {self.raw_infrequent_days}"
            found.append(Refusal(reason, ("raw_archive_days",)))
        if self.raw_expire_days <= self.raw_archive_days:
            reason = f"after raw_archive_days, which is {self.raw_archive_days}"
            found.append(Refusal(reason, ("raw_expire_days",)))
        if found:
            raise refuse(*found)
        return self


class Network(Section):
    """The VPC. `zones` availability zones, each with a public and a private subnet."""

    cidr: Annotated[str, AfterValidator(_cidr)] = "10.1.0.0/16"
    zones: Annotated[int, Field(ge=2, le=6)] = 2
    nat: Literal["none", "single", "per_zone"] = "none"
    interface_endpoints: list[EndpointService] = []
    flow_logs: bool = True

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        """A subnet has at least 16 addresses, of which AWS keeps 5."""
        subnets = 1 << (2 * self.zones - 1).bit_length()
        smallest = 28 - subnets.bit_length() + 1
        if ipaddress.IPv4Network(self.cidr).prefixlen > smallest:
            reason = f"too small for {2 * self.zones} subnets in {self.zones} zones: /{smallest} or bigger"
            raise refuse(Refusal(reason, ("cidr",)))
        twice = {each for each in self.interface_endpoints if self.interface_endpoints.count(each) > 1}
        if twice:
            raise refuse(Refusal(f"named twice: {', '.join(sorted(twice))}", ("interface_endpoints",)))
        return self


class Logs(Section):
    """The log groups."""

    retention_days: RetentionDays = 30
    account_wide: bool = True
    """Whether this namespace manages the log groups of SageMaker's jobs, which are the whole account's."""


class Access(Section):
    """The roles."""

    source_account_condition: bool = False


Account = Annotated[str, matching(r"\d{12}", "an AWS account: twelve digits, in quotes")]


class Registry(Section):
    """The groups of model versions."""

    readers: list[Account] = []
    """Other accounts that see all of them."""


class Training(Section):
    """Where jobs run, unless their workload says otherwise."""

    instance_type: TrainingInstanceType = "ml.m5.large"
    instance_count: Count = 1
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    max_runtime_minutes: Annotated[int, Field(ge=1, le=28 * 24 * 60)] = 60
    in_vpc: bool = False


class Serving(Section):
    """Where models are served, unless their endpoint says otherwise."""

    instance_type: ServingInstanceType = "ml.m5.large"
    instance_count: Count = 1
    in_vpc: bool = False


class Local(Section):
    """The local cloud."""

    transition_delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.5
    eventual_consistency_reads: Annotated[int, Field(ge=0, le=100)] = 0
    enforce_iam: bool = False


class Settings(BaseSettings):
    """The effective settings of one namespace."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, strict=True)

    namespace: NamespaceName = "development"
    target: Literal["aws", "local"] = "aws"
    region: Region = "us-east-1"
    profile: Annotated[str, StringConstraints(min_length=1)] | None = None
    tags: Annotated[dict[TagKey, TagText], Field(max_length=6)] = {}
    """On everything that is made. S3 takes ten tags of an object, and four say whose it is."""
    approval: Approval = Approval()
    apply: Apply = Apply()
    lifecycle: Lifecycle = Lifecycle()
    state: State = State()
    encryption: Encryption = Encryption()
    storage: Storage = Storage()
    network: Network = Network()
    logs: Logs = Logs()
    access: Access = Access()
    registry: Registry = Registry()
    training: Training = Training()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()
    local: Local = Local()
    crawler: Crawler = Crawler()
    feature_groups: dict[Name, FeatureGroup] = {}
    transformations: dict[Name, Transformation] = {}
    workloads: dict[Name, Workload] = {}
    endpoints: dict[Name, Endpoint] = {}
    moved: list[Moved] = []

    _origins: dict[KeyPath, Origin] = PrivateAttr(default_factory=dict)
    _directory: Path = PrivateAttr(default_factory=Path)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given by name, then the layers that `load` has read: flags, environment, namespace, default.toml.

        pydantic-settings' own source of the environment would pass over variables that name no key, and can't know
        how the tables in the files are spelled.
        """
        return (init_settings, *sources_in_force(settings_cls))

    @property
    def directory(self) -> Path:
        """The folder that default.toml was read from."""
        return self._directory

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each effective value came from, by dotted key."""
        return {dotted(key): self.origin(key) for key, _ in self.leaves()}

    def origin(self, key: KeyPath) -> Origin:
        """Where one value came from."""
        return self._origins.get(key, Origin("default"))

    def came_from(self, origins: Mapping[KeyPath, Origin], directory: Path) -> None:
        """Remember where the values came from; `load` says it once."""
        self._origins.update(origins)
        self._directory = directory

    def leaves(self) -> Iterator[tuple[KeyPath, Any]]:
        """Every effective value with its key, in the order of config/default.toml."""
        return _leaves((), self.model_dump(exclude_none=True, by_alias=True))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = [*self._unknown_workloads(), *self._long_names(), *self._same_names(), *self._impossible_moves()]
        found += misfits(self.transformations, self.feature_groups)
        if found:
            raise refuse(*found)
        return self

    def _unknown_workloads(self) -> Iterator[Refusal]:
        for name, endpoint in self.endpoints.items():
            if endpoint.workload not in self.workloads:
                known = ", ".join(self.workloads) or "none"
                guess = nearest(endpoint.workload, self.workloads)
                yield Refusal(f"not a workload; there is {known}", ("endpoints", name, "workload"), guess)

    def _long_names(self) -> Iterator[Refusal]:
        """Templates would shorten these names by a hash; a person should choose what they read in the console."""
        bucket = f"mlplat-{self.namespace}-experiments-{'0' * 12}-{self.region}"
        if len(bucket) > NAME_LIMIT:
            most = len(self.namespace) - len(bucket) + NAME_LIMIT
            yield Refusal(
                f"too long for the names of buckets in {self.region}: at most {most} characters", ("namespace",)
            )
        room = NAME_LIMIT - len(f"mlplat-{self.namespace}-")
        for table in ("feature_groups", "transformations", "workloads", "endpoints"):
            for name in getattr(self, table):
                if len(name) > room - DIGEST:
                    yield Refusal(
                        f"too long for AWS's names in {self.namespace}: at most {room - DIGEST} characters",
                        (table, name),
                    )
        for name, workload in self.workloads.items():
            if workload.tuning and len(name) > TUNING_NAME_LIMIT - DIGEST:
                most = TUNING_NAME_LIMIT - DIGEST
                yield Refusal(f"too long for the names of tuning jobs: at most {most} characters", ("workloads", name))

    def _same_names(self) -> Iterator[Refusal]:
        """AWS's names have `-` for `_`, and endpoint names ignore case: two keys must not become one name."""
        for table in ("feature_groups", "transformations", "workloads", "endpoints"):
            seen: dict[str, str] = {}
            for name in getattr(self, table):
                other = seen.setdefault(name.replace("_", "-").casefold(), name)
                if other != name:
                    yield Refusal(f"the same name on AWS as {other}", (table, name))
        for name in self.feature_groups:
            if (other := re.sub(r"[-_][vV]\d+$", "", name)) != name and other in self.feature_groups:
                yield Refusal(f"a version of {other} would be called so", ("feature_groups", name))

    def _impossible_moves(self) -> Iterator[Refusal]:
        """Each address moves once, to a place of its own and of its kind, and not in a circle."""
        pairs = {each.from_: each.to for each in self.moved}
        for index, each in enumerate(self.moved):
            key, earlier = ("moved", str(index)), self.moved[:index]
            if each.from_.split(".")[1] != each.to.split(".")[1]:
                yield Refusal(f"{each.from_} and {each.to} are of different kinds", (*key, "to"))
            if any(each.from_ == other.from_ for other in earlier):
                yield Refusal(f"{each.from_} moves twice", (*key, "from"))
            elif any(each.to == other.to for other in earlier):
                yield Refusal(f"something else moves to {each.to} already", (*key, "to"))
            elif (circle := _circle(pairs, each.from_)) and min(circle) == each.from_:
                yield Refusal(f"it moves in a circle: {' -> '.join([*circle, circle[0]])}", (*key, "to"))


def _circle(pairs: Mapping[str, str], start: str) -> list[str]:
    """The addresses from `start` back to it, none when there is no way back."""
    found = [start]
    while (after := pairs.get(found[-1])) is not None and after not in found:
        found.append(after)
    return found if after == start else []


def _leaves(key: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves((*key, name), each)
    else:
        yield key, value
