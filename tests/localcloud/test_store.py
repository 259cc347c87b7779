"""The store and the files of contents: written whole, read only by who may."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from mlplat.localcloud import bodies, store
from mlplat.localcloud.bodies import Bodies
from mlplat.localcloud.store import Batch, Name, Part, Store, StoreRefused, StoreUnusable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def test_a_batch_is_there_again(folder: Path) -> None:
    first = Store(folder)
    one, two, part = Name("us-east-1", "models", "a"), Name("us-east-1", "models", "b"), Part("s3", "1", "aws", "x")
    first.write(Batch({one: (7, b"1"), two: (3, b"2")}, {part: b"3"}))
    first.write(Batch({one: (7, b"4")}, {part: b"5"}))
    first.close()
    again = Store(folder)
    assert list(again.objects()) == [(two, 3, b"2"), (one, 7, b"4")]
    assert list(again.parts()) == [(part, b"5")]
    again.write(Batch({one: None, two: None}, {part: None}))
    assert (list(again.objects()), list(again.parts())) == ([], [])
    again.close()


def test_a_batch_is_written_whole_or_not_at_all(folder: Path) -> None:
    kept = Store(folder)
    bad: dict[Part, bytes | None] = {Part("s3", "1", "aws"): b"fine", Part("s3", "1", "aws", "y"): object()}  # type: ignore[dict-item]
    with pytest.raises(sqlite3.Error):
        kept.write(Batch({Name("r", "s", "n"): (1, b"1")}, bad))
    assert (list(kept.objects()), list(kept.parts())) == ([], [])
    kept.close()


def test_its_files_are_the_users_alone(folder: Path) -> None:
    kept = Store(folder)
    kept.write(Batch({Name("r", "s", "n"): (1, b"1")}))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("store.sqlite*")}
    assert set(modes.values()) == {0o600}, modes
    kept.close()


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_file_that_others_could_have_written_is_not_read(folder: Path, mode: int) -> None:
    Store(folder).close()
    (folder / "store.sqlite").chmod(mode)
    with pytest.raises(StoreRefused, match="open to other users"):
        Store(folder)


def test_a_folder_that_others_can_write_is_not_used(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(StoreRefused, match="open to other users"):
        Store(folder)


def test_a_link_is_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "file"
    elsewhere.touch()
    (folder / "store.sqlite").symlink_to(elsewhere)
    with pytest.raises(StoreRefused, match="is a link"):
        Store(folder)


def test_another_users_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(folder).close()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(StoreRefused, match="belongs to another user"):
        Store(folder)


def test_other_versions_are_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(folder).close()
    monkeypatch.setattr(store, "versions", lambda: {"format": "1", "moto": "99.0", "python": "3.11"})
    with pytest.raises(StoreRefused, match=r"written by .*moto 5.*, and this is .*moto 99"):
        Store(folder)


def test_a_damaged_file_is_refused(folder: Path) -> None:
    Store(folder).close()
    (folder / "store.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreRefused, match="damaged"):
        Store(folder)


def test_a_disk_that_cannot_be_written_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(StoreUnusable, match="disk is full"):
        Store(folder)


def test_a_content_is_one_file_for_as_long_as_it_is_held(folder: Path) -> None:
    kept = Bodies(folder)
    one, same = kept.put(b"content"), kept.put(b"content")
    file = kept.path(one.digest)
    assert (one.read(), same is one, stat.S_IMODE(file.stat().st_mode)) == (b"content", True, 0o600)
    kept.sync()
    del same
    kept.delete([one.digest])
    assert file.exists()
    digest = one.digest
    del one
    assert kept.dropped() == [digest]
    kept.delete([digest])
    assert not file.exists()


def test_what_a_crash_has_left_is_swept(folder: Path) -> None:
    kept = Bodies(folder)
    held, left = kept.put(b"held"), kept.put(b"left").digest
    half = kept.path(left).with_name("half.new")
    half.touch()
    os.utime(half, (0, 0))
    kept.sweep()
    assert kept.path(held.digest).exists()
    assert not kept.path(left).exists()
    assert not half.exists()


def test_many_contents_are_synced_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, synced = Bodies(folder), list[str]()
    monkeypatch.setattr(os, "sync", lambda: synced.append("all"))
    all_of_them = [kept.put(str(each).encode()) for each in range(bodies.MANY + 1)]
    kept.sync()
    assert (synced, len(all_of_them)) == (["all"], bodies.MANY + 1)
