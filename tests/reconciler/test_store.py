"""What every place for a state must keep: one contract for files and for objects in S3."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from tests.conftest import RunningCloud
from tests.reconciler.conftest import EDITED, World, platform
from tests.reconciler.places import Local, Remote

from mlplat.errors import DamagedState, LockHeld, StateError
from mlplat.reconciler import formats
from mlplat.reconciler.journal import line_of
from mlplat.reconciler.lock import Holder
from mlplat.reconciler.state import Entry, State, Store


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Local:
    if request.param == "local":
        return Local(tmp_path / ".mlplat")
    request.getfixturevalue("bucket")
    cloud: RunningCloud = request.getfixturevalue("cloud")
    return Remote(tmp_path / ".mlplat", cloud=cloud, session=cloud.session())


@pytest.fixture
def world(place: Local) -> World:
    return World(place.folder, backend=place.backend)


def entry(id: str) -> Entry:
    return Entry("fake_topic", id)


def broken_off(place: Local, *changes: tuple[str, Entry | None]) -> None:
    """A run that makes some changes and is killed."""
    with pytest.raises(KeyboardInterrupt), place.store().lock("apply"):
        store = place.store()
        with store.open() as ledger:
            for address, value in changes:
                ledger.change(address, lambda _old, value=value: value)
            ledger.flush()
            raise KeyboardInterrupt


class TestKept:
    def test_nothing_is_an_empty_state(self, place: Local) -> None:
        store = place.store()
        state = store.load()
        assert (state.namespace, state.serial, state.entries, store.is_there) == ("test", 0, {}, False)
        assert store.remains().entries == {}
        assert store.damaged() == []

    def test_what_was_written_is_read_by_the_next(self, place: Local) -> None:
        with place.store().edit() as state:
            state.entries["a"], lineage = entry("1"), state.lineage
        with place.store().edit() as state:
            assert (state.serial, state.lineage, state.entries) == (1, lineage, {"a": entry("1")})
        assert place.store().load().serial == 2
        assert place.read("lock") is None

    def test_a_killed_run_leaves_all_it_relied_on(self, place: Local) -> None:
        with place.store().edit() as state:
            state.entries["gone"] = entry("0")
        begun = replace(entry("1"), intent={"verb": "create"})
        broken_off(place, ("a", entry("1")), ("b", begun), ("gone", None))
        found = place.store().load()
        assert found.entries == {"a": entry("1"), "b": begun}
        assert place.read("journal") is not None
        with place.store().lock("apply"), place.store().open():
            pass
        assert place.read("journal") is None
        assert place.store().load() == found

    def test_an_intent_is_there_before_the_change_returns(self, place: Local) -> None:
        with place.store().lock("apply"), place.store().open() as ledger:
            for number in range(3):
                begun = replace(entry(str(number)), intent={"verb": "create"})
                ledger.change(f"t{number}", lambda _old, begun=begun: begun)
                assert place.store().load().entries == {f"t{n}": ledger.entry(f"t{n}") for n in range(number + 1)}

    def test_a_result_is_there_a_moment_later(self, place: Local) -> None:
        with place.store().lock("apply"), place.store().open() as ledger:
            ledger.change("a", lambda _old: entry("1"))
            for _ in range(40):
                if place.store().load().entries:
                    break
                threading.Event().wait(0.05)
            assert place.store().load().entries == {"a": entry("1")}

    def test_an_old_journal_is_not_folded_twice(self, place: Local) -> None:
        broken_off(place, ("a", entry("1")))
        old = place.read("journal") or b""
        with place.store().edit() as state:
            state.entries["a"] = entry("2")
        place.put("journal", old)  # as if the run had ended before it removed it
        assert place.store().load().entries == {"a": entry("2")}
        with place.store().lock("apply"), place.store().open() as ledger:
            ledger.change("b", lambda _old: entry("3"))
        assert place.store().load().entries == {"a": entry("2"), "b": entry("3")}

    def test_a_state_is_retired_whole(self, place: Local) -> None:
        broken_off(place, ("a", entry("1")))
        store = place.store()
        with store.lock("test"):
            for number in (1, 2):
                where = store.retire("migrated")
                assert where.endswith(f"state.json.migrated-{number}")
                assert place.store().load().entries == {}
                with store.edit() as state:
                    state.entries["b"] = entry("2")

    def test_under_the_lock_it_is_read_once(self, place: Local, monkeypatch: pytest.MonkeyPatch) -> None:
        with place.store().edit() as state:
            state.releases["churn"] = {}
        store, reads = place.store(), list[str]()
        whole = store.backend.read
        monkeypatch.setattr(store.backend, "read", lambda part: (reads.append(part), whole(part))[1])
        with store.lock("apply"):
            store.load().releases.clear()
            assert store.load().releases == {"churn": {}}
            with store.open() as ledger:
                assert reads == ["journal", "state"]
                ledger.change("a", lambda _old: entry("1"))
                ledger.flush()
                assert store.load().entries == {"a": entry("1")}, "while it is changed, it is read"
            assert store.load().entries == {"a": entry("1")}
        place.remove("state")
        assert store.load().entries == {}, "without the lock, others may have been here"

    def test_many_threads_share_one_ledger(self, place: Local) -> None:
        with place.store().lock("test"), place.store().open() as ledger:

            def work(number: int) -> None:
                for turn in range(5):
                    begun = replace(entry(str(turn)), intent={"verb": "update"})
                    ledger.change(f"t{number}", lambda _old, begun=begun: begun)
                    ledger.change(f"t{number}", lambda _old, id=str(turn): entry(id))

            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        state = place.store().load()
        assert state.entries == {f"t{n}": entry("4") for n in range(8)}
        assert state.serial == 80


class TestDamage:
    @pytest.fixture
    def whole(self, place: Local) -> bytes:
        with place.store().edit() as state:
            state.entries |= {f"t.x.{n}": entry(str(n)) for n in range(3)}
        return place.read("state") or b""

    def test_cut_anywhere(self, place: Local, whole: bytes) -> None:
        good = place.store().load()
        for part in range(64):
            place.put("state", whole[: part * len(whole) // 64])
            with pytest.raises(DamagedState):
                place.store().load()
        assert place.store().damaged() == [place.backend().place]
        place.put("state", whole)
        assert place.store().load() == good

    def test_a_flipped_bit(self, place: Local, whole: bytes) -> None:
        for at in range(1, len(whole) - 2, max(1, len(whole) // 32)):
            spoilt = bytearray(whole)
            spoilt[at] ^= 1
            place.put("state", bytes(spoilt))
            with pytest.raises(DamagedState):
                place.store().load()

    def test_deleted(self, place: Local, whole: bytes) -> None:
        place.remove("state")
        assert place.store().load().entries == {}

    def test_it_is_kept_when_another_takes_its_place(self, place: Local, whole: bytes) -> None:
        for number in (1, 2):
            place.put("state", whole[:-9])
            with place.store().lock("rebuild"):
                (kept,) = place.store().replace(State("test"))
            assert kept.endswith(f"state.json.damaged-{number}")
        assert {"state.json.damaged-1", "state.json.damaged-2", "state.json"} <= place.names()
        assert place.store().load().entries == {}

    def test_a_damaged_journal(self, place: Local, whole: bytes) -> None:
        broken_off(place, ("a", entry("1")), ("b", entry("2")))
        lines = (place.read("journal") or b"").split(b"\n")
        place.put("journal", b"\n".join([lines[0], lines[1][:-3] + b"xxx", *lines[2:]]))
        store = place.store()
        with pytest.raises(DamagedState, match="line 2 is not what was written") as caught:
            store.load()
        assert caught.value.hint == "mlplat state rebuild --namespace test"
        assert store.remains().entries.keys() == {"t.x.0", "t.x.1", "t.x.2"}
        with place.store().lock("rebuild"):
            store.replace(store.remains())
        assert place.store().load().entries.keys() == {"t.x.0", "t.x.1", "t.x.2"}

    def test_a_cut_journal_gives_the_state_of_some_moment(self, place: Local) -> None:
        names = ["a", "b", "c"]
        broken_off(place, *((name, entry(name)) for name in names))
        text = place.read("journal") or b""
        moments = [{name: entry(name) for name in names[:count]} for count in range(4)]
        for part in range(33):
            place.put("journal", text[: part * len(text) // 32])
            assert place.store().load().entries in moments

    def test_a_newer_format_is_refused(self, place: Local) -> None:
        with place.store().edit() as state:
            state.format = 2
        with pytest.raises(StateError, match="a newer mlplat wrote it") as caught:
            place.store().load()
        assert caught.value.hint == "pip install --upgrade mlplat"
        with pytest.raises(StateError, match="a newer mlplat wrote it"):
            place.store().remains()

    def test_an_older_format_is_kept_and_migrated(self, place: Local, monkeypatch: pytest.MonkeyPatch) -> None:
        def from_0(body: formats.Body) -> formats.Body:
            return {**{k: v for k, v in body.items() if k != "objects"}, "entries": body["objects"]}

        monkeypatch.setitem(formats.MIGRATIONS, 0, from_0)
        body = {"format": 0, "namespace": "test", "lineage": "l", "serial": 4, "releases": {}}
        body["objects"] = {"a": entry("1").to_json()}
        old = json.dumps({**body, "sha256": formats.digest(json.loads(json.dumps(body)))}).encode()
        place.put("state", old)
        told: list[str] = []
        with place.store(told.append).edit() as state:
            assert state.entries == {"a": entry("1")}
        assert any("format-0" in name for name in place.names())
        assert "the state is of format 1 now" in told[0]
        assert place.store().load().serial == 5

    def test_another_namespaces_is_refused(self, place: Local, whole: bytes) -> None:
        other = State("other")
        place.put("state", other.dumps())
        with pytest.raises(StateError, match="it belongs to namespace other"):
            place.store().load()

    def test_a_journal_without_its_state(self, place: Local) -> None:
        lines = [
            {"format": 1, "lineage": "l", "serial": 4},
            {"part": "entries", "key": "b", "value": entry("2").to_json()},
        ]
        place.put("journal", b"".join(line_of(line) for line in lines))
        state = place.store().load()
        assert (state.serial, state.entries) == (5, {"b": entry("2")})


class TestApplied:
    def test_apply_edit_destroy(self, world: World, place: Local) -> None:
        for declared in (platform(), EDITED):
            world.apply(declared)
            world.check(declared)
        world.destroy(reverse=True, delete_data=["*"])
        assert not world.cloud.things
        assert place.read("lock") is None

    def test_nothing_to_do_writes_no_journal(self, world: World, place: Local) -> None:
        world.apply(platform())
        before = place.read("state")
        world.apply(platform())
        assert place.read("state") == before

    def test_deleted_and_one_serial_old(self, world: World, place: Local) -> None:
        world.apply(platform())
        old = place.read("state") or b""
        world.apply(EDITED)
        place.put("state", old)
        world.apply(EDITED)
        world.check(EDITED)
        place.remove("state")
        world.apply(EDITED)
        world.check(EDITED)


IMPORTS = """
import sys, time
from pathlib import Path
from mlplat.aws import Session
from mlplat.errors import LockHeld
from mlplat.reconciler.objects import Objects
from mlplat.reconciler.state import Entry, Store
"""

HOLD = """
with {store}.lock("apply"):
    print("held", flush=True)
    time.sleep(60)
"""

COUNT = """
done = 0
while done < 2:
    try:
        with {store}.edit("count") as state:
            state.releases["number"] = {{"of": state.releases.get("number", {{}}).get("of", 0) + 1}}
        done += 1
    except LockHeld:
        time.sleep(0.1)
"""


@pytest.fixture
def other(place: Local) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORTS + HOLD.format(store=place.source)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


class TestLocked:
    def test_whoever_comes_second_is_told_who_holds_it(self, place: Local, other: subprocess.Popen[str]) -> None:
        with pytest.raises(LockHeld) as caught, place.store().lock("apply"):
            pass
        assert caught.value.exit_code == 5
        where = f"on {socket.gethostname()} (process {other.pid}) since 20"
        assert "namespace test is locked by `mlplat apply` of " in caught.value.message
        assert where in caught.value.message
        holder = place.backend().holder()
        assert holder is not None
        assert holder.pid == other.pid

    def test_a_killed_holder_holds_nothing(self, place: Local, other: subprocess.Popen[str]) -> None:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert place.read("lock") is not None
        assert place.backend().holder() is None
        with place.store().lock("apply"):
            holder = place.backend().holder()
            assert holder is not None
            assert holder.pid == os.getpid()
        assert place.read("lock") is None

    def test_five_processes_at_once_lose_nothing(self, place: Local) -> None:
        source = IMPORTS + COUNT.format(store=place.source)
        running = [subprocess.Popen([sys.executable, "-c", source]) for _ in range(5)]
        assert [process.wait(timeout=120) for process in running] == [0] * 5
        assert place.store().load().releases == {"number": {"of": 10}}
        assert place.store().load().serial == 10

    def test_five_threads_at_once_one_works(self, place: Local) -> None:
        begun, ended, held, refused = threading.Barrier(5), threading.Barrier(5), list[int](), list[str]()

        def work(number: int) -> None:
            store: Store = place.store()
            begun.wait(10)
            try:
                with store.lock(f"apply{number}"):
                    held.append(number)
                    ended.wait(10)
            except LockHeld as error:
                refused.append(error.message)
                ended.wait(10)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(held), len(refused)) == (1, 4)
        assert all(f"(process {os.getpid()})" in message for message in refused)

    def test_it_may_be_entered_again(self, place: Local) -> None:
        store = place.store()
        with store.lock("deploy"):
            with store.lock("apply"):
                pass
            with pytest.raises(LockHeld), place.store().lock("apply"):
                pass
        with place.store().lock("apply"):
            pass

    def test_one_elsewhere_is_believed_until_its_id_is_named(self, place: Local) -> None:
        away = replace(Holder.me("apply"), host="elsewhere", pid=7, kernel="another")
        place.put("lock", json.dumps(asdict(away)).encode())
        with pytest.raises(LockHeld, match="on elsewhere"), place.store().lock("apply"):
            pass
        with pytest.raises(LockHeld, match="on elsewhere"):
            place.backend().unlock()
        removed = place.backend().unlock(id=away.id)
        assert removed == away
        assert place.backend().unlock(id=away.id) is None
        place.put("lock", json.dumps(asdict(away)).encode())
        assert place.backend().unlock(force=True) == away
        with place.store().lock("apply"):
            pass

    def test_whoever_did_not_sign_is_removed_by_force(self, place: Local) -> None:
        place.put("lock", b"")
        assert place.backend().unlock(force=True) is not None
        with place.store().lock("apply"):
            pass
