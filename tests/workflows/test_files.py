"""Archives whose bytes depend on nothing but names and contents."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from mlplat.errors import UsageError
from mlplat.workflows.files import archive, digest, local_files


def workload(folder: Path) -> Path:
    (folder / "lib").mkdir(parents=True)
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "lib" / "model.py").write_text("x = 1\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "train.pyc").write_bytes(b"\0")
    (folder / "data").mkdir()
    (folder / "data" / "big.csv").write_text("1\n")
    return folder


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = workload(tmp_path / "one"), workload(tmp_path / "two")
    os.utime(two / "train.py", (1, 1))
    assert archive(one) == archive(two)


def test_a_changed_line_gives_other_bytes(tmp_path: Path) -> None:
    folder = workload(tmp_path / "one")
    before = archive(folder)
    (folder / "lib" / "model.py").write_text("x = 2\n")
    assert archive(folder) != before


def test_caches_and_data_stay_at_home(tmp_path: Path) -> None:
    packed = archive(workload(tmp_path / "one"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["lib/model.py", "train.py"]


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"packing source .*nowhere: there is no such folder"):
        archive(tmp_path / "nowhere")


def test_parts_of_a_digest_cant_run_into_each_other() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_an_empty_folder_is_no_channel(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        local_files(tmp_path, "channel train")
