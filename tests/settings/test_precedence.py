"""Who wins: flags over environment over namespace file over default.toml over what is built in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplat.settings import Settings, load, packaged_project
from mlplat.settings.problems import dotted

CONFIG = packaged_project() / "config"


ZONES = st.none() | st.integers(2, 6)


@given(default=ZONES, namespace=ZONES, environment=ZONES, flag=ZONES)
def test_flags_over_environment_over_namespace_over_default(
    tmp_path_factory: pytest.TempPathFactory,
    default: int | None,
    namespace: int | None,
    environment: int | None,
    flag: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("config")

    def table(value: int | None) -> str:
        return "" if value is None else f"# zones = 5\n[network]\nzones = {value}\n"

    (folder / "default.toml").write_text(table(default))
    (folder / "development.toml").write_text(table(namespace))
    environ = {} if environment is None else {"MLPLAT_NETWORK__ZONES": str(environment)}
    settings = load(config=folder, environ=environ, flags={"network.zones": flag})
    layers = [
        (flag, "command line"),
        (environment, "MLPLAT_NETWORK__ZONES"),
        (namespace, f"{folder}/development.toml:3"),
        (default, f"{folder}/default.toml:3"),
        (2, "built in"),
    ]
    value, origin = next(layer for layer in layers if layer[0] is not None)
    assert settings.network.zones == value
    assert str(settings.origins["network.zones"]) == origin


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("SAGEMAKER_INSTANCE_TYPE", "ml.c5.xlarge", "training.instance_type", "ml.c5.xlarge"),
        ("ENDPOINT_INSTANCE_TYPE", "ml.t2.medium", "serving.instance_type", "ml.t2.medium"),
        ("ENABLE_MODEL_MONITORING", "true", "monitoring.enabled", True),
        ("ENABLE_MODEL_MONITORING", "1", "monitoring.enabled", True),
        ("MLPLAT_REGION", "eu-west-1", "region", "eu-west-1"),
        ("MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS", "2", "local.transition_delay_seconds", 2),
        ("MLPLAT_LOCAL__EVENTUAL_CONSISTENCY_READS", "3", "local.eventual_consistency_reads", 3),
        ("MLPLAT_NETWORK__FLOW_LOGS", "Off", "network.flow_logs", False),
        ("MLPLAT_NETWORK__INTERFACE_ENDPOINTS", "kms, sts", "network.interface_endpoints", ["kms", "sts"]),
        ("MLPLAT_NETWORK__INTERFACE_ENDPOINTS", '["kms"]', "network.interface_endpoints", ["kms"]),
        ("MLPLAT_WORKLOADS__CHURN__HYPERPARAMETERS__MODEL", "x", "workloads.churn.hyperparameters.model", "x"),
        ("MLPLAT_WORKLOADS__CHURN__HYPERPARAMETERS__MAX_ITER", "5", "workloads.churn.hyperparameters.max_iter", 5),
        ("MLPLAT_WORKLOADS__CHURN__METRICS__TRAIN_AUC", "a=(.)", 'workloads.churn.metrics."train:auc"', "a=(.)"),
        ("MLPLAT_WORKLOADS__CHURN__ENVIRONMENT__LOG_LEVEL", "10", "workloads.churn.environment.LOG_LEVEL", "10"),
        ("MLPLAT_WORKLOADS__CHURN__TUNING__MAX_JOBS", "9", "workloads.churn.tuning.max_jobs", 9),
    ],
)  # fmt: skip
def test_variables_set_their_keys(name: str, text: str, key: str, value: Any) -> None:
    settings = load(config=CONFIG, environ={name: text})
    assert {dotted(path): each for path, each in settings.leaves()}[key] == value
    assert str(settings.origins[key]) == name


def test_every_plain_key_can_be_set_by_its_variable() -> None:
    settings = load(config=CONFIG, environ={})
    keys = {
        path: "MLPLAT_" + "__".join(re.sub(r"\W", "_", part).upper() for part in path)
        for path, value in settings.leaves()
        if len(path) > 1 and value != "" and not isinstance(value, list)
    }
    values = dict(settings.leaves())
    again = load(config=CONFIG, environ={name: str(values[path]) for path, name in keys.items()})
    assert len(keys) > 80
    assert dict(again.leaves()) == values
    assert {path: again.origin(path).name for path in keys} == keys


def test_a_name_by_the_rule_wins_over_the_name_that_people_know() -> None:
    environ = {"SAGEMAKER_INSTANCE_TYPE": "ml.m5.xlarge", "MLPLAT_TRAINING__INSTANCE_TYPE": "ml.c5.xlarge"}
    assert load(config=CONFIG, environ=environ).training.instance_type == "ml.c5.xlarge"


def test_empty_variables_and_plain_ones_are_no_settings() -> None:
    environ = {"SAGEMAKER_INSTANCE_TYPE": "", "MLPLAT_NETWORK__ZONES": "", "MLPLAT_DEBUG": "1", "MLPLAT_SOMETHING": "x"}
    assert load(config=CONFIG, environ=environ).model_dump() == load(config=CONFIG, environ={}).model_dump()


def test_only_load_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGION", "MLPLAT_REGION", "PROFILE", "NETWORK"):
        monkeypatch.setenv(name, "eu-west-1")
    assert Settings().region == "us-east-1"
    assert Settings(region="eu-north-1").region == "eu-north-1"
    assert load(config=CONFIG).region == "eu-west-1"
    assert Settings().region == "us-east-1", "what was loaded is forgotten"
    assert Settings().profile is None


def test_a_flag_that_was_not_given_is_no_setting() -> None:
    assert load(config=CONFIG, environ={}, flags={"apply.parallelism": None}).apply.parallelism == 16
    assert load(config=CONFIG, environ={}, flags={"apply.parallelism": 3}).apply.parallelism == 3


def test_the_namespace_is_chosen_by_flag_then_variable_then_default_toml(folder: Path) -> None:
    (folder / "staging.toml").write_text("")
    environ = {"MLPLAT_NAMESPACE": "production", "MLPLAT_CONFIG": str(folder)}
    assert load(namespace="staging", environ=environ).namespace == "staging"
    chosen = load(environ=environ)
    assert (chosen.namespace, str(chosen.origins["namespace"])) == ("production", "MLPLAT_NAMESPACE")
    assert load(config=folder, environ={}).namespace == "development"


def test_a_namespace_completes_tables_but_replaces_a_tuning_range(folder: Path) -> None:
    (folder / "development.toml").write_text(
        "[workloads.churn.hyperparameters]\nC = 0.5\n"
        '[workloads.churn.tuning.ranges]\nlearning_rate = { type = "categorical", values = ["0.1", "0.2"] }\n'
    )
    workload = load(config=folder, environ={}).workloads["churn"]
    assert workload.hyperparameters == {"model": "logistic_regression", "C": 0.5}
    assert workload.tuning is not None
    assert workload.tuning.ranges["learning_rate"].model_dump() == {"type": "categorical", "values": ["0.1", "0.2"]}
    assert set(workload.tuning.ranges) == {"learning_rate", "max_iter", "max_leaf_nodes"}
    assert list(workload.tuning.ranges) == list(load(config=CONFIG, environ={}).workloads["churn"].tuning.ranges)  # type: ignore[union-attr]


def test_a_variable_replaces_no_range_that_it_gives_no_type(folder: Path) -> None:
    (folder / "development.toml").write_text(
        "[workloads.churn.tuning.ranges.max_iter]\ntype = 'integer'\nmin = 1\nmax = 9\n"
    )
    environ = {"MLPLAT_WORKLOADS__CHURN__TUNING__RANGES__MAX_ITER__MAX": "8"}
    tuning = load(config=folder, environ=environ).workloads["churn"].tuning
    assert tuning is not None
    assert tuning.ranges["max_iter"].model_dump() == {"type": "integer", "min": 1, "max": 8, "scaling": "Auto"}


def test_paths_belong_to_the_file_or_folder_that_says_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "development.toml").write_text(
        '[workloads.churn.channels]\ntrain = "s3://bucket/train"\nextra = "x/y.csv"\n'
    )
    here = folder / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    workload = load(config=folder, environ={"MLPLAT_WORKLOADS__CHURN__SOURCE": "code"}).workloads["churn"]
    assert workload.channels["train"] == "s3://bucket/train"
    assert workload.channels["extra"] == str(folder / "x" / "y.csv")
    assert workload.channels["validation"] == str(folder.parent / "examples/churn/data/validation.csv")
    assert workload.source == here / "code"
