"""The online store by itself: what wins, what stays, what is there again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from mlplat.localcloud.sagemaker.records import Records, Write

GROUP = "customers@1"


def write(id: str, event: int, value: str = "x", *, expires: int | None = None, offline: bool = False) -> Write:
    return Write(GROUP, id, event, record(value), expires, offline=offline)


def record(value: str) -> str:
    return json.dumps([{"FeatureName": "v", "ValueAsString": value}])


def value(records: Records, id: str, now: int = 0) -> str | None:
    found = records.get(GROUP, [id], now).get(id)
    return found.values[0]["ValueAsString"] if found and found.values else None


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "records.sqlite")


def test_the_newest_event_time_wins_and_an_equal_one_overwrites(records: Records) -> None:
    for event, text in ((20, "second"), (10, "first"), (20, "equal")):
        records.put([write("a", event, text)], now=0)
    assert value(records, "a") == "equal"


def test_an_older_record_is_still_appended_offline(records: Records) -> None:
    records.put([write("a", 20, "new", offline=True), write("a", 10, "old", offline=True)], now=7)
    rows = records.waiting(10)[GROUP]
    assert [(row.event, row.invoked, row.deleted) for row in rows] == [(20, 7, False), (10, 7, False)]
    records.stored(rows[:1])
    assert [row.event for row in records.waiting(10)[GROUP]] == [10]


def test_a_soft_delete_hides_the_record_and_keeps_older_ones_out(records: Records) -> None:
    records.put([write("a", 10)], now=0)
    assert records.delete(write("a", 20), now=0, hard=False)
    records.put([write("a", 15, "late")], now=0)
    assert value(records, "a") is None
    assert records.identifiers(GROUP, "", 10, 0, deleted=False) == []
    assert records.identifiers(GROUP, "", 10, 0, deleted=True) == ["a"]


@pytest.mark.parametrize("event", [10, 9])
@pytest.mark.parametrize(("hard", "markers"), [(False, 1), (True, 0)])
def test_a_deletion_that_is_not_newer_leaves_the_record(records: Records, event: int, hard: bool, markers: int) -> None:
    records.put([write("a", 10, "kept")], now=0)
    assert not records.delete(write("a", event, offline=True), now=0, hard=hard)
    assert value(records, "a") == "kept"
    assert len(records.waiting(10).get(GROUP, [])) == markers


def test_a_hard_delete_lets_an_older_record_in_again(records: Records) -> None:
    records.put([write("a", 10)], now=0)
    assert records.delete(write("a", 20), now=0, hard=True)
    records.put([write("a", 5, "again")], now=0)
    assert value(records, "a") == "again"


def test_time_to_live(records: Records) -> None:
    records.put([write("a", 1, "short", expires=100), write("b", 1, "long", expires=200), write("c", 1)], now=0)
    assert value(records, "a", now=99) == "short"
    assert value(records, "a", now=100) is None
    assert records.next_expiry() == 100
    assert records.expire(now=150) == [(GROUP, "a", 100)]
    assert records.next_expiry() == 200
    assert records.identifiers(GROUP, "", 10, 150, deleted=True) == ["b", "c"]


def test_pages_of_identifiers(records: Records) -> None:
    records.put([write(id, 1) for id in "dbca"], now=0)
    assert records.identifiers(GROUP, "", 3, 0, deleted=False) == ["a", "b", "c"]
    assert records.identifiers(GROUP, "c", 3, 0, deleted=False) == ["d"]


def test_replace_notices_that_the_record_moved_on(records: Records) -> None:
    records.put([write("a", 10, "first")], now=0)
    assert not records.replace(write("a", 30, "lost"), seen=9, now=0)
    assert records.replace(write("a", 30, "updated"), seen=10, now=0)
    assert value(records, "a") == "updated"


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    first = Records(tmp_path / "records.sqlite")
    first.put([write("a", 1, "kept", offline=True)], now=0)
    first.close()
    again = Records(tmp_path / "records.sqlite")
    assert value(again, "a") == "kept"
    assert len(again.waiting(10)[GROUP]) == 1


def test_the_records_of_an_earlier_group_of_the_same_name_are_forgotten(records: Records) -> None:
    for group in ("customers@1", "customers@2", "customers-2@1"):
        records.put([Write(group, "a", 1, record(group), offline=True)], now=0)
    records.keep_only("customers", "customers@2")
    left = [g for g in ("customers@1", "customers@2", "customers-2@1") if records.get(g, ["a"], 0)]
    assert left == ["customers@2", "customers-2@1"]
    assert len(records.waiting(10)) == 3


def test_threads_lose_no_write(records: Records) -> None:
    def put(start: int) -> None:
        for number in range(start, start + 100):
            records.put([write(str(number), number, offline=True)], now=0)

    threads = [threading.Thread(target=put, args=(start,)) for start in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records.identifiers(GROUP, "", 1000, 0, deleted=False)) == 800
    assert len(records.waiting(1000)[GROUP]) == 800


def test_more_rows_than_a_statement_takes_are_written_in_their_order_and_carried_off(records: Records) -> None:
    many = 1201
    rows = [write(f"{number % 601:04}", number, str(number), offline=True) for number in range(many)]
    records.put(rows, now=0)
    assert [value(records, f"{number:04}") for number in (0, 1, 599, 600)] == ["601", "602", "1200", "600"]
    waiting = records.waiting(2 * many)[GROUP]
    assert [row.event for row in waiting] == list(range(many))
    records.stored(waiting[:-1])
    assert [row.event for row in records.waiting(2 * many)[GROUP]] == [many - 1]
