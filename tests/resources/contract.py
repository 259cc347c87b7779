"""What every kind must do, proved once for all: a kind's own test is one small class.

    class TestBucket(KindContract):
        def desired(self, world): return Bucket(name=f"raw-{world.suffix}", versioning=True)
        def changes(self, world): return {"versioning": False}

`world` has a session bound to a test address and makes prerequisites (a VPC, a role, a key) when first asked for.
"""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tests.resources.veil import VeiledSession

import mlplat.resources
from mlplat.aws import Client, Session
from mlplat.reconciler import verbs
from mlplat.reconciler.observe import look_patiently
from mlplat.resources.base import KINDS, Observed, Resource

ASSUMED_BY_SAGEMAKER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@dataclass
class World:
    """One test's corner of the local cloud: its session, unique names, and what a kind may need to exist."""

    session: Session
    client: Callable[[str], Any]
    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @cached_property
    def address(self) -> str:
        """The address that the test's object stands at."""
        return f"test_template.thing.t{self.suffix}"

    @cached_property
    def aws(self) -> Session:
        """The session that the kind works with, bound to `address`."""
        return self.session.at(self.address)

    @cached_property
    def role(self) -> str:
        """The ARN of a role that SageMaker may assume."""
        answer = self.client("iam").create_role(
            RoleName=f"contract-{self.suffix}", AssumeRolePolicyDocument=json.dumps(ASSUMED_BY_SAGEMAKER)
        )
        return str(answer["Role"]["Arn"])

    @cached_property
    def key(self) -> str:
        """The ARN of a KMS key that CloudWatch Logs may use."""
        return self.new_key()

    def new_key(self) -> str:
        """The ARN of one more such key."""
        kms, logs = self.client("kms"), f"logs.{self.session.region}.amazonaws.com"
        root = f"arn:aws:iam::{self.session.account}:root"
        statements = [
            {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}
            for principal in ({"AWS": root}, {"Service": logs})
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        return str(kms.create_key(Policy=policy)["KeyMetadata"]["Arn"])

    @cached_property
    def bucket(self) -> str:
        """The name of a bucket."""
        self.client("s3").create_bucket(Bucket=f"contract-{self.suffix}")
        return f"contract-{self.suffix}"

    @cached_property
    def model_data(self) -> str:
        """The S3 address of a model.tar.gz."""
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("model.txt"), io.BytesIO())
        self.client("s3").put_object(Bucket=self.bucket, Key="model.tar.gz", Body=body.getvalue())
        return f"s3://{self.bucket}/model.tar.gz"

    @cached_property
    def zones(self) -> list[str]:
        """Two availability zones of the region."""
        answer = self.client("ec2").describe_availability_zones()
        return [each["ZoneName"] for each in answer["AvailabilityZones"]][:2]

    @cached_property
    def vpc(self) -> str:
        """The id of a VPC, 10.9.0.0/16, with DNS support and hostnames."""
        ec2 = self.client("ec2")
        vpc = str(ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        return vpc

    @cached_property
    def subnets(self) -> list[str]:
        """The ids of two subnets of `vpc` in two zones: 10.9.0.0/24 and 10.9.1.0/24."""
        return [
            str(
                self.client("ec2").create_subnet(VpcId=self.vpc, CidrBlock=f"10.9.{index}.0/24", AvailabilityZone=zone)[
                    "Subnet"
                ]["SubnetId"]
            )
            for index, zone in enumerate(self.zones)
        ]

    @cached_property
    def internet_gateway(self) -> str:
        """The id of an internet gateway attached to `vpc`."""
        ec2 = self.client("ec2")
        gateway = str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        return gateway

    @cached_property
    def security_group(self) -> str:
        """The id of a security group in `vpc`."""
        answer = self.client("ec2").create_security_group(
            GroupName=f"contract-{self.suffix}", Description="for a test", VpcId=self.vpc
        )
        return str(answer["GroupId"])

    @cached_property
    def route_table(self) -> str:
        """The id of a route table of `vpc`."""
        return str(self.client("ec2").create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"])

    @cached_property
    def log_group(self) -> str:
        """The ARN of a log group, without the trailing `:*`."""
        name = f"/contract/{self.suffix}"
        self.client("logs").create_log_group(logGroupName=name)
        return f"arn:aws:logs:{self.session.region}:{self.session.account}:log-group:{name}"


class KindContract:
    """The contract. Subclass it as `Test<Kind>`, say what is desired and what may change."""

    def desired(self, world: World) -> Resource:
        """The resource under test; its name holds `world.suffix`."""
        raise NotImplementedError

    def changes(self, world: World) -> dict[str, Any]:
        """Field -> another value. Immutable fields are only seen as changed; the others are updated."""
        return {}

    def test_it_is_registered_and_its_fields_survive_json(self, world: World) -> None:
        desired = self.desired(world)
        assert KINDS[desired.kind] is type(desired)
        assert getattr(mlplat.resources, type(desired).__name__) is type(desired)
        assert KINDS[desired.kind](**json.loads(json.dumps(desired.to_json()))).to_json() == json.loads(
            json.dumps(desired.to_json())
        )

    def test_absent_create_describe_update_delete_delete_again(self, world: World) -> None:
        desired, aws = self.desired(world), world.aws
        assert desired.describe(aws) is None
        id = desired.create(aws)
        seen = self.settled(desired, world, id)
        self.is_prefetched(seen, desired, world)
        for name, value in self.changes(world).items():
            desired = self.is_changed(desired, name, value, world, id)
        self.is_retagged(desired, world, id)
        desired.delete(aws, id)
        assert desired.describe(aws, id) is None
        assert desired.describe(aws) is None
        desired.delete(aws, id)
        assert desired.describe(aws) is None

    def test_describe_reports_every_field_that_is_compared(self, world: World) -> None:
        desired = self.desired(world)
        id = desired.create(world.aws)
        seen = desired.describe(world.aws, id)
        assert seen is not None
        assert set(desired.desired()) <= set(seen.fields)
        desired.delete(world.aws, id)

    def test_killed_after_any_call_it_converges_with_nothing_twice(self, world: World) -> None:
        for calls in range(1, 40):
            desired = self.desired(world)
            life = Life(calls)
            try:
                id: str | None = desired.create(DyingSession.of(world.aws, life))
            except Killed:
                id = None
            seen = desired.describe(world.aws)
            if seen is None:
                assert id is None
                id = desired.create(world.aws)
            else:
                id = seen.id
                self.is_recognised(desired, seen, world.aws)
                self.bring_in_line(desired, seen, world.aws)
            self.settled(desired, world, id)
            desired.delete(world.aws, id)
            assert desired.describe(world.aws) is None, f"a second one was made after a kill at call {calls}"
            if life.left > 0:
                return
        raise AssertionError("a create of 40 calls")

    def test_made_but_not_shown_at_once_it_is_made_once(self, world: World) -> None:
        desired, aws = self.desired(world), VeiledSession.of(world.aws)
        assert desired.describe(aws) is None
        made = verbs.create(aws, desired)
        assert aws.veil.hidden, "nothing asked for it"
        aws.veil.hidden.clear()
        assert look_patiently(aws, desired, made.id) == made
        aws.veil.hidden.clear()
        assert look_patiently(aws, desired) == made
        assert max(Counter(aws.veil.made).values()) == 1, aws.veil.made
        desired.delete(world.aws, made.id)
        assert desired.describe(world.aws) is None

    def settled(self, desired: Resource, world: World, id: str) -> Observed:
        """What is there, after checking that it is what is desired, ours, and found with and without its id."""
        seen = desired.describe(world.aws, id)
        assert seen is not None
        assert seen.id == id
        assert seen.failed is None
        assert desired.compare(seen) == []
        assert seen.tags is None or world.aws.tags.items() <= seen.tags.items()
        json.dumps([seen.fields, seen.outputs])
        assert desired.describe(world.aws) == seen
        return seen

    def is_prefetched(self, seen: Observed, desired: Resource, world: World) -> None:
        """Where the kind can observe in bulk, it sees the same."""
        other = f"{world.address}_absent"
        for ids in ({world.address: seen.id, other: None}, {world.address: None}):
            found = type(desired).prefetch(world.session, ids)
            if found is not None:
                assert found.get(world.address) == seen
                assert found.get(other) is None

    def is_changed(self, desired: Resource, name: str, value: Any, world: World, id: str) -> Resource:
        """The changed resource, once the change was seen and, where AWS can do it in place, made."""
        other = replace(desired, **{name: value})
        seen = desired.describe(world.aws, id)
        assert seen is not None
        if name in desired.create_only:
            assert other.compare(seen) == []
            return other
        assert {change.field for change in other.compare(seen)} == {name}
        if name in desired.immutable:
            return desired
        other.update(world.aws, seen, frozenset({name}))
        self.settled(other, world, id)
        return other

    def is_retagged(self, desired: Resource, world: World, id: str) -> None:
        """Ownership tags that differ are put right by an update of `tags`."""
        seen = desired.describe(world.aws, id)
        assert seen is not None
        if seen.tags is None:
            return
        elsewhere = world.session.at(f"{world.address}_moved")
        desired.update(elsewhere, seen, frozenset({"tags"}))
        moved = desired.describe(elsewhere, id)
        assert moved is not None
        assert moved.tags is not None
        assert elsewhere.tags.items() <= moved.tags.items()
        assert desired.compare(moved) == []
        desired.update(world.aws, moved, frozenset({"tags"}))

    def is_recognised(self, desired: Resource, seen: Observed, aws: Session) -> None:
        """What a dead process left is ours by its tags, which were set in the create call itself, or nobody's."""
        if seen.tags is not None and not (desired.adopts_untagged and not seen.tags):
            assert aws.tags.items() <= seen.tags.items(), "without our tags the next apply refuses to touch it"

    def bring_in_line(self, desired: Resource, seen: Observed, aws: Session) -> None:
        """What the reconciler does with an object that an earlier run left half made."""
        changed = {change.field for change in desired.compare(seen)}
        if seen.tags is not None and not aws.tags.items() <= seen.tags.items():
            changed.add("tags")
        if changed:
            desired.update(aws, seen, frozenset(changed))


class Killed(BaseException):
    """The process ends here; no handler of a kind may catch it."""


@dataclass
class Life:
    """How many calls that change something a process makes before it dies, right after the last one."""

    left: int

    def spend(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@dataclass(frozen=True)
class DyingSession(Session):
    """A session of a process that is killed after its n-th call that changes something was answered."""

    life: Life = field(default_factory=lambda: Life(0))

    @classmethod
    def of(cls, session: Session, life: Life) -> DyingSession:
        return cls(**vars(session), life=life)

    def client(self, service: str) -> Client:
        return _DyingClient(self, service, super().client(service).boto)


class _DyingClient(Client):
    def _call(self, operation: str, repeatable: bool, send: Callable[[], Any]) -> Any:
        answer = super()._call(operation, repeatable, send)
        if not repeatable:
            session = self._session
            assert isinstance(session, DyingSession)
            session.life.spend()
        return answer


def statement(**parts: Any) -> Mapping[str, Any]:
    """A policy document of one statement, allowing what is named."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **parts}]}
