"""The state in S3 when S3 is slow to tell, refuses, or isn't there: nothing twice, nothing over another's."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import RunningCloud
from tests.reconciler.conftest import EDITED, World, platform
from tests.reconciler.places import BUCKET, Remote

from mlplat.aws import Client
from mlplat.errors import ApiError, CredentialsError, LockHeld, MlplatError, OutcomeUnknown, StateConflict, StateError
from mlplat.reconciler import cell as cells
from mlplat.reconciler import objects
from mlplat.reconciler.cell import Cell
from mlplat.reconciler.objects import Objects
from mlplat.reconciler.state import Entry, State, Store

WRITES = ("put_object", "delete_object")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def place(tmp_path: Path, cloud: RunningCloud, bucket: str) -> Remote:
    return Remote(tmp_path / ".mlplat", cloud=cloud, session=cloud.session())


@pytest.fixture
def cell(place: Remote) -> Cell:
    return Cell(place.session, BUCKET, place.key)


@pytest.fixture
def world(place: Remote) -> World:
    return World(place.folder, backend=place.backend, parallelism=1)


def fresh(place: Remote) -> Remote:
    """The same bucket, another key."""
    return replace(place, key=f"mlplat/{uuid.uuid4().hex}/state.json")


Answer = Callable[[str, Callable[[], Any]], Any]


@contextmanager
def answering(answer: Answer) -> Iterator[None]:
    """S3 as `answer(operation, send)` has it."""
    whole = Client._call

    def call(self: Client, operation: str, repeatable: bool, send: Callable[[], Any]) -> Any:
        return answer(operation, lambda: whole(self, operation, repeatable, send))

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(Client, "_call", call)
        patching.setattr(cells, "WITHIN", 2.0)
        yield


def refusal(code: str, status: int, kind: type[ApiError] = ApiError) -> ApiError:
    return kind(service="s3", operation="put_object", code=code, reason="as the test wants it", status=status)


class Nth:
    """Does something else at the n-th write, or from it on."""

    def __init__(self, number: int, act: Answer, *, on: bool = False) -> None:
        self.left, self.act, self.on, self.hit = number, act, on, False

    def __call__(self, operation: str, send: Callable[[], Any]) -> Any:
        if operation in WRITES:
            self.left -= 1
            if self.left == 0 or (self.on and self.left < 0):
                self.hit = True
                return self.act(operation, send)
        elif self.on and self.hit:
            raise refusal("EndpointConnectionError", 0)
        return send()


def dropped(_operation: str, send: Callable[[], Any]) -> Any:
    """The answer is lost after it was done."""
    send()
    raise refusal("ReadTimeoutError", 0, OutcomeUnknown)


def lost(_operation: str, _send: Callable[[], Any]) -> Any:
    """The request is lost."""
    raise refusal("InternalError", 500, OutcomeUnknown)


def conflict(_operation: str, _send: Callable[[], Any]) -> Any:
    """Another write was under way."""
    raise refusal("ConditionalRequestConflict", 409)


def unreachable(_operation: str, _send: Callable[[], Any]) -> Any:
    """The network is gone."""
    raise refusal("EndpointConnectionError", 0)


def expired(_operation: str, _send: Callable[[], Any]) -> Any:
    """The credentials are of no use any more."""
    raise CredentialsError("calling s3 put_object: AWS does not accept the credentials", hint="aws sso login")


class TestCell:
    def test_it_writes_over_nothing_or_what_it_has_read(self, place: Remote, cell: Cell) -> None:
        other = Cell(place.session, BUCKET, place.key)
        assert cell.read() is other.read() is None
        cell.write(b"1")
        with pytest.raises(StateConflict, match="another run has written it"):
            other.write(b"2")
        assert other.read() == b"1"
        other.write(b"2")
        for act in (lambda: cell.write(b"3"), cell.delete):
            cell.etag = '"0123456789abcdef0123456789abcdef"'
            with pytest.raises(StateConflict):
                act()
        other.delete()
        assert cell.read() is None
        cell.write(b"4")
        assert other.read() == b"4"

    @pytest.mark.parametrize("act", [dropped, lost, conflict])
    def test_what_nobody_knows_is_looked_up(self, cell: Cell, act: Answer) -> None:
        for number in (1, 2, 3):
            with answering(Nth(1, act)):
                cell.write(b"%d" % number)
            assert cell.read() == b"%d" % number
        with answering(Nth(1, act)):
            cell.delete()
        assert cell.read() is None

    def test_it_gives_up_in_time(self, cell: Cell) -> None:
        with answering(Nth(1, conflict, on=True)), pytest.raises(MlplatError):
            cell.write(b"1")

    def test_another_writer_while_nobody_knows(self, place: Remote, cell: Cell) -> None:
        def overtaken(_operation: str, _send: Callable[[], Any]) -> Any:
            place.cloud.client("s3").put_object(Bucket=BUCKET, Key=place.key, Body=b"theirs")
            raise refusal("ReadTimeoutError", 0, OutcomeUnknown)

        cell.write(b"1")
        with answering(Nth(1, overtaken)), pytest.raises(StateConflict):
            cell.write(b"2")
        assert cell.read() == b"theirs"

    def test_no_bucket_is_no_state(self, place: Remote) -> None:
        nowhere = Objects(place.session, "mlplat-state-that-is-not-there", place.key)
        with pytest.raises(StateError, match="there is no bucket") as caught:
            Store(place.folder, "test", backend=nowhere).load()
        assert caught.value.hint == "mlplat bootstrap"
        with pytest.raises(StateError, match="there is no bucket"), nowhere.lock("apply"):
            pass


def kept(world: World, place: Remote) -> bool:
    """Whether everything that was made is known, to this machine or to S3."""
    place.backend().unlock(force=True)
    known = {each.id for each in place.store().load().entries.values()}
    begun = {a for a, each in place.store().load().entries.items() if each.intent is not None}
    return all(t.id in known or t.tags["mlplat:address"] in begun for t in world.cloud.things.values())


class TestApply:
    @pytest.mark.parametrize("act", [dropped, lost, conflict])
    def test_every_write_in_doubt_once(self, place: Remote, act: Answer) -> None:
        number, hit = 0, True
        while hit:
            number += 1
            made = World(place.folder, backend=fresh(place).backend, parallelism=1)
            nth = Nth(number, act)
            with answering(nth):
                made.apply(platform())
            made.check(platform())
            assert len(made.cloud.calls) == len(platform())
            hit = nth.hit
        assert number > 8

    @pytest.mark.parametrize("act", [unreachable, expired])
    def test_refused_from_every_write_on(self, place: Remote, act: Answer) -> None:
        number, hit = 0, True
        while hit:
            number += 1
            remote = fresh(place)
            made = World(place.folder / str(number), backend=remote.backend, parallelism=1)
            nth = Nth(number, act, on=True)
            try:
                with answering(nth):
                    made.apply(platform())
            except MlplatError as error:
                assert nth.hit
                assert error.exit_code == (4 if act is expired else 1)
                assert not made.cloud.calls or kept(made, replace(remote, folder=made.folder)), f"write {number}"
            remote.backend().unlock(force=True)
            made.apply(platform())
            made.check(platform())
            assert len(made.cloud.calls) == len(platform()), f"write {number}"
            hit = nth.hit
        assert number > 8

    def test_a_recovery_of_what_others_have_gone_on_from_is_out_of_date(self, world: World, place: Remote) -> None:
        world.apply(platform())
        nth = Nth(4, unreachable, on=True)
        with answering(nth), pytest.raises(StateError, match=r"recovery\.json"):
            world.apply(EDITED)
        (kept,) = place.folder.glob("test.*.recovery.json")
        place.backend().unlock(force=True)
        elsewhere = World(place.folder / "elsewhere", world.cloud, backend=place.backend)
        elsewhere.apply(EDITED)
        told: list[str] = []
        state = place.store(told.append).load()
        assert state == elsewhere.state
        assert told == []
        assert kept.exists()
        world.apply(EDITED)
        world.check(EDITED)

    def test_a_run_whose_lock_was_taken_away_writes_over_nothing(self, place: Remote) -> None:
        slow, quick = place.store(), place.store()
        begun = Entry("fake_topic", None, intent={"verb": "create"})
        with slow.lock("apply"):
            with pytest.raises(StateConflict), slow.open() as ledger:
                ledger.change("a", lambda _old: begun)
                place.backend().unlock(force=True)
                with quick.edit("apply") as state:
                    assert state.entries == {"a": begun}
                    state.entries = {"b": Entry("fake_topic", "2")}
                ledger.change("c", lambda _old: begun)
            told: list[str] = []
        assert place.store(told.append).load().entries == {"b": Entry("fake_topic", "2")}
        assert not list(place.folder.glob("*recovery*"))

    def test_a_killed_run_is_taken_over_elsewhere_with_its_intents(self, place: Remote) -> None:
        store = place.store()
        begun = Entry("fake_topic", None, intent={"verb": "create"})
        with pytest.raises(KeyboardInterrupt), store.lock("apply"), store.open() as ledger:
            ledger.change("a", lambda _old: begun)
            raise KeyboardInterrupt
        away = replace(place, folder=place.folder / "of another machine")
        assert away.store().load().entries == {"a": begun}


class TestLock:
    def test_in_doubt_it_is_looked_up(self, place: Remote) -> None:
        for act in (dropped, lost, conflict):
            with answering(Nth(1, act)), place.store().lock("apply"), pytest.raises(LockHeld):
                place.backend().lock("apply").__enter__()
            assert place.read("lock") is None

    def test_one_that_cannot_be_given_back_is_told(self, place: Remote) -> None:
        told: list[str] = []
        with answering(Nth(2, unreachable, on=True)), place.store(told.append).lock("apply"):
            pass
        holder = place.backend().holder()
        assert holder is not None
        assert f"mlplat state unlock {holder.id} --namespace test" in told[0]
        place.backend().unlock(id=holder.id)

    def test_one_that_was_taken_away_is_not_given_back(self, place: Remote) -> None:
        told: list[str] = []
        with place.store(told.append).lock("apply"):
            place.backend().unlock(force=True)
            with place.store().lock("plan"):
                pass
            place.put("lock", b"another's")
        assert place.read("lock") == b"another's"
        assert "was taken away" in told[0]


def test_a_large_journal_stays_small_on_its_way(place: Remote) -> None:
    """300 changes: each replacement of the journal carries all of it, compressed."""
    sent: list[int] = []
    whole = Cell.write

    def write(self: Cell, content: bytes) -> None:
        sent.append(len(content))
        whole(self, content)

    store = place.store()
    with pytest.MonkeyPatch.context() as patching, store.lock("apply"), store.open() as ledger:
        patching.setattr(Cell, "write", write)
        for number in range(300):
            fields = {"name": f"topic-{number}", "links": ["a" * 40, "b" * 40]}
            ledger.change(f"a.fake_topic.t{number}", lambda _old, f=fields: Entry("fake_topic", f["name"], f))
        ledger.flush()
        assert place.store().load().entries.keys() == ledger.state.entries.keys()
        patching.undo()
    assert State.loads(place.read("state") or b"").serial == 300
    assert max(sent) < len(place.read("state") or b"") / 5


def test_a_late_result_brings_no_journal_back(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LINGER", 0.2)
    backend = place.backend()
    journal = backend.begin("lineage", 0)
    journal.write({"a": "result"})
    backend.write(b"the state, with that result in it")
    time.sleep(1)
    assert place.backend().read("journal") is None
    journal.close()
