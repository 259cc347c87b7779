"""Files into a feature group of the local cloud: every row is written, refused with its reason, or still to come."""

from __future__ import annotations

import io
import json
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.awsrequest import AWSResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.workflows.features.conftest import Group, Make

from mlplat.errors import ApiError, Interrupted, MlplatError, PermissionDenied, UsageError, WaitTimeout
from mlplat.workflows.features import ingest, writing
from mlplat.workflows.features.ingest import Ingested, Ingestion
from mlplat.workflows.features.sources import STDIN, Broken, sources

AT = "2026-01-01T00:00:00Z"


def people(count: int, start: int = 0) -> list[dict[str, str]]:
    return [
        {
            "id": str(number),
            "at": AT,
            "age": str(number % 90),
            "spend": f"{number}.5",
            "plan": "a" if number % 2 else "",
        }
        for number in range(start, start + count)
    ]


def as_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    rows = list(rows)
    lines = [",".join(rows[0]), *[",".join(map(str, row.values())) for row in rows]]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(group: Group, *paths: Path, kind: str | None = None, **options: Any) -> Ingested:
    made = Ingestion(group.platform, group.schema, sources(paths, kind), group.folder / "ingested")
    return made.run(refused_file=group.folder / "refused.jsonl", **options)


def refused(group: Group) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (group.folder / "refused.jsonl").read_text().splitlines()]


def written(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {row["id"]: {name: value for name, value in row.items() if value != ""} for row in rows}


def answering(group: Group, answer: Callable[[dict[str, Any]], tuple[int, dict[str, Any]] | None]) -> None:
    """Let `answer`, given the request's body, stand in for AWS's answer to BatchWriteRecord where it isn't None."""

    def before_send(request: Any, **_: Any) -> AWSResponse | None:
        found = answer(json.loads(request.body))
        if found is None:
            return None
        status, body = found
        raw = SimpleNamespace(stream=lambda: iter([json.dumps(body).encode()]), read=lambda: json.dumps(body).encode())
        headers = {"x-amzn-errortype": body["code"]} if "code" in body else {}
        return AWSResponse(request.url, status, headers, raw)

    client = group.platform.session.client("sagemaker-featurestore-runtime").boto
    client.meta.events.register("before-send.sagemaker-featurestore-runtime.BatchWriteRecord", before_send)


def test_what_is_written_is_what_was_in_the_file(people_group: Group) -> None:
    rows = people(120)
    done = run(people_group, as_csv(people_group.folder / "people.csv", rows))
    assert (done.written, done.refused, done.stopped) == (120, 0, None)
    assert people_group.records == written(rows)


def test_every_format_gives_the_same_records(make: Make) -> None:
    rows = people(60)
    typed = [{**row, "age": int(row["age"]), "spend": float(row["spend"]), "plan": row["plan"] or None} for row in rows]
    for suffix in ("csv", "jsonl", "parquet"):
        group = make()
        path = group.folder / f"{group.schema.name}.{suffix}"
        if suffix == "csv":
            as_csv(path, rows)
        elif suffix == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in typed))
        else:
            pq.write_table(pa.Table.from_pylist(typed), path)
        assert run(group, path).written == 60
        assert group.records == written(rows), suffix


def test_a_folder_is_all_its_files(people_group: Group) -> None:
    folder = people_group.folder / "data"
    (folder / "more").mkdir(parents=True)
    as_csv(folder / "one.csv", people(10))
    as_csv(folder / "more" / "two.csv", people(10, start=10))
    (folder / "README").write_text("not data")
    assert run(people_group, folder).written == 20
    assert len(people_group.records) == 20


def test_standard_input(people_group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(json.dumps(row) + "\n" for row in people(5))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert run(people_group, STDIN, kind="jsonl").written == 5


def test_the_second_time_nothing_is_sent(people_group: Group) -> None:
    sent: list[Any] = []
    answering(people_group, sent.append)
    path = as_csv(people_group.folder / "people.csv", people(50))
    run(people_group, path)
    before = len(sent)
    second = run(people_group, path)
    assert second.done_before is not None
    assert second.written == 50
    assert 0 < before == len(sent)
    assert run(people_group, path, again=True).done_before is None
    assert len(sent) == 2 * before


def test_a_wrong_type_is_named_by_row_and_column_and_all_else_is_written(people_group: Group) -> None:
    rows = people(5000)
    rows[4709]["age"] = "old"  # the header is line 1
    done = run(people_group, as_csv(people_group.folder / "people.csv", rows))
    assert (done.written, done.refused) == (4999, 1)
    only = refused(people_group)[0]
    assert only["mlplat:row"].endswith("people.csv:4711")
    assert only["mlplat:reason"] == "column age: 'old' is not Integral"
    assert only["id"] == "4709"
    assert people_group.records == written(rows[:4709] + rows[4710:])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_all_that_can_be_wrong_with_rows_at_once_under_throttling(people_group: Group, kind: str) -> None:
    """Each is named by row and column, nothing is dropped, and the counts add up."""
    chance, lock = random.Random(11), threading.Lock()

    def throttled(_body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        with lock:
            refuse = chance.random() < 0.2
        return (400, {"code": "ThrottlingException", "message": "Rate exceeded"}) if refuse else None

    answering(people_group, throttled)
    rows = people(5000)
    rows[4710]["age"] = "4711th"
    rows[11]["spend"] = "a lot"
    rows[12]["at"] = "yesterday"
    rows[13]["id"] = ""
    rows[99] = dict(rows[98])
    rows[2500]["age"] = str(2**63)
    path = people_group.folder / f"people.{kind}"
    if kind == "csv":
        as_csv(path, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    done = run(people_group, path)
    first = 2 if kind == "csv" else 1  # the header of CSV is line 1
    named = [(re.search(r"\d+$", each["mlplat:row"]), each["mlplat:reason"]) for each in refused(people_group)]
    reasons = {int(number[0]) - first: reason for number, reason in named if number}
    assert set(reasons) == {11, 12, 13, 99, 2500, 4710}
    assert {number: reason.split(":")[0] for number, reason in reasons.items()} == {
        11: "column spend", 12: "column at", 13: "column id", 99: "column id", 2500: "column age", 4710: "column age",
    }  # fmt: skip
    assert (done.written, done.refused, done.stopped) == (4994, 6, None)
    assert done.written + done.refused == len(rows)
    assert people_group.records == written(row for number, row in enumerate(rows) if number not in reasons)


def test_refused_rows_can_be_mended_and_ingested(people_group: Group) -> None:
    rows = people(30)
    rows[3]["age"] = "old"
    run(people_group, as_csv(people_group.folder / "people.csv", rows))
    mended = people_group.folder / "mended.jsonl"
    mended.write_text((people_group.folder / "refused.jsonl").read_text().replace('"old"', '"3"'))
    assert run(people_group, mended).written == 1
    assert people_group.records == written(people(30))


def test_rows_without_an_event_time_get_one_stamp(people_group: Group) -> None:
    rows = [{name: value for name, value in row.items() if name != "at"} for row in people(30)]
    assert run(people_group, as_csv(people_group.folder / "people.csv", rows)).written == 30
    assert len({record["at"] for record in people_group.records.values()}) == 1


def test_the_same_key_twice_is_refused_where_it_comes_again(people_group: Group) -> None:
    rows = [*people(40), {**people(1)[0], "age": "99"}, {**people(1)[0], "at": "2026-01-02T00:00:00Z"}]
    done = run(people_group, as_csv(people_group.folder / "people.csv", rows))
    assert (done.written, done.refused) == (41, 1)
    assert f"column id: '0' at at {AT} is in {people_group.folder}/people.csv:2 already" in str(refused(people_group))
    assert people_group.records["0"]["at"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("id,at,age,spend,plna", "has no column plan (nearest: plna); --missing-as-null takes it as empty"),
        ("id,at,age,spend,plan,colour", "has a column that the feature group lacks: colour"),
        ("at,age,spend,plan", "has no column id"),
        ("id,at,age,spend,plan,age", "has more than one column age"),
        ("", "is empty"),
    ],
)
def test_wrong_columns_stop_before_anything_is_written(people_group: Group, columns: str, said: str) -> None:
    good = as_csv(people_group.folder / "1.csv", people(60))
    bad = people_group.folder / "2.csv"
    bad.write_text(f"{columns}\n" if columns else "")
    with pytest.raises(UsageError, match=said.replace("(", r"\(").replace(")", r"\)")) as told:
        run(people_group, good, bad)
    assert str(bad) in told.value.message
    assert not people_group.records


def test_missing_columns_can_be_nulls(people_group: Group) -> None:
    path = people_group.folder / "people.csv"
    path.write_text(f"id,at\n1,{AT}\n")
    assert run(people_group, path, lenient=True).written == 1
    assert people_group.records == {"1": {"id": "1", "at": AT}}


def test_rows_of_another_length_are_refused(people_group: Group) -> None:
    path = people_group.folder / "people.csv"
    path.write_text(f"id,at,age,spend,plan\n1,{AT},1,1,a\n2,{AT},1\n\n3,{AT},1,1,a,b\n4,{AT},1,1,a\n")
    done = run(people_group, path)
    assert (done.written, done.refused) == (2, 2)
    assert [each["mlplat:reason"] for each in refused(people_group)] == [
        "it has 3 values under 5 columns",
        "it has 6 values under 5 columns",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("people.jsonl", b'{"id": "1", "at": "2026-01-01T00:00:00Z"}\n{"id": \n', "people.jsonl:2: it is not JSON"),
        (
            "people.jsonl",
            b'{"id": "1", "at": "2026-01-01T00:00:00Z"}\n[1]\n',
            "people.jsonl:2: it is not a JSON object",
        ),
        ("people.csv", b'id,at,age,spend,plan\n1,2026-01-01T00:00:00Z,1,1,a\n"2"x,b\n', "people.csv:3: it is not CSV"),
        ("people.csv", b"id,at,age,spend,plan\n" + b"1,2026-01-01T00:00:00Z,1,1,a\n\xff", "not UTF-8"),
    ],
)
def test_a_file_that_breaks_off_says_where(people_group: Group, name: str, content: bytes, said: str) -> None:
    path = people_group.folder / name
    path.write_bytes(content)
    try:
        done = run(people_group, path)
    except Broken as error:
        assert said in error.message
    else:
        assert done.stopped is not None
        assert said in done.stopped.message


def test_a_damaged_parquet_file_says_so(people_group: Group) -> None:
    path = people_group.folder / "people.parquet"
    pq.write_table(pa.Table.from_pylist(people(4000)), path, row_group_size=1000, compression="none")
    whole = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(2).column(0)
    whole[group.data_page_offset : group.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(whole)
    done = run(people_group, path)
    assert done.stopped is not None
    assert "the Parquet file is damaged" in done.stopped.message
    assert done.written == len(people_group.records)
    path.write_bytes(whole[:500])
    with pytest.raises(UsageError, match="not a Parquet file, or it is damaged"):
        run(people_group, path)


def test_throttling_at_a_fifth_of_the_calls_and_entries_loses_nothing(
    people_group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, lock = random.Random(7), threading.Lock()

    def sometimes(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        with lock:
            draw = chance.random()
        entries = body["Entries"]
        if draw < 0.1:
            return 400, {"code": "ThrottlingException", "message": "Rate exceeded"}
        if draw < 0.2:
            error = {"Entry": entries[0], "ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
            return 200, {"Errors": [error], "UnprocessedEntries": entries[1:]}
        return None

    answering(people_group, sometimes)
    rows = people(2000)
    done = run(people_group, as_csv(people_group.folder / "people.csv", rows))
    assert (done.written, done.refused, done.stopped) == (2000, 0, None)
    assert people_group.records == written(rows)


def test_what_aws_refuses_is_refused_alone(people_group: Group) -> None:
    def picky(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        ids = [entry["Record"][0]["ValueAsString"] for entry in body["Entries"]]
        if "13" in ids:
            return 400, {"code": "ValidationError", "message": "13 is unlucky"}
        if "17" in ids:
            error = {"Entry": body["Entries"][ids.index("17")], "ErrorCode": "ValidationError", "ErrorMessage": "no"}
            return 200, {"Errors": [error], "UnprocessedEntries": []}
        return None

    answering(people_group, picky)
    done = run(people_group, as_csv(people_group.folder / "people.csv", people(60)))
    assert (done.written, done.refused) == (58, 2)
    assert {each["id"]: each["mlplat:reason"] for each in refused(people_group)} == {
        "13": "ValidationError: 13 is unlucky",
        "17": "ValidationError: no",
    }


@pytest.mark.parametrize("whole", [True, False])
def test_a_missing_permission_ends_it_and_nothing_is_lost(people_group: Group, whole: bool) -> None:
    calls: list[int] = []
    allowed = range(10, sys.maxsize)

    def forbidding(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        calls.append(1)
        if len(calls) not in allowed:
            return None
        if whole:
            return 403, {"code": "AccessForbidden", "message": "not you"}
        error = {"Entry": body["Entries"][0], "ErrorCode": "AccessForbidden", "ErrorMessage": "not you"}
        return 200, {"Errors": [error], "UnprocessedEntries": []}

    answering(people_group, forbidding)
    path = as_csv(people_group.folder / "people.csv", people(2000))
    done = run(people_group, path, parallel=2)
    assert isinstance(done.stopped, PermissionDenied)
    assert len(calls) < 20
    allowed = range(0)
    again = run(people_group, path)
    assert again.earlier > 0
    assert again.written == 2000
    assert people_group.records == written(people(2000))


def test_no_answer_is_asked_again(people_group: Group) -> None:
    calls: list[int] = []

    def failing(_body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        calls.append(1)
        return (500, {"code": "InternalFailure", "message": "oops"}) if len(calls) == 2 else None

    answering(people_group, failing)
    assert run(people_group, as_csv(people_group.folder / "people.csv", people(100))).written == 100


def test_records_that_are_never_taken_end_it(people_group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PATIENCE", 0.2)
    answering(people_group, lambda body: (200, {"Errors": [], "UnprocessedEntries": body["Entries"]}))
    with pytest.raises(ApiError, match="no record is taken"):
        run(people_group, as_csv(people_group.folder / "people.csv", people(30)))


@pytest.mark.parametrize("save_every", [0.0, 3600.0])
def test_a_run_that_dies_is_gone_on_with(
    people_group: Group, monkeypatch: pytest.MonkeyPatch, save_every: float
) -> None:
    monkeypatch.setattr(ingest, "SAVE_EVERY", save_every)
    rows = people(1000)
    rows[7]["age"] = rows[900]["age"] = "old"
    rows.append(rows[0])
    path = as_csv(people_group.folder / "people.csv", rows)
    calls: list[int] = []

    class Killed(BaseException):
        pass

    def dying(_body: dict[str, Any]) -> None:
        calls.append(1)
        if len(calls) == 15:
            raise Killed

    answering(people_group, dying)
    monkeypatch.setattr(ingest._Flight, "save", _unless(ingest._Flight.save, lambda: len(calls) >= 15))
    with pytest.raises(Killed):
        run(people_group, path, parallel=2)
    monkeypatch.undo()
    done = run(people_group, path)
    assert (done.written, done.refused) == (998, 3)
    assert [each["mlplat:row"].rsplit(":", 1)[1] for each in refused(people_group)] == ["9", "902", "1002"]
    assert people_group.records == written(row for row in rows if row["age"] != "old")


def _unless(method: Callable[..., None], dead: Callable[[], bool]) -> Callable[..., None]:
    return lambda self: None if dead() else method(self)


def test_ctrl_c_finishes_what_is_in_flight(people_group: Group) -> None:
    calls: list[int] = []

    def pressing(_body: dict[str, Any]) -> None:
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)

    answering(people_group, pressing)
    path = as_csv(people_group.folder / "people.csv", people(3000))
    done = run(people_group, path, parallel=2)
    assert isinstance(done.stopped, Interrupted)
    assert done.written == len(people_group.records) < 3000
    done = run(people_group, path)
    assert done.written == 3000
    assert done.earlier > 0


def test_what_a_free_thread_takes_while_the_rest_is_cancelled_counts(
    people_group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    cancel = Future.cancel

    def slowly(future: Future[Any]) -> bool:
        if done := cancel(future):
            time.sleep(0.05)  # long enough for a thread to take another batch
        return done

    def pressing(_body: dict[str, Any]) -> None:
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Future, "cancel", slowly)
    answering(people_group, pressing)
    done = run(people_group, as_csv(people_group.folder / "people.csv", people(3000)), parallel=2)
    assert isinstance(done.stopped, Interrupted)
    assert done.written == len(people_group.records) < 3000


def test_when_its_time_is_over_the_same_command_goes_on(people_group: Group) -> None:
    session, calls = people_group.platform.session, list[int]()

    def late(_body: dict[str, Any]) -> None:
        calls.append(1)
        if len(calls) == 5:  # as `Session.limited` does it
            session._shared.late.set()
            session.cancelled.set()

    answering(people_group, late)
    path = as_csv(people_group.folder / "people.csv", people(3000))
    done = run(people_group, path, parallel=2)
    assert isinstance(done.stopped, WaitTimeout)
    assert done.written == len(people_group.records) < 3000
    session._shared.late.clear()
    session.cancelled.clear()
    done = run(people_group, path)
    assert (done.written, done.stopped) == (3000, None)


def test_collections(make: Make) -> None:
    features = {
        "id": "String",
        "at": "String",
        "likes": {"FeatureType": "String", "CollectionType": "List"},
        "place": {
            "FeatureType": "Fractional",
            "CollectionType": "Vector",
            "CollectionConfig": {"VectorConfig": {"Dimension": 2}},
        },
    }
    group = make(features)
    path = group.folder / "people.jsonl"
    path.write_text(json.dumps({"id": "1", "at": AT, "likes": ["a", "b"], "place": [1.5, 2]}) + "\n")
    assert run(group, path).written == 1
    record = group.runtime.get_record(FeatureGroupName=group.schema.name, RecordIdentifierValueAsString="1")["Record"]
    assert record[2:] == [
        {"FeatureName": "likes", "ValueAsStringList": ["a", "b"]},
        {"FeatureName": "place", "ValueAsStringList": ["1.5", "2"]},
    ]


WRONG = st.sampled_from(["fine", "fine", "fine", "type", "key", "id", "again"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WRONG, min_size=1, max_size=120), st.integers(1, 4))
def test_counts_add_up_whatever_the_rows_are(people_group: Group, sorts: list[str], parallel: int) -> None:
    rows = people(len(sorts))
    for number, sort in enumerate(sorts):
        rows[number] |= {"type": {"age": "x"}, "id": {"id": ""}, "again": {"id": "0"}}.get(sort, {})
    path = as_csv(people_group.folder / "people.csv", rows)
    done = run(people_group, path, parallel=parallel, again=True)
    assert done.written + done.refused == len(rows)
    expected = [row for row in rows if row["id"] and row["age"] != "x"]
    assert done.written == len({row["id"] for row in expected})


def test_an_error_of_another_kind_is_told_when_nothing_was_written(people_group: Group) -> None:
    answering(people_group, lambda _body: (400, {"code": "ResourceNotFound", "message": "gone"}))
    with pytest.raises(MlplatError, match="ResourceNotFound: gone"):
        run(people_group, as_csv(people_group.folder / "people.csv", people(30)))
