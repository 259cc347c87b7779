"""Every field that mlplat manages, changed behind its back on the local cloud: seen as that, and repaired.

The cases are made of KINDS and of the samples of the kinds' contracts: a new kind or field is covered, or fails here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.resources.contract import DyingSession, KindContract, Life, World
from tests.resources.sns.test_topic import confirm

import mlplat.resources
from mlplat.aws import tag_list
from mlplat.errors import MlplatError
from mlplat.reconciler.apply import apply
from mlplat.reconciler.drift import Finding, Verdict, drift
from mlplat.reconciler.plan import Action, Plan, plan
from mlplat.reconciler.state import Store
from mlplat.reconciler.steps import Cause
from mlplat.resources import KmsKey, Topic
from mlplat.resources.base import KINDS, Declared, Resource

HERE = Path(__file__).parent


def without_alias(world: World, resource: Resource, id: str) -> None:
    assert isinstance(resource, KmsKey)
    world.client("kms").delete_alias(AliasName=resource.alias)


def unsubscribed(world: World, resource: Resource, id: str) -> None:
    assert isinstance(resource, Topic)
    world.client("sns").unsubscribe(SubscriptionArn=confirm(world, resource, resource.emails[0]))


BY_OTHER_MEANS: dict[tuple[str, str], Callable[[World, Resource, str], None]] = {
    ("topic", "emails"): unsubscribed,  # an address that was never confirmed can't be taken off
    ("kms_key", "name"): without_alias,  # a key has a second alias beside the first; it loses its name with that
}
SEEN_AS: dict[tuple[str, str], str] = {("feature_group", "features"): "schema"}
NOT_OURS_WITHOUT_TAGS = {"default_security_group"}
"""AWS makes it with every VPC: only the tags tell that it was taken over."""
BEYOND_REPAIR = {("feature_group", "features"): "it may hold data"}
"""What AWS can't take back, and the words with which apply refuses to lose data for it."""


@cache
def contracts() -> dict[str, list[KindContract]]:
    """Kind -> its contracts, by what their `desired` says it returns."""
    found: dict[str, list[KindContract]] = {}
    for path in sorted(HERE.glob("*/test_*.py")):
        module = importlib.import_module(".".join(("tests", "resources", path.parent.name, path.stem)))
        for each in vars(module).values():
            if inspect.isclass(each) and issubclass(each, KindContract) and each is not KindContract:
                kind = getattr(mlplat.resources, inspect.get_annotations(each.desired)["return"])
                found.setdefault(kind.kind, []).append(each())
    return found


def managed() -> Iterator[tuple[str, str]]:
    """Every field that is compared and can be changed in place."""
    for name, kind in sorted(KINDS.items()):
        for each in fields(kind):
            if each.name not in kind.immutable | kind.create_only:
                yield name, each.name


def sample(kind: str, field: str, world: World) -> tuple[Resource, Any]:
    """A resource that declares the field, and another value for it."""
    for contract in contracts().get(kind, ()):
        values = {"name": f"other-{world.suffix}", **contract.changes(world)}
        resource = contract.desired(world)
        if field in values and field in resource.desired():
            return resource, values[field]
    raise AssertionError(f"no contract of {kind} declares {field} and has another value for it in its `changes`")


@dataclass
class Platform:
    """One address under management, with a state of its own."""

    world: World
    resource: Resource
    store: Store

    @property
    def declared(self) -> list[Declared]:
        return [Declared(self.world.address, self.resource)]

    def plan(self) -> Plan:
        return plan(self.world.session, self.store.load(), self.declared)

    def apply(self) -> str:
        apply(self.plan(), self.world.session, self.store)
        return str(self.store.load().entries[self.world.address].id)

    def finding(self) -> Finding:
        (found,) = drift(self.world.session, self.store.load())
        return found


def made(world: World, resource: Resource, folder: Path) -> Platform:
    platform = Platform(world, resource, Store(folder / ".mlplat", "test"))
    platform.apply()
    assert platform.finding().verdict is Verdict.CLEAN
    return platform


def change_by_hand(platform: Platform, field: str, value: Any) -> None:
    """Somebody else's calls: the state knows nothing of them."""
    world, resource = platform.world, platform.resource
    seen = resource.describe(world.aws)
    assert seen is not None
    by_other_means = BY_OTHER_MEANS.get((resource.kind, field))
    if by_other_means is not None:
        by_other_means(world, resource, seen.id)
    else:
        replace(resource, **{field: value}).update(world.aws, seen, frozenset({field}))


def arns_of(world: World, kind: str, id: str) -> list[str]:
    """The one ARN of the test's object. A test's address has no kind in it, so the object is found by its tags."""
    mine = [{"Key": "mlplat:address", "Values": [world.address]}]
    found = world.client("resourcegroupstaggingapi").get_resources(TagFilters=mine)["ResourceTagMappingList"]
    arns = [each["ResourceARN"] for each in found]
    if kind == "role":
        arns = [world.client("iam").get_role(RoleName=id)["Role"]["Arn"]]
    assert len(arns) == 1, arns
    return arns


def take_tags_off(world: World, kind: str, id: str) -> None:
    """As the console does it."""
    if kind == "bucket_object":  # which the tagging API leaves out
        bucket, _, key = id.partition("/")
        world.client("s3").delete_object_tagging(Bucket=bucket, Key=key)
        return
    tagging, arns = world.client("resourcegroupstaggingapi"), arns_of(world, kind, id)
    assert not tagging.untag_resources(ResourceARNList=arns, TagKeys=list(world.aws.tags)).get("FailedResourcesMap")


@pytest.mark.parametrize(("kind", "field"), list(managed()))
def test_a_field_changed_behind_our_back_is_seen_and_repaired(
    kind: str, field: str, world: World, tmp_path: Path
) -> None:
    resource, value = sample(kind, field, world)
    platform = made(world, resource, tmp_path)
    change_by_hand(platform, field, value)
    finding = platform.finding()
    assert (finding.verdict, [change.field for change in finding.changes]) == (
        Verdict.DRIFTED,
        [SEEN_AS.get((kind, field), field)],
    )
    if (kind, field) in BEYOND_REPAIR:
        with pytest.raises(MlplatError, match=BEYOND_REPAIR[kind, field]):
            platform.plan()
        return
    (step,) = platform.plan().steps
    assert (step.action, dict(step.causes)) == (Action.UPDATE, {field: Cause.BY_HAND})
    id = platform.apply()
    assert platform.finding().verdict is Verdict.CLEAN
    assert platform.plan().is_empty
    resource.delete(world.aws, id)


def test_rules_put_into_a_default_group_are_seen_and_taken_out(world: World, tmp_path: Path) -> None:
    """Its rules are managed, though it has no field for them."""
    resource = contracts()["default_security_group"][0].desired(world)
    platform = made(world, resource, tmp_path)
    id = str(platform.store.load().entries[world.address].id)
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    world.client("ec2").authorize_security_group_ingress(GroupId=id, IpPermissions=[rule])
    assert [change.field for change in platform.finding().changes] == ["ingress"]
    (step,) = platform.plan().steps
    assert (step.action, dict(step.causes)) == (Action.UPDATE, {"ingress": Cause.BY_HAND})
    assert platform.apply() == id
    assert platform.finding().verdict is Verdict.CLEAN
    resource.delete(world.aws, id)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_tags_taken_off_behind_our_back_are_seen_and_put_back(kind: str, world: World, tmp_path: Path) -> None:
    resource = contracts()[kind][0].desired(world)
    platform = made(world, resource, tmp_path)
    id = str(platform.store.load().entries[world.address].id)
    seen = resource.describe(world.aws, id)
    assert seen is not None
    if seen.tags is not None:
        take_tags_off(world, kind, id)
        finding, (step,) = platform.finding(), platform.plan().steps
        assert (finding.verdict, step.drifted) == (Verdict.DRIFTED, True)
        if kind not in NOT_OURS_WITHOUT_TAGS:
            assert [change.field for change in finding.changes] == ["tags"]
            assert (step.action, dict(step.causes)) == (Action.UPDATE, {"tags": Cause.BY_HAND})
        assert platform.apply() == id
        assert platform.finding().verdict is Verdict.CLEAN
    resource.delete(world.aws, id)


def put_tags_on(world: World, kind: str, id: str, **tags: str) -> None:
    """As somebody else does it, beside those that are there."""
    if kind == "bucket_object":
        bucket, _, key = id.partition("/")
        s3 = world.client("s3")
        there = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        whole = {each["Key"]: each["Value"] for each in there} | tags
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tag_list(whole)})
        return
    tagging, arns = world.client("resourcegroupstaggingapi"), arns_of(world, kind, id)
    assert not tagging.tag_resources(ResourceARNList=arns, Tags=tags).get("FailedResourcesMap")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_tag_taken_out_of_the_configuration_is_taken_off(kind: str, world: World, tmp_path: Path) -> None:
    """Nothing else is: neither what others put on, nor what they gave another value."""
    world = replace(world, session=replace(world.session, labels={"team": "a", "cost-center": "b", "stage": "c"}))
    resource = contracts()[kind][0].desired(world)
    platform = made(world, resource, tmp_path)
    id = str(platform.store.load().entries[world.address].id)
    seen = resource.describe(world.aws, id)
    assert seen is not None
    if seen.tags is not None:
        put_tags_on(world, kind, id, stage="theirs", owner="them")
        platform.world = world = replace(world, session=replace(world.session, labels={"team": "a"}))
        assert platform.finding().verdict is Verdict.DRIFTED, "the value of stage was changed by hand"
        (step,) = platform.plan().steps
        assert (step.action, dict(step.causes)) == (Action.UPDATE, {"tags": Cause.BOTH})
        assert platform.apply() == id
        after = resource.describe(world.aws, id)
        assert after is not None
        assert after.tags is not None
        own = {"team": "a", "stage": "theirs", "owner": "them"}
        assert (
            after.tags == {key: value for key, value in seen.tags.items() if key not in ("cost-center", "stage")} | own
        )
        assert platform.finding().verdict is Verdict.CLEAN
        assert platform.plan().is_empty
        life = Life(1000)
        platform.world = replace(world, session=DyingSession.of(world.session, life))
        assert (platform.apply(), life.left) == (id, 1000), "a second apply calls nothing that changes anything"
    resource.delete(world.aws, id)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_object_deleted_behind_our_back_is_seen_and_made_again(kind: str, world: World, tmp_path: Path) -> None:
    resource = contracts()[kind][0].desired(world)
    platform = made(world, resource, tmp_path)
    entry = platform.store.load().entries[world.address]
    resource.delete(world.aws, str(entry.id))
    assert (platform.finding().verdict, platform.finding().reason) == (Verdict.DRIFTED, f"{entry.id} is gone")
    (step,) = platform.plan().steps
    assert (step.action, step.gone) == (Action.CREATE, True)
    id = platform.apply()
    assert platform.finding().verdict is Verdict.CLEAN
    resource.delete(world.aws, id)
