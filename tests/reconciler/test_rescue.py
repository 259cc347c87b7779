"""A state that can't be written: nothing further is started, nothing that was done is lost, the next run goes on."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import FakeTopic
from tests.reconciler.conftest import World, files, platform

from mlplat.errors import MlplatError, StateError
from mlplat.reconciler import formats, journal
from mlplat.reconciler.state import Entry, Ledger, State, Store
from mlplat.resources.base import Declared

WRITES = ("open", "write", "pwrite", "ftruncate", "fsync", "link", "replace")
"""Everything by which the state, its journal, its lock and its recovery file reach the disk."""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class Disk:
    """Fails every writing call from the n-th on, as a full disk or one that turned read-only does."""

    def __init__(self, number: int, code: int, spares: Path | None = None) -> None:
        self.left, self.code, self.spares = number, code, spares
        self.broken: list[str] = []

    def check(self, name: str, *words: Any) -> None:
        if name == "open" and not words[1] & (os.O_WRONLY | os.O_RDWR):
            return
        if self.spares is not None and _where(words[0]).startswith(str(self.spares)):
            return
        self.left -= 1
        if self.left < 0:
            self.broken.append(name)
            raise OSError(self.code, os.strerror(self.code))


def _where(file: Any) -> str:
    """The path of what is written, which may be given by its handle."""
    return str(Path(f"/proc/self/fd/{file}").readlink()) if isinstance(file, int) else str(file)


@contextmanager
def failing(disk: Disk) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patching:
        for name in WRITES:
            patching.setattr(os, name, _failing(disk, name, getattr(os, name)))
        rename = Path.replace
        patching.setattr(Path, "replace", lambda self, to: (disk.check("replace", self), rename(self, to))[1])
        yield


def _failing(disk: Disk, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*words: Any, **more: Any) -> Any:
        disk.check(name, *words)
        return real(*words, **more)

    return call


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_at_every_write_nothing_is_lost_and_nothing_made_twice(tmp_path: Path, code: int) -> None:
    ended = 0
    for number in range(200):
        world = World(tmp_path / f"{code}-{number}" / ".mlplat", parallelism=1)
        world.folder.mkdir(parents=True)
        disk, calls = Disk(number, code), list[tuple[str, str]]()
        world.cloud.on_call = lambda verb, name, disk=disk, calls=calls: (  # type: ignore[misc]
            calls.append((verb, name)) if disk.broken else None
        )
        try:
            with failing(disk):
                world.apply(platform())
        except StateError as error:
            assert calls == [], f"started after the failure: {calls}"
            keep(world, error)
        else:
            ended += not disk.broken
        world.cloud.on_call = lambda _verb, _name: None
        world.apply(platform())
        world.check(platform())
        assert len(world.cloud.calls) == len(platform())
        if ended:
            break
    assert ended
    assert number > 40


def keep(world: World, error: StateError) -> None:
    """What was printed because it could be written nowhere is saved by hand, as the message asks for."""
    if error.left is not None:
        (world.folder / "test.recovery.json").write_text(json.dumps(error.left))


def apply_on(world: World, disk: Disk) -> StateError:
    with pytest.raises(StateError) as caught, failing(disk):
        world.apply(platform())
    return caught.value


def rescued(world: World, error: StateError, declared: Sequence[Declared] = platform()) -> None:
    """The recovery knows every object that was made; the next run says so and goes on."""
    told: list[str] = []
    store = Store(world.folder, "test", told.append)
    state = store.load()
    made = {thing.tags["mlplat:address"]: thing.id for thing in world.cloud.things.values()}
    assert {a: entry.id for a, entry in state.entries.items() if entry.id is not None} == made
    assert len(told) == 1
    assert "going on with the state that" in told[0]
    world.apply(declared)
    world.check(declared)
    assert len(world.cloud.calls) == len(declared)
    assert all(not path.exists() for path in store._rescue.paths)
    assert "No space" in error.message


def test_it_goes_to_the_folder_for_temporary_files(world: World, temporary: Path) -> None:
    world.parallelism = 1
    world.folder.mkdir()
    error = apply_on(world, Disk(30, errno.ENOSPC, spares=temporary))
    assert world.cloud.things
    (file,) = temporary.iterdir()
    assert str(file) in error.message
    rescued(world, error)


def test_it_goes_beside_the_state_when_only_the_journal_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.parallelism, count = 1, 0
    whole = journal._write_all

    def write(handle: int, content: bytes) -> None:
        nonlocal count
        count += 1
        if count > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(handle, content)

    spoilt = Store._write

    def refuse(self: Store, state: State) -> None:
        if count > 4:
            raise StateError("writing: No space left")
        spoilt(self, state)

    with monkeypatch.context() as patching:
        patching.setattr(journal, "_write_all", write)
        patching.setattr(Store, "_write", refuse)
        with pytest.raises(StateError, match=r"test\.recovery\.json") as caught:
            world.apply(platform())
    rescued(world, caught.value)


def test_it_goes_to_stderr_when_nothing_can_be_written(world: World) -> None:
    world.parallelism = 1
    world.folder.mkdir()
    error = apply_on(world, Disk(30, errno.ENOSPC))
    assert error.left is not None
    assert "follows: save it as" in error.message
    assert error.to_json()["state"] == error.left
    keep(world, error)
    rescued(world, error)


def test_another_life_of_the_state_is_not_taken(tmp_path: Path) -> None:
    store = Store(tmp_path, "test")
    with store.edit() as state:
        state.entries["a"] = Entry("fake_topic", "1")
    other = State("test", serial=99)
    store._rescue.keep(other)
    assert store.load().entries.keys() == {"a"}
    older = State("test", lineage=state.lineage, serial=0)
    store._rescue.keep(older)
    assert store.load().entries.keys() == {"a"}
    with store.edit():
        pass
    assert not store._rescue.paths[0].exists(), "known to be older, so it goes"


def test_a_cut_or_foreign_recovery_file_is_not_believed(tmp_path: Path, temporary: Path) -> None:
    store = Store(tmp_path / ".mlplat", "test")
    store.folder.mkdir()
    whole = State("test", serial=5, releases={"churn": {}}).dumps()
    store._rescue.paths[0].write_bytes(whole[:-9])
    assert store.load().releases == {}
    store._rescue.paths[0].unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(whole)
    store._rescue.paths[1].symlink_to(elsewhere)
    assert store.load().releases == {}, "a link that anybody may have put there"
    store._rescue.paths[1].unlink()
    store._rescue.paths[1].write_bytes(whole)
    assert store.load().releases == {"churn": {}}


LIMITED = """
import resource, signal, sys
from pathlib import Path
from mlplat.errors import StateError
from mlplat.reconciler.state import Entry, Store
store = Store(Path(sys.argv[1]), "test")
with store.edit() as state:
    state.releases["churn"] = {"long": "x" * 5000}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
begun = 0
try:
    with store.lock("apply"), store.open() as ledger:
        for number in range(100):
            ledger.change(f"t.x.{number}", lambda _old: Entry("fake_topic", str(number)))
            begun += 1
except StateError as error:
    print(begun, len(error.left["entries"]))
"""


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """A real kernel that refuses to write on: the journal is cut in the middle of a line."""
    run = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    begun, left = map(int, run.stdout.split())
    assert left == begun + 1
    store = Store(tmp_path, "test")
    assert len(store.load().entries) == begun
    assert 5 < begun < 50


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_real_disk_that_is_full(world: World, tmp_path: Path, temporary: Path) -> None:
    """A tmpfs of 64 kB that something else fills up after the apply began."""
    world.folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(world.folder)], check=False).returncode:
        pytest.skip("no mounting here")
    try:
        world.parallelism, seen = 1, 0

        def fill(_verb: str, _name: str) -> None:
            nonlocal seen
            seen += 1
            if seen == 1:
                fill_up(world.folder / "filler")

        world.cloud.on_call = fill
        declared = platform(more=[Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in range(40)])
        with pytest.raises(StateError, match="No space left") as caught:
            world.apply(declared)
        assert 1 < seen < 40
        (world.folder / "filler").unlink()
        world.cloud.on_call = lambda _verb, _name: None
        assert any(temporary.iterdir()) or (world.folder / "test.recovery.json").exists()
        rescued(world, caught.value, declared)
    finally:
        subprocess.run(["umount", str(world.folder)], check=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            pass


class TestMigration:
    """A format 0 that never was: its entries were called objects."""

    @pytest.fixture(autouse=True)
    def migrations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def from_0(body: formats.Body) -> formats.Body:
            return {**{k: v for k, v in body.items() if k != "objects"}, "entries": body["objects"]}

        monkeypatch.setitem(formats.MIGRATIONS, 0, from_0)

    def old(self, tmp_path: Path) -> tuple[Store, bytes]:
        store = Store(tmp_path, "test")
        body = json.loads(State("test", serial=4, entries={"a": Entry("fake_topic", "1")}).dumps())
        del body["sha256"]
        body = {**body, "format": 0, "objects": body.pop("entries")}
        text = json.dumps({**body, "sha256": formats.digest(body)}).encode()
        files(store).path.write_bytes(text)
        return store, text

    def test_an_older_file_is_read_and_kept_when_it_is_first_written(self, tmp_path: Path) -> None:
        store, text = self.old(tmp_path)
        assert store.load().entries["a"].id == "1"
        assert files(store).path.read_bytes() == text, "reading writes nothing"
        told: list[str] = []
        for _ in range(3):
            with Store(tmp_path, "test", told.append).edit():
                pass
        assert (tmp_path / "test.state.json.format-0").read_bytes() == text
        assert json.loads(files(store).path.read_bytes())["format"] == 1
        assert len(told) == 1
        assert store.load().serial == 7

    def test_one_that_nobody_knows_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store, _ = self.old(tmp_path)
        monkeypatch.delitem(formats.MIGRATIONS, 0)
        with pytest.raises(MlplatError, match="can't read format 0"):
            store.load()

    def test_a_journal_of_the_older_format_is_folded_before(self, tmp_path: Path) -> None:
        store, _ = self.old(tmp_path)
        lineage = json.loads(files(store).path.read_bytes())["lineage"]
        lines = [
            {"format": 0, "lineage": lineage, "serial": 4},
            {"part": "objects", "key": "b", "value": Entry("fake_topic", "2").to_json()},
        ]
        files(store).journal.write_bytes(b"".join(journal.line_of(line) for line in lines))
        assert {a: entry.id for a, entry in store.load().entries.items()} == {"a": "1", "b": "2"}
        with store.lock("test"), store.open() as ledger:
            assert isinstance(ledger, Ledger)
        assert store.load().serial == 5
        assert not files(store).journal.exists()
