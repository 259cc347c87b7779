"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.resources.contract import KindContract

import mlplat.resources
from mlplat.resources.base import KINDS, Resource

ROOT = Path(__file__).parent.parent


def kinds_in_contracts(folder: Path) -> set[str]:
    """The classes that subclasses of KindContract in a folder say they desire: `def desired(self, world) -> Bucket`."""
    contracts = [
        each
        for path in folder.glob("test_*.py")
        for each in classes_in(path)
        if KindContract.__name__ in names(each.bases)
    ]
    methods = [method for each in contracts for method in each.body if isinstance(method, ast.FunctionDef)]
    return {name for method in methods if method.name == "desired" for name in names([method.returns])}


def names(nodes: Sequence[ast.expr | None]) -> list[str]:
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def modules() -> Iterator[Path]:
    yield from sorted((ROOT / "src/mlplat").rglob("*.py"))


def classes_in(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_goes_through_the_contract(name: str) -> None:
    folder = ROOT / "tests/resources" / KINDS[name].__module__.split(".")[-2]
    assert KINDS[name].__name__ in kinds_in_contracts(folder), (
        f"no subclass of KindContract in {folder} is about {name}"
    )


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_kind_has_a_file_of_its_own_and_an_import_line(name: str) -> None:
    kind = KINDS[name]
    module = importlib.import_module(kind.__module__)
    in_file = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    assert [each for each in in_file if issubclass(each, Resource)] == [kind]
    assert kind.__module__.count(".") == 3, "a kind stands in resources/<service>/<kind>.py"
    assert getattr(mlplat.resources, kind.__name__) is kind


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_kind_says_what_aws_makes_special_about_it(name: str) -> None:
    assert len(inspect.cleandoc(KINDS[name].__doc__ or "").splitlines()) >= 3


def test_kinds_do_not_import_each_other() -> None:
    homes = {kind.__module__ for kind in KINDS.values()}
    for kind in KINDS.values():
        tree = ast.parse(Path(inspect.getfile(kind)).read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not imported & (homes - {kind.__module__})
        assert "mlplat.resources" not in imported


def test_every_kind_names_fields_that_it_has() -> None:
    for kind in KINDS.values():
        assert kind.create_only <= kind.__dataclass_fields__.keys(), kind.kind
        assert not kind.immutable & kind.create_only, kind.kind


def test_no_module_is_called_after_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not [path for path in modules() if nothing & {path.stem, path.parent.name}]


def test_no_file_is_longer_than_a_person_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): count for path in modules() if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_only_the_local_cloud_knows_that_there_is_one() -> None:
    """The product asks AWS; whether moto answers is none of its business."""
    outside = [path for path in modules() if "localcloud" not in path.parts]
    for path in outside:
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert "moto" not in names, path


def test_templates_and_kinds_are_loaded_without_boto3() -> None:
    code = "import sys, mlplat.templates; print(*({'boto3', 'botocore', 'pydantic'} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
