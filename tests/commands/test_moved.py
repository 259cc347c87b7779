"""`[[moved]]` in the configuration: a renamed feature group, empty and with data in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.commands.shell import FREE, Shell, shells

from mlplat import output

GROUP = "ml_feature_store.feature_group"
NAMES = """[feature_groups.{}]
record_identifier = "id"
event_time = "at"
offline = false
[feature_groups.{}.features]
id = "String"
at = "String"
"""
MOVED = f'[[moved]]\nfrom = "{GROUP}.plans"\nto = "{GROUP}.tariffs"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from shells(tmp_path_factory.mktemp("moved"))


@pytest.fixture(autouse=True)
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.mode, "json", False)


def group(name: str) -> str:
    return NAMES.format(name, name)


def test_what_would_get_another_name_is_replaced_only_without_data(folder: Path) -> None:
    shell = Shell(folder, "moved")
    shell.configure(FREE + group("plans"))
    shell.run("apply", "--target", f"{GROUP}.plans")
    shell.configure(FREE + group("tariffs") + MOVED)
    error = shell.refused("plan", "--target", f"{GROUP}.tariffs")
    assert (
        f"moved from {GROUP}.plans: its name would change from mlplat-moved-plans to mlplat-moved-tariffs"
        in error.message
    )
    assert error.hint == "mlplat config show moved --namespace moved"
    assert f"{GROUP}.plans" in shell.json("outputs")

    shell.configure(FREE + group("tariffs") + group("plans") + MOVED)
    error = shell.refused("plan")
    assert f"moved.toml:19: moved.0.from: {GROUP}.plans is still declared" in error.message
    shell.configure(FREE + group("other") + MOVED)
    error = shell.refused("plan")
    assert f"moved.0.to: {GROUP}.tariffs is not declared, and {GROUP}.plans would be deleted" in error.message
