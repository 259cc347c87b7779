"""Waits: bounded, given up together, and resumed by whoever asks again."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mlplat.aws import Session
from mlplat.errors import Interrupted, WaitTimeout


def test_waits_of_all_views_are_given_up_when_their_time_is_over() -> None:
    session = Session("development", "us-east-1")
    ended = list[BaseException]()

    def wait(view: Session) -> None:
        with pytest.raises(WaitTimeout, match="its time is over; nothing is lost") as caught:
            view.wait("it", lambda: False, bool, every=60.0)
        ended.append(caught.value)

    threads = [threading.Thread(target=wait, args=(session.at(f"a.b.{n}"),)) for n in range(4)]
    with session.limited(0.2):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert len(ended) == 4
    assert session.late


def test_what_ends_in_time_is_not_given_up_later() -> None:
    session = Session("development", "us-east-1")
    with session.limited(0.05):
        assert session.wait("it", lambda: True, bool)
    time.sleep(0.1)
    session.pause(0)
    assert not session.cancelled.is_set()


def test_many_quick_calls_end_where_they_ask() -> None:
    session, done = Session("development", "us-east-1"), list[int]()
    with pytest.raises(WaitTimeout, match="deleting the next: its time is over"), session.limited(0.1):
        for number in range(10**9):
            session.check("deleting the next")
            done.append(number)
    assert done


def test_without_a_limit_nothing_is_given_up() -> None:
    session = Session("development", "us-east-1")
    with session.limited(None):
        session.pause(0.05)
    assert not session.late


def test_somebody_who_stops_the_wait_is_told_so() -> None:
    session = Session("development", "us-east-1")
    session.cancelled.set()
    with pytest.raises(Interrupted, match=r"stopped while waiting for a\.b\.c; run the same command again") as caught:
        session.at("a.b.c").pause(1)
    assert caught.value.exit_code == 130


def test_what_lists_are_read_with_is_loaded_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.loaders import Loader

    session = Session("development", "us-east-1", credentials=("AKIAIOSFODNN7EXAMPLE", "secret"))
    session.client("ec2")
    load, loaded, together = Loader.load_service_model, list[str](), threading.Barrier(8)

    def slowly(loader: Any, service: str, what: str, api_version: str | None = None) -> Any:
        loaded.append(f"{service} {what}")
        time.sleep(0.05)  # long enough for the others to come
        return load(loader, service, what, api_version)

    def page(number: int) -> Any:
        together.wait()
        return session.at(f"a.b.{number}").paginator("ec2", "describe_vpcs")

    monkeypatch.setattr(Loader, "load_service_model", slowly)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(page, range(8)))
    assert loaded == ["ec2 paginators-1"]
    assert len({id(each) for each in made}) == 8, "each listing has its own"
