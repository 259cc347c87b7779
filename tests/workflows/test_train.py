"""Which workload is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlplat.aws import Session
from mlplat.errors import UsageError
from mlplat.reconciler.state import Store
from mlplat.settings import Settings
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
        ((), None, "which workload? The configuration has none", "mlplat train NAME"),
    ],
)  # fmt: skip
def test_what_there_is_is_listed(
    tmp_path: Path, workloads: tuple[str, ...], name: str | None, told: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        workload_of(platform(tmp_path, *workloads), name)
    assert (caught.value.message, caught.value.hint) == (told, hint)
