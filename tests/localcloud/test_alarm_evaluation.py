"""What an alarm says of its data: AWS's tables, statistics and expressions, without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mlplat.localcloud.cloudwatch import expressions
from mlplat.localcloud.cloudwatch.composite import Rule
from mlplat.localcloud.cloudwatch.evaluation import Terms, reason, state
from mlplat.localcloud.cloudwatch.expressions import Unsupported
from mlplat.localcloud.cloudwatch.series import Data, key

END = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def values(text: str) -> list[float | None]:
    """`0 - X`: within the threshold, missing, beyond it."""
    return [{"0": 0.0, "X": 9.0, "-": None}[each] for each in text.split()]


def terms(wanted: int, periods: int, missing: str) -> Terms:
    return Terms("GreaterThanThreshold", 5.0, periods, wanted, missing)


RETAIN = "as before"
TREATED = ("missing", "ignore", "breaching", "notBreaching")


@pytest.mark.parametrize(
    ("wanted", "text", "states"),
    [
        (3, "0 - X - X", ("OK", "OK", "OK", "OK")),
        (3, "- - - - 0", ("OK", "OK", "OK", "OK")),
        (3, "- - - - -", ("INSUFFICIENT_DATA", RETAIN, "ALARM", "OK")),
        (3, "0 X X - X", ("ALARM", "ALARM", "ALARM", "ALARM")),
        (3, "- - X - -", ("ALARM", RETAIN, "ALARM", "OK")),
        (2, "0 - X - X", ("ALARM", "ALARM", "ALARM", "ALARM")),
        (2, "0 0 X 0 X", ("ALARM", "ALARM", "ALARM", "ALARM")),
        (2, "0 - X - -", ("OK", "OK", "ALARM", "OK")),
        (2, "- - - - 0", ("OK", "OK", "ALARM", "OK")),
        (2, "- - - X -", ("ALARM", RETAIN, "ALARM", "OK")),
    ],
)
def test_missing_data_as_in_the_user_guide(wanted: int, text: str, states: tuple[str, ...]) -> None:
    for treated, expected in zip(TREATED, states, strict=True):
        for before in ("OK", "ALARM", "INSUFFICIENT_DATA"):
            found = state(terms(wanted, 3, treated), values(text), before)
            assert found == (before if expected == RETAIN else expected), (treated, before)


def test_an_alarm_does_not_go_off_too_early() -> None:
    assert state(terms(3, 3, "missing"), values("- - - - X"), "INSUFFICIENT_DATA") == "INSUFFICIENT_DATA"
    assert state(terms(3, 3, "missing"), values("- - - X X"), "INSUFFICIENT_DATA") == "INSUFFICIENT_DATA"
    assert state(terms(3, 3, "missing"), values("- - X X X"), "INSUFFICIENT_DATA") == "ALARM"


@pytest.mark.parametrize(
    ("comparison", "value", "breach"),
    [
        ("GreaterThanThreshold", 5.0, False),
        ("GreaterThanOrEqualToThreshold", 5.0, True),
        ("LessThanThreshold", 5.0, False),
        ("LessThanOrEqualToThreshold", 5.0, True),
        ("LessThanThreshold", 4.9, True),
    ],
)
def test_comparisons(comparison: str, value: float, breach: bool) -> None:
    assert Terms(comparison, 5.0, 1, 1).breaches(value) is breach


def test_the_reason_is_in_awss_words() -> None:
    found = reason(terms(1, 1, "missing"), [None, None, 9.0], END, 60, "ALARM")
    assert found == (
        "Threshold Crossed: 1 out of the last 1 datapoint [9.0 (01/05/24 11:59:00)] was greater than the threshold "
        "(5.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    found = reason(terms(2, 3, "missing"), values("- - 0 0 X"), END, 60, "OK")
    assert found.startswith("Threshold Crossed: 2 out of the last 3 datapoints [0.0 (01/05/24 11:57:00), ")
    assert "were not greater than" in found and "(minimum 2 datapoints for ALARM -> OK transition)" in found
    assert reason(terms(1, 3, "missing"), [None] * 5, END, 60, "INSUFFICIENT_DATA") == (
        "Insufficient Data: 3 datapoints were unknown."
    )
    assert "treated as [Breaching]" in reason(terms(1, 1, "breaching"), [None] * 3, END, 60, "ALARM")


def datum(minutes: float, value: float, name: str = "Errors", unit: str | None = None, **dimensions: str) -> Any:
    """moto's datum, so many minutes before the end."""
    time = (END - timedelta(minutes=minutes)).replace(tzinfo=None)
    named = [SimpleNamespace(name=k, value=v) for k, v in dimensions.items()]
    return SimpleNamespace(namespace="N", name=name, dimensions=named, timestamp=time, value=value, unit=unit)


def read(source: list[Any]) -> Data:
    data = Data()
    data.take(source, END - timedelta(1))
    return data


def test_data_is_read_once_and_forgotten_in_time() -> None:
    data, source, errors = Data(), [datum(30, 1.0)], key("N", "Errors", [])
    data.take(source, END - timedelta(hours=1))
    source.append(datum(1, 2.0))
    data.take(source, END - timedelta(minutes=5))
    assert data.read == 2
    assert data.values(errors, "Sum", None, END, 3600, 1) == [2.0]
    data.take(source, END - timedelta(hours=1))
    assert data.values(errors, "Sum", None, END, 3600, 1) == [3.0]


def test_statistics_of_periods() -> None:
    data = read([datum(1.5, 4.0), datum(1.2, 6.0), datum(0.5, 1.0), datum(0.4, 100.0, other="x")])
    errors = key("N", "Errors", [])
    for stat, expected in {
        "Sum": [None, 10.0, 1.0],
        "Average": [None, 5.0, 1.0],
        "Minimum": [None, 4.0, 1.0],
        "Maximum": [None, 6.0, 1.0],
        "SampleCount": [None, 2.0, 1.0],
        "p50": [None, 5.0, 1.0],
        "p100": [None, 6.0, 1.0],
    }.items():
        assert data.values(errors, stat, None, END, 60, 3) == expected, stat
    assert data.values(errors, "Sum", "Count", END, 60, 3) == [None, None, None]


def test_statistic_sets_count_as_many() -> None:
    time = (END - timedelta(seconds=30)).replace(tzinfo=None)
    of_ten = SimpleNamespace(
        namespace="N",
        name="Errors",
        dimensions=[],
        timestamp=time,
        unit=None,
        sample_count=10,
        sum=20.0,
        min=1.0,
        max=5.0,
    )
    data = read([of_ten, datum(0.2, 0.0)])
    errors = key("N", "Errors", [])
    assert data.values(errors, "Average", None, END, 60, 1) == [20.0 / 11]
    assert data.values(errors, "Maximum", None, END, 60, 1) == [5.0]
    assert data.values(errors, "p90", None, END, 60, 1) == [None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("errors / requests * 100", [10.0, None, None]),
        ("FILL(errors, 0) / requests", [0.1, 0.0, None]),
        ("FILL(errors, REPEAT)", [1.0, 1.0, 3.0]),
        ("IF(requests > 5, errors, 0)", [1.0, None, 0.0]),
        ("SUM([errors, requests])", [11.0, 20.0, 3.0]),
        ("MAX(requests)", [20.0, 20.0, 20.0]),
        ("-errors ^ 2", [-1.0, None, -9.0]),
        ("requests > 5 AND requests < 15", [1.0, 0.0, 0.0]),
        ("requests < 5 OR requests > 15", [0.0, 1.0, 1.0]),
        ("RATE(requests)", [None, 10 / 60, -20 / 60]),
        ("DIFF(requests)", [None, 10.0, -20.0]),
        ("errors / 0", [None, None, None]),
    ],
)
def test_metric_math(text: str, expected: list[float | None]) -> None:
    series: dict[str, list[float | None]] = {"errors": [1.0, None, 3.0], "requests": [10.0, 20.0, 0.0]}
    found = expressions.evaluate(expressions.parse(text), series, 3, 60)
    assert found == [None if each is None else pytest.approx(each) for each in expected]


@pytest.mark.parametrize(
    "text",
    [
        "SEARCH('{N} x', 'Sum')",
        "__import__('os')",
        "m1.real",
        "m1 +",
        "SELECT AVG(x) FROM y",
        "IF(m1)",
        "m1[0]",
        "'a'",
        "~m1",
    ],
)
def test_what_cannot_be_evaluated_is_said(text: str) -> None:
    with pytest.raises(Unsupported):
        expressions.parse(text)


def test_rules_of_composite_alarms() -> None:
    states = {"a": "ALARM", "b-1": "OK", "c d": "INSUFFICIENT_DATA"}
    for text, holds in {
        'ALARM("a")': True,
        "ALARM(a) AND NOT OK(b-1)": False,
        'ALARM(a) AND (OK("b-1") OR FALSE)': True,
        'INSUFFICIENT_DATA("c d")': True,
        'ALARM("arn:aws:cloudwatch:us-east-1:123456789012:alarm:a")': True,
        "NOT TRUE": False,
    }.items():
        assert Rule(text).holds(states.__getitem__) is holds, text
    with pytest.raises(Unsupported):
        Rule("ALARM(a) AND").holds(states.__getitem__)
    with pytest.raises(Unsupported):
        Rule("a.b").holds(states.__getitem__)
