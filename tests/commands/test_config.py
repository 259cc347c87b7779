"""`mlplat config`: what it prints for people, for programs, and when it is asked for what is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mlplat import output
from mlplat.commands.config import app
from mlplat.errors import SettingsError, UsageError

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in a folder with a small config of its own; errors come out as they were raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "mode", type(output.mode)())
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.toml").write_text(
        'target = "local"\n[network]\nzones = 3\n'
        '[workloads.tiny]\nsource = "."\nimage = "a/b"\nmodel_package_group = "tiny"\nchannels = { train = "t.csv" }\n'
        '[workloads.tiny.environment]\nAPI_TOKEN = "hush"\n'
    )
    (tmp_path / "config" / "development.toml").write_text("[logs]\nretention_days = 7\n")

    def invoke(*words: str, **environ: str) -> Result:
        result = CliRunner().invoke(app, list(words), env=environ)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_show_prints_keys_values_and_origins_by_table(run: Run) -> None:
    result = run("show", MLPLAT_APPLY__PARALLELISM="4")
    lines = [line.split() for line in result.stdout.splitlines()]
    network = lines.index(["[network]"])
    assert ["zones", "3", "config/default.toml:3"] in lines[network:]
    assert ["retention_days", "7", "config/development.toml:2"] in lines
    assert ["parallelism", "4", "MLPLAT_APPLY__PARALLELISM"] in lines
    assert ["timeout_minutes", "120", "built", "in"] in lines
    assert ["train", '"config/t.csv"', "config/default.toml:8"] in lines
    assert "development on local, from config" in result.stderr


def test_show_as_json_nests_settings_and_lists_origins(run: Run) -> None:
    shown = json.loads(run("show", "--json").stdout)
    assert shown["settings"]["network"]["zones"] == 3
    assert shown["origins"]["network.zones"] == "config/default.toml:3"
    assert shown["namespace"] == "development"
    assert Path(shown["directory"]).name == "config"
    assert shown["settings"]["workloads"]["tiny"]["channels"]["train"] == str(Path("config/t.csv").absolute())


def test_show_never_prints_a_secret(run: Run) -> None:
    for words in (("show",), ("show", "--json"), ("show", "workloads.tiny.environment.API_TOKEN")):
        result = run(*words)
        assert "***" in result.stdout
        assert "hush" not in result.output


@pytest.mark.parametrize(
    ("key", "count"), [("network", 5), ("network.zones", 1), ("workloads.tiny.channels", 1), ("workloads.", 9)]
)
def test_show_can_be_asked_for_one_table_or_key(run: Run, key: str, count: int) -> None:
    assert len(json.loads(run("show", key, "--json").stdout)["origins"]) == count


@pytest.mark.parametrize(("key", "guess"), [("ntwork", "network"), ("network.zone", "network.zones")])
def test_a_key_that_is_not_there_is_answered_with_the_nearest(run: Run, key: str, guess: str) -> None:
    for command in ("show", "keys"):
        with pytest.raises(UsageError, match=f'no such key: {key}; did you mean "{guess}"') as caught:
            run(command, key)
        assert caught.value.hint == f"mlplat config {command} {guess}"


def test_show_for_a_namespace_without_file_is_a_settings_error(run: Run) -> None:
    with pytest.raises(SettingsError, match="the namespaces are: development"):
        run("show", "--namespace", "production")


def test_keys_tell_variable_range_and_default(run: Run) -> None:
    known = {each["key"]: each for each in json.loads(run("keys", "--json").stdout)}
    assert known["network.zones"] == {
        "key": "network.zones",
        "variable": "MLPLAT_NETWORK__ZONES",
        "allowed": "whole number, 2 to 6",
        "default": "2",
    }
    assert known["training.instance_type"]["variable"] == "SAGEMAKER_INSTANCE_TYPE"
    assert known["network.nat"]["allowed"] == '"none", "single", "per_zone"'
    assert known["workloads.tiny.instance_count"]["allowed"] == "whole number, 1 or more"
    assert known["workloads.tiny.entry_point"]["default"] == '"train.py"'


def test_every_listed_variable_is_one_that_settings_take(run: Run) -> None:
    listed = json.loads(run("keys", "network", "--json").stdout)
    values = {"cidr": "10.2.0.0/16", "zones": "4", "nat": "single", "interface_endpoints": "kms", "flow_logs": "no"}
    environ = {each["variable"]: values[each["key"].removeprefix("network.")] for each in listed}
    shown = json.loads(run("show", "network", "--json", **environ).stdout)
    assert set(shown["origins"].values()) == set(environ)
    assert shown["settings"]["network"] == {
        "cidr": "10.2.0.0/16",
        "zones": 4,
        "nat": "single",
        "interface_endpoints": ["kms"],
        "flow_logs": False,
    }
