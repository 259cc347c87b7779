"""A state moved between a folder and a bucket, both ways: nothing lost, nothing overwritten, done once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import RunningCloud
from tests.reconciler.places import Local, Remote

from mlplat.errors import LockHeld, MlplatError, UsageError
from mlplat.reconciler import migration
from mlplat.reconciler.migration import Migration
from mlplat.reconciler.state import Entry, State, Store

Pair = tuple[Local, Local]


@pytest.fixture(params=["to s3", "to local"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, cloud: RunningCloud, bucket: str) -> Pair:
    local = Local(tmp_path / ".mlplat")
    remote = Remote(tmp_path / ".mlplat", cloud=cloud, session=cloud.session())
    return (local, remote) if request.param == "to s3" else (remote, local)


def move(pair: Pair) -> Migration | None:
    source, target = (place.store() for place in pair)
    with source.lock("state migrate"), target.lock("state migrate"):
        what = migration.look(source, target)
        return what and migration.move(source, target, what)


def edit(place: Local, name: str) -> State:
    with place.store().edit() as state:
        state.entries[name] = Entry("fake_topic", name)
    return state


def refused(pair: Pair) -> MlplatError:
    before = [place.read("state") for place in pair]
    with pytest.raises(MlplatError) as caught:
        move(pair)
    assert [place.read("state") for place in pair] == before
    return caught.value


def test_it_is_moved_and_kept(pair: Pair) -> None:
    source, target = pair
    state = edit(source, "a")
    done = move(pair)
    assert done is not None
    assert target.store().load() == state
    assert source.store().load().entries == {}
    assert any(name.startswith("state.json.migrated-1") for name in source.names())
    assert move(pair) is None, "run twice"
    assert target.store().load() == state


def test_there_and_back_and_there_again(pair: Pair) -> None:
    state = edit(pair[0], "a")
    for way in (pair, pair[::-1], pair):
        assert move(way) is not None
        assert way[1].store().load() == state


def test_what_a_killed_run_left_goes_along(pair: Pair) -> None:
    store = pair[0].store()
    with pytest.raises(KeyboardInterrupt), store.lock("apply"), store.open() as ledger:
        ledger.change("a", lambda _old: Entry("fake_topic", None, intent={"verb": "create"}))
        raise KeyboardInterrupt
    assert move(pair) is not None
    assert pair[1].store().load().entries["a"].intent == {"verb": "create"}
    assert pair[0].read("journal") is None


@pytest.mark.parametrize("killed", ["put", "retire"])
def test_killed_and_run_again(pair: Pair, killed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state, whole = edit(pair[0], "a"), getattr(Store, killed)

    def dies(*words: object) -> None:
        if killed == "put":
            whole(*words)
        raise KeyboardInterrupt

    with monkeypatch.context() as patching:
        patching.setattr(Store, killed, dies)
        with pytest.raises(KeyboardInterrupt):
            move(pair)
    assert pair[0].store().load() == state
    assert move(pair) is not None
    assert pair[1].store().load() == state
    assert pair[0].store().load().entries == {}


def test_over_an_older_moment_of_itself(pair: Pair) -> None:
    source, target = pair
    edit(source, "a")
    target.put("state", source.read("state") or b"")
    state = edit(source, "b")
    assert move(pair) is not None
    assert target.store().load() == state


def test_not_over_a_newer_one(pair: Pair) -> None:
    source, target = pair
    edit(source, "a")
    target.put("state", source.read("state") or b"")
    edit(target, "b")
    error = refused(pair)
    assert isinstance(error, UsageError)
    assert "has gone on since (serial 2, here 1)" in error.message
    edit(source, "c")
    assert "has gone on since (serial 2, here 2)" in refused(pair).message


def test_not_over_another_life(pair: Pair) -> None:
    for place in pair:
        edit(place, "a")
    error = refused(pair)
    assert "holds another state (1 addresses, lineage" in error.message
    assert error.hint == "mlplat state rebuild --namespace test"


def test_not_from_nothing(pair: Pair) -> None:
    assert "there is none in" in refused(pair).message


@pytest.mark.parametrize("held", [0, 1])
def test_not_while_somebody_works(pair: Pair, held: int) -> None:
    edit(pair[0], "a")
    with pair[held].store().lock("apply"):
        assert isinstance(refused(pair), LockHeld)
