from __future__ import annotations

import errno
import json
import re
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import FakeTopic
from tests.reconciler.conftest import World, files, platform

from mlplat.errors import DamagedState, StateError
from mlplat.reconciler import journal
from mlplat.reconciler.state import Deposed, Entry, State, Store
from mlplat.resources.base import Declared

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.dictionaries(st.text(max_size=8), values, max_size=4)
names = st.lists(st.text(max_size=8), max_size=3).map(tuple)
deposed = st.lists(st.builds(Deposed, st.none() | st.text(max_size=5), fields, names), max_size=2).map(tuple)
entries = st.builds(
    Entry, st.text(max_size=8), st.none() | st.text(max_size=8), fields, fields, names, st.none() | fields, deposed
)
states = st.builds(
    State,
    namespace=st.just("test"),
    serial=st.integers(0, 10**6),
    entries=st.dictionaries(st.text(max_size=12), entries, max_size=4),
    releases=st.dictionaries(st.text(max_size=8), fields, max_size=2),
)
changes = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.none() | entries), max_size=8)


def store(folder: str | Path) -> Store:
    return Store(Path(folder) / ".mlplat", "test")


REBUILD = "mlplat state rebuild --namespace test"


@settings(deadline=None)
@given(states)
def test_what_is_written_is_read_again(state: State) -> None:
    assert State.loads(state.dumps()) == state


@settings(deadline=None, max_examples=40)
@given(states)
def test_a_cut_file_is_never_taken_for_a_state(state: State) -> None:
    whole = state.dumps()
    for end in range(len(whole) - 1):
        try:
            assert State.loads(whole[:end]) == state
        except ValueError:
            continue


@settings(deadline=None, max_examples=40)
@given(states, st.data())
def test_nor_is_one_with_a_flipped_bit(state: State, data: st.DataObject) -> None:
    whole = bytearray(state.dumps())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(ValueError):
        assert State.loads(bytes(whole)) == state  # a flip in white space changes nothing


@settings(deadline=None, max_examples=60)
@given(changes, st.data())
def test_a_journal_cut_anywhere_gives_the_state_of_some_moment(
    made: list[tuple[str, Entry | None]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder, patch("os.fsync"):
        there, moments = store(folder), [dict[str, Entry]()]
        try:
            with there.lock("test"), there.open() as ledger:
                for address, entry in made:
                    ledger.change(address, lambda _old, new=entry: new)
                    moments.append(dict(ledger.state.entries))
                raise KeyboardInterrupt  # the process ends before the journal is folded
        except KeyboardInterrupt:
            pass
        assert there.load().entries == moments[-1]
        if made:
            text = files(there).journal.read_bytes()
            files(there).journal.write_bytes(text[: data.draw(st.integers(0, len(text)))])
            assert there.load().entries in moments


def test_a_damaged_journal_is_refused_with_a_way_out(tmp_path: Path) -> None:
    there = store(tmp_path)
    try:
        with there.lock("test"), there.open() as ledger:
            for name in "abc":
                ledger.change(name, lambda _old: Entry("fake_topic"))
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    lines = files(there).journal.read_bytes().split(b"\n")
    files(there).journal.write_bytes(b"\n".join([lines[0], lines[1][:-3] + b"xxx", *lines[2:]]))
    with pytest.raises(DamagedState, match="line 2 is not what was written") as caught:
        there.load()
    assert caught.value.hint == REBUILD
    assert there.remains().entries == {}


def test_an_old_journal_is_not_folded_twice(tmp_path: Path) -> None:
    there = store(tmp_path)
    try:
        with there.lock("test"), there.open() as ledger:
            ledger.change("a", lambda _old: Entry("fake_topic", "1"))
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    old = files(there).journal.read_bytes()
    with there.edit() as state:
        state.entries["a"] = Entry("fake_topic", "2")
    assert not files(there).journal.exists()
    files(there).journal.write_bytes(old)  # as if the process had ended between the rename and the removal
    assert there.load().entries["a"].id == "2"


def test_the_file_is_private_and_readable_line_by_line(world: World) -> None:
    world.apply(platform())
    assert stat.S_IMODE(world.files.path.stat().st_mode) == 0o600
    text = world.files.path.read_text()
    assert json.loads(text)["format"] == 1
    assert sum(line.startswith('  "') for line in text.splitlines()) == len(platform())
    assert sorted(path.name for path in world.folder.iterdir()) == ["test.state.json", "test.state.json.backup"]


def test_serial_counts_and_lineage_stays(tmp_path: Path) -> None:
    there = store(tmp_path)
    with there.edit() as state:
        lineage = state.lineage
    with there.edit() as state:
        assert (state.serial, state.lineage) == (1, lineage)
    with there.lock("test"), there.open() as ledger:
        ledger.change("a", lambda _old: Entry("fake_topic"))
        ledger.drop_release("none")
    assert there.load().serial == 4


def test_an_edit_that_fails_changes_nothing(tmp_path: Path) -> None:
    there = store(tmp_path)
    with pytest.raises(KeyError), there.edit() as state:
        state.releases["churn"] = {}
        raise KeyError
    assert there.load().releases == {}


class TestDamage:
    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"format": 1}', b"\xff\xfe"])
    def test_what_is_no_state_is_refused_with_a_way_out(self, tmp_path: Path, damage: bytes) -> None:
        there = store(tmp_path)
        with there.edit():
            pass
        files(there).backup.unlink(missing_ok=True)
        files(there).path.write_bytes(damage)
        with pytest.raises(DamagedState, match=re.escape(str(files(there).path))) as caught:
            there.load()
        assert caught.value.hint == REBUILD

    def test_it_is_kept_when_another_takes_its_place(self, world: World) -> None:
        world.apply(platform())
        text = world.files.path.read_bytes()
        for number in (1, 2):
            world.files.path.write_bytes(text[: len(text) // 2])
            (kept,) = world.store.replace(State("test"))
            assert Path(kept).name == f"test.state.json.damaged-{number}"
            assert Path(kept).read_bytes() == text[: len(text) // 2]
        assert world.state.entries == {}

    def test_one_that_says_it_is_newer_is_damaged_when_its_digest_is_wrong(self, tmp_path: Path) -> None:
        there = store(tmp_path)
        with there.edit():
            pass
        files(there).path.write_bytes(files(there).path.read_bytes().replace(b'"format": 1', b'"format": 9'))
        with pytest.raises(DamagedState):
            there.load()

    def test_a_newer_format_is_refused(self, tmp_path: Path) -> None:
        there = store(tmp_path)
        with there.edit() as state:
            state.format = 2
        with pytest.raises(StateError, match="a newer mlplat wrote it") as caught:
            there.load()
        assert caught.value.hint == "pip install --upgrade mlplat"

    def test_so_is_a_journal_of_one(self, tmp_path: Path) -> None:
        there = store(tmp_path)
        with (
            patch.object(journal, "FORMAT", 2),
            pytest.raises(KeyboardInterrupt),
            there.lock("x"),
            there.open() as ledger,
        ):
            ledger.change("a", lambda _old: Entry("fake_topic"))
            raise KeyboardInterrupt
        with pytest.raises(StateError, match="a newer mlplat wrote it"):
            there.load()

    def test_the_state_of_another_namespace_is_refused(self, tmp_path: Path) -> None:
        there = store(tmp_path)
        with there.edit():
            pass
        files(there).path.rename(there.folder / "other.state.json")
        with pytest.raises(StateError, match="it belongs to namespace test"):
            Store(there.folder, "other").load()

    def test_one_serial_old_converges(self, world: World) -> None:
        world.apply(platform())
        old = world.files.path.read_bytes()
        world.apply(platform(model="m2", shape="square"))
        world.files.path.write_bytes(old)
        world.apply(platform(model="m2", shape="square"))
        world.check(platform(model="m2", shape="square"))


class TestUnwritable:
    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / ".mlplat").write_text("a file")
        with pytest.raises(StateError, match="writing the state file") as caught, store(tmp_path).edit():
            pass
        assert str(caught.value.hint).startswith("ls -ld")

    def test_reading_needs_no_writing(self, world: World) -> None:
        world.apply(platform())
        with patch("os.open", side_effect=OSError(errno.EROFS, "Read-only file system")):
            assert world.plan(platform()).is_empty

    @pytest.mark.parametrize("number", range(1, 14))
    def test_when_the_disk_is_full_nothing_further_is_started(
        self, world: World, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        whole, writes = journal._write_all, 0
        calls_then = 0

        def write(handle: int, content: bytes) -> None:
            nonlocal writes, calls_then
            writes += 1
            if writes >= number:
                calls_then = calls_then or len(world.cloud.calls)
                whole(handle, content[:20])
                raise OSError(errno.ENOSPC, "No space left on device")
            whole(handle, content)

        world.parallelism = 1
        with monkeypatch.context() as patching:
            patching.setattr(journal, "_write_all", write)
            patching.setattr(Store, "_write", failing(Store._write))
            with pytest.raises(StateError, match="No space left"):
                world.apply(platform())
        assert len(world.cloud.calls) == calls_then
        world.apply(platform())
        world.check(platform())


def failing(original: Any) -> Any:
    """Store._write that works once: at the beginning."""
    done: list[int] = []

    def write(self: Store, state: State) -> None:
        if done:
            raise StateError("writing: No space left")
        done.append(1)
        original(self, state)

    return write


def test_many_threads_share_one_ledger(tmp_path: Path) -> None:
    there = store(tmp_path)
    with there.lock("test"), there.open() as ledger:

        def work(number: int) -> None:
            for turn in range(20):
                ledger.change(f"t{number}", lambda _old, id=str(turn): Entry("fake_topic", id))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        on_disk = there.load()
    assert on_disk.entries == there.load().entries == {f"t{n}": Entry("fake_topic", "19") for n in range(8)}
    assert there.load().serial == 160


def test_a_reader_sees_a_whole_state_while_it_is_written(tmp_path: Path) -> None:
    there, ended, seen = store(tmp_path), threading.Event(), list[int]()

    def read() -> None:
        while not ended.is_set():
            entries = Store(there.folder, "test").load().entries
            assert all(f"t{n}" in entries for n in range(len(entries)))
            seen.append(len(entries))

    thread = threading.Thread(target=read)
    thread.start()
    with patch("os.fsync"):
        for turn in range(30):
            with there.lock("test"), there.open() as ledger:
                for n in (2 * turn, 2 * turn + 1):
                    ledger.change(f"t{n}", lambda _old: Entry("fake_topic"))
    ended.set()
    thread.join()
    assert seen == sorted(seen), "it went back in time"


def test_a_step_costs_a_line_not_the_whole_state(world: World) -> None:
    declared = [Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in range(300)]
    written = 0
    whole = journal._write_all

    def write(handle: int, content: bytes) -> None:
        nonlocal written
        written += len(content)
        whole(handle, content)

    with patch.object(journal, "_write_all", write), patch("os.fsync"):
        world.apply(declared)
    assert written < 3 * len(world.files.path.read_bytes())
