"""What ships, what reading settings rests on, and what it may cost."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplat.settings import Settings, load, packaged_project
from mlplat.settings.layers import key_lines
from mlplat.settings.limits import botocore_data, instance_types, regions
from mlplat.settings.problems import nearest

CONFIG = packaged_project() / "config"


@pytest.mark.parametrize("namespace", ["development", "production"])
def test_what_ships_is_valid(namespace: str) -> None:
    settings = load(namespace=namespace, environ={}, config=CONFIG)
    assert settings.namespace == namespace
    assert settings.target == {"development": "local", "production": "aws"}[namespace]
    assert settings.approval.required is (namespace == "production")


def test_default_toml_says_what_is_built_in_and_leaves_no_key_out() -> None:
    written = tomllib.loads((CONFIG / "default.toml").read_text())
    built_in = Settings().model_dump(exclude_none=True)
    for name, value in built_in.items():
        if name in ("feature_groups", "transformations", "workloads", "endpoints", "moved"):
            continue
        assert written.get(name) == value, name


def test_the_files_of_the_example_exist() -> None:
    workload = load(environ={}, config=CONFIG).workloads["churn"]
    assert (workload.source / workload.entry_point).is_file()
    assert (workload.source / workload.inference_entry_point).is_file()
    assert all(Path(place).is_file() for place in workload.channels.values())


def test_an_empty_folder_is_served_by_what_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).directory == CONFIG
    (tmp_path / "config").mkdir()
    assert load(environ={}).directory == CONFIG, "a config folder of somebody else's is not ours"
    (tmp_path / "config" / "default.toml").write_text('namespace = "mine"')
    (tmp_path / "config" / "mine.toml").write_text("")
    settings = load(environ={})
    assert (settings.directory, settings.namespace) == (tmp_path / "config", "mine")
    assert settings.network == Settings().network


def test_instance_types_and_regions_are_botocores() -> None:
    import boto3

    shapes = boto3.client("sagemaker", region_name="us-east-1").meta.service_model
    for shape in ("TrainingInstanceType", "ProductionVariantInstanceType"):
        assert list(instance_types(shape)) == shapes.shape_for(shape).enum
    session = boto3.Session()
    known = {name for part in session.get_available_partitions() for name in session.get_available_regions("s3", part)}
    assert known <= set(regions())


def test_a_shape_is_found_in_an_unpacked_model_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"a": {"shape": "T"}, "T": {"type": "string", "enum": ["ml.x.large"]}}
    for name, packed in (
        ("2017-07-24", json.dumps(model, indent=1).encode()),
        ("2030-01-01", gzip.compress(json.dumps(model).encode())),
    ):
        folder = tmp_path / "sagemaker" / name
        folder.mkdir(parents=True)
        (folder / ("service-2.json.gz" if packed[:2] == b"\x1f\x8b" else "service-2.json")).write_bytes(packed)
        monkeypatch.setattr("mlplat.settings.limits.botocore_data", lambda: tmp_path)
        instance_types.cache_clear()
        assert instance_types("T") == ("ml.x.large",)
    instance_types.cache_clear()


def test_loading_settings_loads_no_aws_library() -> None:
    heavy = "('boto3', 'botocore', 'rich', 'typer')"
    code = f"import sys; from mlplat.settings import load; load(); print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": ""})
    assert found.stdout.strip() == "[]"
    assert botocore_data().is_dir()


NAMES = st.text("abz_-", min_size=1, max_size=5)
TEXT = st.text(st.sampled_from('az"# =[]\\\n\u2028\u0085é'), max_size=12)
SCALARS = st.integers() | st.booleans() | TEXT | st.lists(TEXT, max_size=4)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, SCALARS, max_size=4), max_size=4), st.booleans())
def test_every_key_of_a_toml_text_gets_its_line(tables: dict[str, dict[str, Any]], spread: bool) -> None:
    lines, expected = [], {}

    def written(value: Any) -> str:
        if isinstance(value, list):
            start = "\n  " if spread else ""
            return "[" + "".join(f"{start}{json.dumps(each, ensure_ascii=False)}, " for each in value) + "]"
        text = json.dumps(value, ensure_ascii=False)
        return f'"""\\\n{text[1:-1]}"""' if spread and isinstance(value, str) else text

    for table, values in tables.items():
        lines += ["# a = 1", f"[{table}]"]
        expected[(table,)] = len(lines)
        for name, value in values.items():
            expected[(table, name)] = len(lines) + 1
            lines += f"{name} = {written(value)}".split("\n")
    text = "\n".join(lines)
    assert set(tomllib.loads(text)) == set(tables)
    assert dict(key_lines(text)) == expected


def test_nearest_forgives_case_prefixes_and_swapped_letters() -> None:
    assert nearest("Max-Iter", ["max_iter", "max_leaf"]) == "max_iter"
    assert nearest("m5.large", ["ml.r5.large", "ml.m5.large", "ml.m5.xlarge"]) == "ml.m5.large"
    assert nearest("us-esat-1", ["us-west-1", "us-east-1", "us-east-2"]) == "us-east-1"
    assert nearest("prod", ["pr-7", "production"]) == "production"
    assert nearest("qqq", ["max_iter"]) is None
    assert nearest("x", []) is None


def test_settings_do_not_change_once_loaded() -> None:
    settings = load(config=CONFIG, environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.network.zones = 3  # type: ignore[misc]
