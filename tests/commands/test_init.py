"""`mlplat init`: a project that works as it is, and nothing of anybody's that is overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from mlplat import output
from mlplat.commands.init import init
from mlplat.errors import MlplatError, UsageError
from mlplat.settings import load

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in an empty folder; errors come out as they were raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "mode", type(output.mode)())
    app = typer.Typer()
    app.command()(init)

    def invoke(*words: str) -> Result:
        result = CliRunner().invoke(app, list(words))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_project_works_as_it_is(run: Run, tmp_path: Path) -> None:
    result = run("shop")
    assert "hint: cd shop && mlplat apply" in result.stderr
    project = tmp_path / "shop"
    settings = load(config=project / "config", environ={})
    workload = settings.workloads["churn"]
    assert workload.source == project / "examples" / "churn"
    assert all(Path(place).is_relative_to(project) and Path(place).is_file() for place in workload.channels.values())
    assert (workload.source / "data" / "customers.csv").is_file()
    assert ".mlplat/" in (project / ".gitignore").read_text()
    assert not list(project.rglob("__pycache__"))


def test_a_second_time_there_is_nothing_to_do(run: Run, tmp_path: Path) -> None:
    first = json.loads(run("shop", "--json").stdout)
    before = snapshot(tmp_path)
    second = json.loads(run("shop", "--json").stdout)
    assert second["written"] == []
    assert sorted(second["kept"]) == sorted(first["written"]) == sorted(snapshot(tmp_path / "shop"))
    assert snapshot(tmp_path) == before


def test_it_joins_other_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".gitignore").write_text("*.log\n")
    assert "mlplat apply" in run(".").stderr
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / ".gitignore").read_text() == "*.log\n"
    assert (tmp_path / "config" / "default.toml").is_file()


def test_it_refuses_to_overwrite_and_then_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.toml").write_text("# mine")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match=r"these files are there and differ: config/default.toml$") as caught:
        run(".")
    assert caught.value.hint == "mlplat init . --force"
    assert snapshot(tmp_path) == before


def test_forced_it_overwrites_only_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.toml").write_text("# mine")
    (tmp_path / "config" / "mine.toml").write_text("# mine")
    run(".", "--force")
    assert load(config=tmp_path / "config", environ={}).workloads
    assert (tmp_path / "config" / "mine.toml").read_text() == "# mine"


def test_a_file_in_the_way_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("a file")
    with pytest.raises(MlplatError, match=r"writing a project to shop: .*(File exists|Not a directory)"):
        run("shop")
