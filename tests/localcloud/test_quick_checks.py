"""The quick look at a request agrees with the thorough one, for every service that is checked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import get_session

from mlplat.localcloud.validation.constraints import Constraints, Fault

SERVICES = ("cloudwatch", "sagemaker", "sagemaker-featurestore-runtime", "glue", "iam", "logs", "kms")


def inputs(service: str, chance: random.Random) -> Iterator[tuple[Any, Any]]:
    """Some operations' input shapes, each with values that may break every one of their constraints."""
    model = get_session().get_service_model(service)
    for name in chance.choices(model.operation_names, k=12):
        shape = model.operation_model(name).input_shape
        for _ in range(6 if shape is not None else 0):
            yield shape, made(shape, chance, 4)


def made(shape: Any, chance: random.Random, depth: int) -> Any:
    kind = shape.type_name
    if chance.random() < 0.03:
        return None
    if kind == "structure":
        members = shape.members if depth else {}
        return {name: made(each, chance, depth - 1) for name, each in members.items() if chance.random() < 0.7}
    if kind == "list":
        return [made(shape.member, chance, depth - 1) for _ in range(chance.randrange(3) if depth else 0)]
    if kind == "map":
        count = chance.randrange(3) if depth else 0
        return {made(shape.key, chance, 0) or "k": made(shape.value, chance, depth - 1) for _ in range(count)}
    if kind == "string":
        return chance.choice([*(shape.enum or ()), "a", "arn:aws:iam::123456789012:role/r", "a-1", "", "!", "x" * 3000])
    return chance.choice([0, 1, 7, 10**6, True, 0.5])


@pytest.mark.parametrize("service", SERVICES)
def test_quick_and_thorough_agree(service: str) -> None:
    chance, broken, checked = random.Random(service), 0, Constraints()  # the same values every time
    for shape, value in inputs(service, chance):
        fine, check, faults = checked._quick.of(shape), checked._check(shape), list[Fault]()
        if check is not None:
            check(value, (), faults)
        assert (fine is None or fine(value)) is (not faults), (shape.name, value, faults[:1])
        broken += bool(faults)
    assert broken


def test_an_empty_list_of_texts_is_fine() -> None:
    shape = get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape
    fine = Constraints()._quick.of(shape)
    given = {"AlarmName": "a", "AlarmActions": [], "EvaluationPeriods": 1, "ComparisonOperator": "LessThanThreshold"}
    assert fine is not None
    assert fine(given)
    assert not fine({**given, "AlarmActions": [""]})
