"""A fake cloud, its kinds known to the state, a store in a folder of its own, and plan and apply in one word."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.conftest import RunningCloud
from tests.fakes import (
    FAKE_KINDS,
    FakeCloud,
    FakeModel,
    FakeNetwork,
    FakeSession,
    FakeTopic,
    FakeVault,
    session,
)
from tests.reconciler.places import BUCKET

from mlplat.errors import MlplatError
from mlplat.reconciler.apply import Outcome, apply
from mlplat.reconciler.backend import Backend
from mlplat.reconciler.files import Files
from mlplat.reconciler.moves import NOWHERE, Moves
from mlplat.reconciler.plan import Action, Plan, Step, plan, plan_destroy
from mlplat.reconciler.state import State, Store
from mlplat.resources.base import KINDS, Declared, Ref


@pytest.fixture(autouse=True)
def fake_kinds() -> Iterator[None]:
    KINDS.update(FAKE_KINDS)
    yield
    for name in FAKE_KINDS:
        KINDS.pop(name, None)


@pytest.fixture(scope="session")
def bucket(cloud: RunningCloud) -> str:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return BUCKET


@dataclass
class Recorder:
    """A watch that writes down what it is told."""

    told: list[tuple[str, str, str]] = field(default_factory=list)

    def started(self, step: Step) -> None:
        self.told.append(("started", step.address, ""))

    def reported(self, step: Step, status: str) -> None:
        self.told.append(("reported", step.address, status))

    def done(self, step: Step, seconds: float) -> None:
        self.told.append(("done", step.address, ""))

    def failed(self, step: Step, error: MlplatError) -> None:
        self.told.append(("failed", step.address, error.message))

    def skipped(self, step: Step, because: str) -> None:
        self.told.append(("skipped", step.address, because))

    def said(self, what: str) -> list[str]:
        return [address for kind, address, _ in self.told if kind == what]


@dataclass
class World:
    """One namespace on one fake cloud."""

    folder: Path
    cloud: FakeCloud = field(default_factory=FakeCloud)
    namespace: str = "test"
    parallelism: int = 4
    watch: Recorder = field(default_factory=Recorder)
    backend: Callable[[], Backend] | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def session(self) -> FakeSession:
        return replace(session(self.cloud, self.namespace), labels=self.labels)

    @property
    def store(self) -> Store:
        """A new one each time, as each process has its own."""
        return Store(self.folder, self.namespace, backend=self.backend() if self.backend else None)

    @property
    def files(self) -> Files:
        """Where its files are."""
        return files(self.store)

    @property
    def state(self) -> State:
        return self.store.load()

    def plan(
        self,
        declared: Sequence[Declared],
        *,
        scope: Collection[str] | None = None,
        adopt: Collection[str] = (),
        moves: Moves = NOWHERE,
    ) -> Plan:
        return plan(
            self.session, self.state, declared, scope=scope, adopt=adopt, moves=moves, parallelism=self.parallelism
        )

    def apply(
        self,
        declared: Sequence[Declared],
        *,
        scope: Collection[str] | None = None,
        adopt: Collection[str] = (),
        moves: Moves = NOWHERE,
    ) -> Outcome:
        made = self.plan(declared, scope=scope, adopt=adopt, moves=moves)
        return apply(made, self.session, self.store, parallelism=self.parallelism, watch=self.watch)

    def plan_destroy(
        self, scope: Collection[str] | None = None, *, reverse: bool = False, delete_data: Sequence[str] = ()
    ) -> Plan:
        return plan_destroy(self.session, self.state, scope=scope, reverse=reverse, delete_data=delete_data)

    def destroy(
        self, scope: Collection[str] | None = None, *, reverse: bool = False, delete_data: Sequence[str] = ()
    ) -> Outcome:
        made = self.plan_destroy(scope, reverse=reverse, delete_data=delete_data)
        return apply(made, self.session, self.store, parallelism=self.parallelism, watch=self.watch)

    def check(self, declared: Sequence[Declared], moves: Moves = NOWHERE) -> None:
        """Converged: the plan is empty, each address has exactly one object, nothing of ours is left over."""
        made = self.plan(declared, moves=moves)
        assert made.is_empty, [step.to_json() for step in made.pending]
        ours = {address: self.cloud.of(address) for address in (each.address for each in declared)}
        assert {a: len(things) for a, things in ours.items()} == dict.fromkeys(ours, 1)
        assert len(self.cloud.things) == len(ours)
        self.check_state(declared)

    def check_state(self, declared: Sequence[Declared]) -> None:
        """The state says what is there, and remembers no unfinished business."""
        entries = self.state.entries
        assert entries.keys() == {each.address for each in declared}
        for each in declared:
            entry, (thing,) = entries[each.address], self.cloud.of(each.address)
            assert (entry.id, entry.intent, entry.deposed, entry.former) == (thing.id, None, (), ())
            assert set(entry.needs) == each.needs()


def files(store: Store) -> Files:
    """Where the files of a store are that keeps them in its folder."""
    return Files(store.folder, store.namespace)


def actions(made: Plan) -> dict[str, Action]:
    return {step.address: step.action for step in made.steps}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / ".mlplat")


def platform(
    *, color: str = "red", shape: str = "round", model: str = "m1", host: bool = True, more: Sequence[Declared] = ()
) -> list[Declared]:
    """Two templates: a network, its part and a vault; a topic on them, a model, and an endpoint that serves it."""
    net, vault = Ref("a.fake_network.main", "id"), Ref("a.fake_vault.raw", "id")
    part = Ref("a.fake_network.part", "id")
    return [
        Declared("a.fake_network.main", FakeNetwork(name="net", shape=shape)),
        Declared("a.fake_network.part", FakeNetwork(name="part", host=net)),
        Declared("a.fake_vault.raw", FakeVault(name="raw", color=color)),
        Declared("b.fake_topic.job", FakeTopic(name="job", host=part if host else "", links=[vault])),
        Declared("b.fake_model.m", FakeModel(name=model, links=[vault])),
        Declared(
            "b.fake_topic.end", FakeTopic(name="end", links=[Ref("b.fake_model.m", "name")]), ["b.fake_topic.job"]
        ),
        *more,
    ]


EDITED = platform(color="blue", shape="square", model="m2", host=False)
"""After `platform()`: an update, a replace with a chain of replaces, a create-first replace, a moved ref."""
