"""The request log: whole lines, bounded, and never in the way of an answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlplat.localcloud import request_log
from mlplat.localcloud.request_log import RequestLog, records


def test_the_file_is_turned_over_and_one_older_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "LIMIT", 200)
    log = RequestLog(tmp_path)
    for number in range(10):
        log.write({"number": number})
    log.close()
    kept = [record["number"] for record in records(tmp_path)]
    assert kept == list(range(kept[0], 10))
    assert (tmp_path / "requests.1.jsonl").exists()


def test_a_full_disk_keeps_nobody_from_an_answer(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    log.write({"number": 1})
    with Path("/dev/full").open("wb", buffering=0) as full:
        log._file, file = full, log._file
        log.write({"number": 2})
        log._file = file
    log.write({"number": 3})
    log.close()
    assert [record["number"] for record in records(tmp_path)] == [1, 3]


def test_what_cannot_be_turned_over_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(os.strerror(13))

    monkeypatch.setattr(request_log, "LIMIT", 1)
    monkeypatch.setattr(Path, "replace", refuse)
    log = RequestLog(tmp_path)
    log.write({"number": 1})
    log.write({"number": 2})
    log.close()
    assert [record["number"] for record in records(tmp_path)] == [1, 2]
