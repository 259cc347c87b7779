"""Scores and shares of traffic, against scikit-learn and by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplat.aws import Session
from mlplat.errors import UsageError, WaitTimeout
from mlplat.workflows.traffic import Answer, Sent, auc, by_variant, rows_of, send


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]), st.booleans()), min_size=2, max_size=60))
def test_auc_is_scikit_learns(pairs: list[tuple[float, bool]]) -> None:
    from sklearn.metrics import roc_auc_score

    truth = [label for _, label in pairs]
    if len(set(truth)) == 1:
        assert auc(iter(pairs)) is None
    else:
        assert auc(iter(pairs)) == pytest.approx(roc_auc_score(truth, [score for score, _ in pairs]), abs=1e-4)


def sent(row: int, variant: str, body: str, label: str | None) -> Sent:
    return Sent(row, Answer(variant, body, "text/csv", 0.002), None, label)


def test_each_variant_has_its_share_and_auc() -> None:
    rows = [
        sent(1, "a", "0.9\n", "yes"),
        sent(2, "a", "0.1\n", "no"),
        sent(3, "a", "0.2", "no"),
        sent(4, "b", "x", "no"),
    ]
    first, second = by_variant(rows)
    assert (first["variant"], first["requests"], first["share"], first["auc"]) == ("a", 3, 0.75, 1.0)
    assert (second["variant"], second["share"], second["auc"]) == ("b", 0.25, None)


def test_the_label_is_taken_out_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('a,churn,b\n1,yes,"x,y"\n2,no,z\n')
    header, rows = rows_of(path, "churn")
    assert header == ["a", "b"]
    assert rows == [('1,"x,y"\n', "yes"), ("2,z\n", "no")]


def test_an_absent_label_is_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"rows.csv: it has no column churn; it has a, b"):
        rows_of(path, "churn")


def test_rows_are_not_sent_when_the_time_is_over() -> None:
    session = Session("development", "us-east-1")
    session._shared.late.set()  # as `Session.limited` does it
    entries = {"ml_model_serving.endpoint.churn": SimpleNamespace(outputs={"name": "e"})}
    platform: Any = SimpleNamespace(session=session, state=lambda: SimpleNamespace(entries=entries))
    found = send(platform, "churn", ["a"], [("1\n", None), ("2\n", None)])
    assert [each.row for each in found] == [1, 2]
    assert all(isinstance(each.error, WaitTimeout) and each.answer is None for each in found)
