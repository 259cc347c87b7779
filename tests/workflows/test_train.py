"""Which workload is meant."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlplat.aws import Session
from mlplat.errors import UsageError
from mlplat.reconciler.state import Store
from mlplat.settings import Settings
from mlplat.workflows import registry, train
from mlplat.workflows.platform import Platform
from mlplat.workflows.train import workload_of

SPEC: dict[str, Any] = {
    "source": Path("/somewhere"),
    "image": "scikit-learn:1.2-1",
    "model_package_group": "models",
    "channels": {"train": "s3://bucket/train.csv"},
}


def platform(folder: Path, *workloads: str) -> Platform:
    settings = Settings(workloads=dict.fromkeys(workloads, SPEC))
    return Platform(settings, Session("development", "us-east-1"), Store(folder, "development"))


def test_a_workload_is_meant_by_its_name(tmp_path: Path) -> None:
    some = platform(tmp_path, "churn", "fraud")
    assert workload_of(some, "fraud") == ("fraud", some.settings.workloads["fraud"])


def test_the_only_workload_needs_no_name(tmp_path: Path) -> None:
    assert workload_of(platform(tmp_path, "churn"), None)[0] == "churn"


@pytest.mark.parametrize(
    ("workloads", "name", "told", "hint"),
    [
        (("fraud", "x"), "frud", "unknown workload 'frud': the configuration has fraud, x", "mlplat train fraud"),
        (("churn",), "chrun", "unknown workload 'chrun': the configuration has churn", "mlplat train churn"),
        (("churn", "fraud"), "", "unknown workload '': the configuration has churn, fraud", "mlplat train churn"),
        (("churn", "fraud"), None, "which workload? The configuration has churn, fraud", "mlplat train churn"),
        ((), None, "which workload? The configuration has none", "mlplat config keys"),
    ],
)  # fmt: skip
def test_what_there_is_is_listed(
    tmp_path: Path, workloads: tuple[str, ...], name: str | None, told: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        workload_of(platform(tmp_path, *workloads), name)
    assert (caught.value.message, caught.value.hint) == (told, hint)


class Answers:
    """A session that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = list[str]()

    def client(self, service: str) -> Any:
        return self

    def create_training_job(self, **request: Any) -> None:
        self.sent.append(request["TrainingJobName"])


def submitted(
    monkeypatch: pytest.MonkeyPatch, status: str | None, *, model: bool
) -> tuple[list[str], tuple[str, bool]]:
    answers = Answers()
    place = SimpleNamespace(name=lambda *_parts, limit: "base")
    monkeypatch.setattr(train, "latest_attempt", lambda _platform, base: (base, status))
    monkeypatch.setattr(train, "has_model", lambda _platform, _job: model)
    monkeypatch.setattr(train, "training_request", lambda _platform, _inputs, name: {"TrainingJobName": name})
    inputs = SimpleNamespace(workload="churn", digest="0")
    found = train.submit(SimpleNamespace(place=place, session=answers), inputs)  # type: ignore[arg-type]
    return answers.sent, found


@pytest.mark.parametrize("status", ["InProgress", "Stopping", "Completed"])
def test_the_same_training_is_joined(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    assert submitted(monkeypatch, status, model=True) == ([], ("base", False))


def test_a_training_whose_model_is_gone_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert submitted(monkeypatch, "Completed", model=False) == (["base-r2"], ("base-r2", True))


@pytest.mark.parametrize(("served_on", "image"), [("ml.m5.large", "cpu"), ("ml.g5.xlarge", "gpu")])
def test_the_image_of_a_version_suits_what_it_will_be_served_on(
    monkeypatch: pytest.MonkeyPatch, served_on: str, image: str
) -> None:
    spec = {**SPEC, "image": "pytorch:2.6.0"}
    settings = Settings(workloads={"net": spec}, endpoints={"net": {"workload": "net", "instance_type": served_on}})
    platform = SimpleNamespace(settings=settings, session=Session("d", "us-east-1"), output=lambda *_: "group")
    registered = list[Any]()
    monkeypatch.setattr(registry, "register", lambda *args: registered.append(args))
    train.register(platform, "net", settings.workloads["net"], {"model": "m", "job": "j", "metrics": {}})  # type: ignore[arg-type]
    assert image in registered[0][2]["Image"]
