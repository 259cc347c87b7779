"""The churn example: its data, its training as SageMaker runs it, and its answers."""

from __future__ import annotations

import ast
import csv
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mlplat.settings import Workload, load, packaged_project

EXAMPLE = packaged_project() / "examples" / "churn"
CONTAINER_CODE = ("customers.py", "inference.py", "train.py")


@pytest.fixture(scope="session")
def workload() -> Workload:
    return load(config=packaged_project() / "config", environ={}).workloads["churn"]


def train(folder: Path, *words: str, **channels: Path) -> subprocess.CompletedProcess[str]:
    """train.py as SageMaker starts it: channels are folders, the model's folder is empty."""
    environ = {"PATH": os.environ["PATH"], "SM_MODEL_DIR": str(folder / "model")}
    for channel in ("train", "validation"):
        place = folder / "input" / channel
        place.mkdir(parents=True)
        source = channels.get(channel, EXAMPLE / "data" / f"{channel}.csv")
        (place / source.name).write_bytes(source.read_bytes())
        environ[f"SM_CHANNEL_{channel.upper()}"] = str(place)
    command = [sys.executable, str(EXAMPLE / "train.py"), *words]
    return subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Both models: folder and log."""
    found = {}
    for model in ("logistic_regression", "gradient_boosting"):
        folder = tmp_path_factory.mktemp(model)
        done = train(folder, "--model", model, "--_tuning_objective_metric", "validation:auc")
        assert done.returncode == 0, done.stderr
        found[model] = folder / "model", done.stdout
    return found


@pytest.fixture
def inference(trained: dict[str, tuple[Path, str]]) -> Iterator[ModuleType]:
    """The module that came with the saved model, as a container imports it."""
    code = str(trained["logistic_regression"][0] / "code")
    sys.path.insert(0, code)
    yield importlib.import_module("inference")
    sys.path.remove(code)
    for name in ("inference", "customers"):
        del sys.modules[name]


def rows(name: str) -> list[dict[str, str]]:
    with (EXAMPLE / "data" / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- Data ---------------------------------------------------------------------------------------------------


def test_the_scripts_make_exactly_the_files_that_are_there(tmp_path: Path) -> None:
    copy = tmp_path / "churn"
    (copy / "data").mkdir(parents=True)
    for script in ("prepare.py", "sales.py"):
        (copy / script).write_bytes((EXAMPLE / script).read_bytes())
    # The data set as R has it, from the customers that were made from it; in another order.
    source = [{"rownames": row.pop("customer_id"), **row} for row in reversed(rows("customers"))]
    assert {row.pop("event_time") for row in source} == {"2026-01-01T00:00:00Z"}
    with (tmp_path / "mlc_churn.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(source[0]))
        writer.writeheader()
        writer.writerows(sorted(source, key=lambda row: int(row["rownames"])))
    subprocess.run([sys.executable, copy / "prepare.py", tmp_path / "mlc_churn.csv"], check=True, capture_output=True)
    subprocess.run([sys.executable, copy / "sales.py"], check=True, capture_output=True)
    for path in (EXAMPLE / "data").iterdir():
        assert (copy / "data" / path.name).read_bytes() == path.read_bytes(), path.name


def test_parts_share_no_customer_and_have_the_same_rate_of_churn() -> None:
    parts = {name: rows(name) for name in ("train", "validation", "holdout")}
    ids = [row["customer_id"] for part in parts.values() for row in part]
    assert len(ids) == len(set(ids)) == 5000
    assert set(ids) == {row["customer_id"] for row in rows("customers")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 3000, "validation": 750, "holdout": 1250}
    for part in parts.values():
        assert sum(row["churn"] == "yes" for row in part) / len(part) == pytest.approx(0.1414, abs=0.001)


def test_customers_are_what_the_feature_group_declares() -> None:
    group = load(config=packaged_project() / "config", environ={}).feature_groups["customer"]
    customers = rows("customers")
    assert list(customers[0]) == list(group.features)
    numeric = {"Integral": int, "Fractional": float}
    for row in customers:
        for name, kind in group.features.items():
            numeric.get(kind, str)(row[name])  # type: ignore[operator]


def test_the_example_is_of_modest_size() -> None:
    assert sum(path.stat().st_size for path in (EXAMPLE / "data").iterdir()) < 1_500_000


# --- Training -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "least", "most"), [("logistic_regression", 0.78, 0.85), ("gradient_boosting", 0.9, 0.95)]
)
def test_training_reports_metrics_by_the_configured_patterns(
    trained: dict[str, tuple[Path, str]], workload: Workload, model: str, least: float, most: float
) -> None:
    log = trained[model][1]
    found = {metric: re.findall(pattern, log) for metric, pattern in workload.metrics.items()}
    assert {metric: len(values) for metric, values in found.items()} == {"train:auc": 1, "validation:auc": 1}
    assert least < float(found["validation:auc"][0]) < most
    assert float(re.findall(r"fit_seconds=([0-9.]+)", log)[0]) < 20


def test_a_model_brings_the_code_that_serves_it(trained: dict[str, tuple[Path, str]]) -> None:
    for folder, _ in trained.values():
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files == {"model.joblib", "code/inference.py", "code/customers.py"}


def test_configured_hyperparameters_and_ranges_are_ones_that_training_takes(workload: Workload, tmp_path: Path) -> None:
    assert workload.tuning is not None
    names = {**workload.hyperparameters, **workload.tuning.fixed, **dict.fromkeys(workload.tuning.ranges, 8)}
    words = [word for name, value in names.items() for word in (f"--{name}", str(value))]
    done = train(tmp_path, *words, "--learning_rate", "0.3")
    assert done.returncode == 0, done.stderr
    refused = train(tmp_path / "again", "--learning_rat", "1")
    assert refused.returncode != 0
    assert "unrecognized arguments: --learning_rat" in refused.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row: row.pop("total_day_minutes"), 'broken.csv: no column "total_day_minutes"'),
        (lambda row: row.pop("churn"), 'broken.csv: no column "churn"'),
        (lambda row: row.update(churn="maybe"), """broken.csv, customer 1: column "churn" is 'maybe', not yes or no"""),
        (lambda row: row.update(account_length="x"), "line 2: column \"account_length\" is 'x', not a number"),
        (lambda row: row.update(churn="no"), 'train: column "churn" has one value only; a model needs both'),
    ],
    ids=["no feature", "no label", "another label", "no number", "one label"],
)  # fmt: skip
def test_broken_data_is_told_with_file_and_column(tmp_path: Path, change: object, told: str) -> None:
    changed = rows("train")[:50]
    for row in changed:
        assert callable(change)
        change(row)
    broken = tmp_path / "broken.csv"
    with broken.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(changed[0]))
        writer.writeheader()
        writer.writerows(changed)
    done = train(tmp_path, train=broken)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("customers.DataError: ")
    assert done.stderr.rstrip().endswith(told)
    assert not (tmp_path / "model").exists()


# --- Inference ----------------------------------------------------------------------------------------------


def auc(scores: list[float], truth: list[bool]) -> float:
    yes = [score for score, left in zip(scores, truth, strict=True) if left]
    no = [score for score, left in zip(scores, truth, strict=True) if not left]
    return sum((a > b) + (a == b) / 2 for a in yes for b in no) / (len(yes) * len(no))


@pytest.mark.parametrize(("model", "figure"), [("logistic_regression", 0.825), ("gradient_boosting", 0.932)])
def test_the_figures_of_the_readme_are_true(
    inference: ModuleType, trained: dict[str, tuple[Path, str]], model: str, figure: float
) -> None:
    loaded = inference.model_fn(str(trained[model][0]))
    body = (EXAMPLE / "data" / "holdout.csv").read_text()
    answer, kind = inference.output_fn(inference.predict_fn(inference.input_fn(body, "text/csv"), loaded), "text/csv")
    scores = [float(line) for line in answer.splitlines()]
    assert kind == "text/csv"
    assert auc(scores, [row["churn"] == "yes" for row in rows("holdout")]) == pytest.approx(figure, abs=0.01)
    assert f"| {figure} |" in (EXAMPLE / "README.md").read_text()


def test_every_form_of_a_request_gets_the_same_answer(
    inference: ModuleType, trained: dict[str, tuple[Path, str]]
) -> None:
    model = inference.model_fn(str(trained["gradient_boosting"][0]))
    names = sys.modules["customers"].FEATURES
    customers = [{name: row[name] for name in names} for row in rows("holdout")[:3]]
    plain = "".join(",".join(row.values()) + "\n" for row in customers)
    shuffled = "".join(",".join(reversed(row)) + "\n" for row in [[*names], *[[*row.values()] for row in customers]])
    numbers = [{name: _number(value) for name, value in row.items()} for row in customers]
    requests = [
        (plain, "text/csv"),
        (plain.encode(), "text/csv; charset=utf-8"),
        (",".join(names) + "\n" + plain, "text/csv"),
        ("\ufeff" + ",".join([*names, "churn"]) + "\r\n" + plain.replace("\n", ",no\r\n"), "text/csv"),
        (shuffled, "text/csv"),
        (json.dumps(customers), "application/json"),
        (json.dumps({"instances": numbers}), "application/json"),
        (json.dumps([[*row.values()] for row in numbers]), "application/json"),
    ]
    answers = []
    for body, content_type in requests:
        matrix = inference.input_fn(body, content_type)
        text, kind = inference.output_fn(inference.predict_fn(matrix, model), "application/json")
        assert kind == "application/json"
        answers.append(json.loads(text)["predictions"])
    assert answers == [answers[0]] * len(requests)
    assert len(answers[0]) == 3
    assert all(0 <= each <= 1 for each in answers[0])
    one = inference.predict_fn(inference.input_fn(json.dumps(numbers[0]), "application/json"), model)
    assert [round(float(each), 6) for each in one] == answers[0][:1]


def _number(value: str) -> float | str:
    return float(value) if re.fullmatch(r"[0-9.]+", value) else value


def test_what_is_unknown_or_missing_in_a_request_is_no_failure(
    inference: ModuleType, trained: dict[str, tuple[Path, str]]
) -> None:
    model = inference.model_fn(str(trained["logistic_regression"][0]))
    record = {**rows("holdout")[0], "state": "XX", "total_day_minutes": None}
    matrix = inference.input_fn(json.dumps(record), "application/json")
    assert 0 < inference.predict_fn(matrix, model)[0] < 1


@pytest.mark.parametrize(
    ("body", "content_type", "told"),
    [
        ("1,2\n", "text/csv", r"the request, line 1: 2 values without names, but a customer has 19: state, area_code"),
        ("", "text/csv", "there are no rows"),
        (
            "state,area_code\nKS,1\n",
            "text/csv",
            r'no columns "international_plan", "voice_mail_plan", "account_length"',
        ),
        ('{"state": "KS"}', "application/json", r'the request, record 1: no columns "area_code"'),
        ("{", "application/json", "the request: not JSON"),
        ("[]", "application/json", "send a record, a list of records"),
        ("x", "application/x-npy", "content type application/x-npy: send text/csv or application/json"),
    ],
)
def test_a_request_that_makes_no_sense_is_told(inference: ModuleType, body: str, content_type: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        inference.input_fn(body, content_type)


@pytest.mark.parametrize("name", CONTAINER_CODE)
def test_the_code_is_python_3_8(name: str) -> None:
    tree = ast.parse((EXAMPLE / name).read_text(), feature_version=(3, 8))
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.keyword) and node.arg == "strict"), "zip(strict=) is of Python 3.10"


def test_what_was_bought_was_sold_to_somebody() -> None:
    assert {row["customer_id"] for row in rows("transactions")} <= {row["customer_id"] for row in rows("customers")}
    assert {row["product_id"] for row in rows("transactions")} <= {row["product_id"] for row in rows("products")}


@pytest.mark.parametrize("name", ["customer", "product", "transaction"])
def test_every_column_of_a_file_is_a_feature_of_its_group(name: str) -> None:
    group = load(config=packaged_project() / "config", environ={}).feature_groups[name]
    header = (EXAMPLE / "data" / f"{name}s.csv").read_text().splitlines()[0].split(",")
    assert {*header, "event_time"} == set(group.features)
    assert group.access is not None
