"""The log groups of SageMaker's jobs: the account's, managed by one of its namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.templates.platform import platform

from mlplat.errors import MlplatError
from mlplat.reconciler.apply import apply
from mlplat.reconciler.plan import Action, Plan, plan, plan_destroy
from mlplat.reconciler.state import Store
from mlplat.resources import LogGroup
from mlplat.resources.base import Declared
from mlplat.resources.search import disown, owned
from mlplat.settings import Settings
from mlplat.templates import Place
from mlplat.templates.data import ml_data_infrastructure

KEY = "ml_data_infrastructure.kms_key.platform"
GROUPS = {
    "ml_data_infrastructure.log_group.training": "/aws/sagemaker/TrainingJobs",
    "ml_data_infrastructure.log_group.processing": "/aws/sagemaker/ProcessingJobs",
}
REGION = "eu-west-2"
"""Where no other test runs a job."""


def test_they_are_declared_like_any_other_group() -> None:
    declared = platform(logs={"account_wide": True, "retention_days": 7})
    other = declared["ml_data_infrastructure.log_group.inference_churn"].resource
    assert isinstance(other, LogGroup)
    for address, name in GROUPS.items():
        group = declared[address].resource
        assert group == LogGroup(name=name, retention_days=7, kms_key=other.kms_key)


def test_a_namespace_that_leaves_them_to_another_declares_all_else_alike() -> None:
    with_them, without = (platform(logs={"account_wide": each}) for each in (True, False))
    assert with_them == platform(), "a namespace that is alone manages them"
    assert without == {address: each for address, each in with_them.items() if address not in GROUPS}
    assert set().union(*(each.needs() for each in without.values())) <= without.keys()


class Namespace:
    """The key and the job groups of one namespace, planned and applied by the reconciler."""

    def __init__(self, cloud: Any, folder: Path, name: str) -> None:
        self.session, self.store = cloud.session(name, REGION), Store(folder, name)

    def plan(self, adopt: tuple[str, ...] = (), **logs: Any) -> Plan:
        session = self.session
        place = Place(session.namespace, session.account, REGION, session.partition, (f"{REGION}a", f"{REGION}b"))
        settings = Settings(namespace=session.namespace, region=REGION, logs=logs)
        declared = [each for each in ml_data_infrastructure(settings, place, {}) if ours(each)]
        return plan(session, self.store.load(), declared, adopt=adopt)

    def apply(self, adopt: tuple[str, ...] = (), **logs: Any) -> None:
        apply(self.plan(adopt, **logs), self.session, self.store)

    def forget(self, *addresses: str) -> None:
        """As `mlplat state forget` does it."""
        disown(self.session, [each.arn for each in owned(self.session) if each.address in addresses])
        with self.store.edit() as state:
            for address in addresses:
                del state.entries[address]

    def destroy(self) -> None:
        made = plan_destroy(self.session, self.store.load(), scope=None, reverse=True)
        apply(made, self.session, self.store)


def ours(each: Declared) -> bool:
    return each.address == KEY or each.address in GROUPS


def owners(cloud: Any) -> dict[str, str | None]:
    """Log group -> the namespace that manages it."""
    logs = cloud.client("logs", REGION)
    found = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")["logGroups"]
    arns = {each["logGroupName"]: each["arn"].removesuffix(":*") for each in found}
    tags = {name: logs.list_tags_for_resource(resourceArn=arn)["tags"] for name, arn in arns.items()}
    return {name: each.get("mlplat:namespace") for name, each in tags.items()}


@pytest.mark.e2e
def test_one_namespace_manages_them_until_it_hands_them_over(cloud: Any, tmp_path: Path) -> None:
    cloud.client("logs", REGION).create_log_group(logGroupName=GROUPS["ml_data_infrastructure.log_group.training"])
    first, second = (Namespace(cloud, tmp_path, name) for name in ("first", "second"))
    first.apply()
    assert owners(cloud) == dict.fromkeys(GROUPS.values(), "first"), "what SageMaker made is taken over"

    with pytest.raises(MlplatError, match="of namespace first; it is left alone"):
        second.plan()
    with pytest.raises(MlplatError, match="of namespace first; it is left alone"):
        second.plan(adopt=tuple(GROUPS))
    second.apply(account_wide=False)
    second.destroy()
    assert owners(cloud) == dict.fromkeys(GROUPS.values(), "first"), "another namespace comes and goes"

    first.forget(*GROUPS)
    second.apply()
    assert owners(cloud) == dict.fromkeys(GROUPS.values(), "second")
    with pytest.raises(MlplatError, match="of namespace second"):
        first.plan()
    first.apply(account_wide=False)
    assert first.plan(account_wide=False).is_empty
    first.destroy()
    assert owners(cloud) == dict.fromkeys(GROUPS.values(), "second")
    assert {step.action for step in second.plan().steps} == {Action.KEEP}
    second.destroy()
    assert owners(cloud) == {}
