"""Wrong input of every sort: a clear error with a hint and its exit code, no traceback, and nothing lost."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from tests.e2e.project import EXAMPLE, Project

pytestmark = pytest.mark.e2e


def refused(project: Project, *words: str, code: int, says: str, hint: str = "", **environment: str) -> None:
    """The command ends with `code`; stderr is one `error:` that says it, and a `hint:`."""
    told = project.run(*words, code=code, **environment).stderr
    assert "error: " in told
    assert says in told, told
    assert "hint: " in told
    assert hint in told, told


def test_no_credentials_on_production(project: Project) -> None:
    refused(
        project,
        *("plan", "--namespace", "production"),
        code=4,
        says=": Unable to locate credentials",
        hint="aws configure",
        AWS_CONFIG_FILE="/dev/null",
        AWS_SHARED_CREDENTIALS_FILE="/dev/null",
        AWS_EC2_METADATA_DISABLED="true",
    )


def test_malformed_toml(project: Project) -> None:
    project.configure('target = "local\n')
    refused(project, "plan", code=2, says="development.toml")


def test_unknown_keys_and_values(project: Project) -> None:
    project.configure('target = "local"\n[training]\ninstance_typ = "ml.m5.large"\n')
    refused(project, "plan", code=2, says="instance_typ")
    project.configure('target = "local"\n[training]\ninstance_type = "ml.m5.lage"\n')
    refused(project, "plan", code=2, says="ml.m5.large")


def test_unknown_names(project: Project) -> None:
    refused(
        project,
        *("apply", "--template", "ml_feature_stor"),
        code=2,
        says="unknown template 'ml_feature_stor'",
        hint="--template ml_feature_store",
    )
    refused(project, "plan", "--namespace", "prodction", code=2, says="production")
    refused(project, "train", "chrun", code=2, says="churn", hint="mlplat train churn")
    refused(project, "describe", "ml_data_infrastructure.bucket.row", code=2, says="nothing of that address")


@pytest.mark.parametrize("share", ["challenger=-1", "challenger=abc", "challenger"])
def test_a_share_that_is_none(project: Project, share: str) -> None:
    refused(project, "deploy", "--variant", share, code=2, says=f"reading --variant {share}", hint="challenger=0.2")


def test_a_template_whose_needs_are_not_applied(project: Project) -> None:
    refused(
        project,
        *("apply", "--template", "ml_feature_store"),
        code=2,
        says="ml_data_infrastructure",
        hint="mlplat apply --template ml_data_infrastructure",
    )
    project.run("apply", "--template", "ml_feature_store", "--with-dependencies")
    project.run("apply", "--template", "ml_feature_store")


def test_approval_without_a_terminal(project: Project) -> None:
    refused(
        project, "apply", "--no-auto-approve", code=2, says="approval is required", hint="mlplat apply --auto-approve"
    )
    assert project.json("outputs") == {}


def test_a_training_script_that_raises(project: Project) -> None:
    project.configure('target = "local"\n[approval]\nrequired = false\n')
    script = project.folder / "examples" / "churn" / "train.py"
    script.write_text("raise RuntimeError('the sky is falling')\n")
    project.run("apply")
    refused(project, "train", code=1, says="the sky is falling", hint="mlplat train --logs")
    shutil.copy(EXAMPLE / "train.py", script)
    project.run("train")


def test_a_csv_with_a_missing_column(project: Project) -> None:
    project.configure('target = "local"\n[approval]\nrequired = false\n')
    project.run("apply")
    data = project.folder / "examples" / "churn" / "data"
    header, *rows = (EXAMPLE / "data" / "customers.csv").read_text().splitlines()
    (data / "customers.csv").write_text("\n".join([header.replace("state,", "stat,"), *rows[:20]]))
    refused(
        project, *("features", "ingest", "customer", str(data / "customers.csv")), code=2, says="has no column state"
    )
    (data / "customers.csv").write_text("\n".join([header, *rows[:9], rows[9] + ",extra", *rows[10:20]]))
    told = project.run("features", "ingest", "customer", str(data / "customers.csv"), code=3)
    assert "customers.csv:11: " in told.stderr
    assert "19 records written" in told.stdout
    train = data / "train.csv"
    train.write_text(train.read_text().replace("total_day_charge", "total_day_charg"))
    refused(project, "train", code=1, says="total_day_charge")


def test_a_model_that_cant_load(project: Project) -> None:
    """The endpoint keeps serving what it served, the release is taken back, and the next apply tidies up."""
    project.configure('target = "local"\n[approval]\nrequired = false\n')
    project.run("apply")
    project.run("train")
    project.run("registry", "approve", "1")
    project.run("deploy")
    inference = project.folder / "examples" / "churn" / "inference.py"
    inference.write_text(inference.read_text() + "\n\ndef model_fn(model_dir):\n    raise OSError('no such model')\n")
    project.run("train")
    project.run("registry", "approve", "2")
    told = project.run("deploy", "--model", "primary=2", code=3).stderr
    assert "did not pass the ping health check" in told
    rows = str(EXAMPLE / "data" / "holdout.csv")
    assert project.json("invoke", "churn", "--file", rows, "--by-row", "--limit", "3")["failed"] == []
    project.run("apply")
    project.run("plan")
    assert [each["version"] for each in project.json("status")["endpoints"]] == [1]


def test_a_port_that_is_taken(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(project, "local", "start", "--port", str(port), code=1, says=str(port), hint="mlplat local start")


def test_a_folder_for_the_state_that_cant_be_written(project: Project) -> None:
    project.run("local", "start")
    state = project.folder / ".mlplat"
    (state / "development.state.json").mkdir()
    refused(project, "apply", code=1, says="development.state.json")
    (state / "development.state.json").rmdir()
    assert not [each for each in project.requests() if each["access"] == "write"]
    project.run("apply")


def test_a_state_file_cut_in_half(project: Project) -> None:
    project.run("apply")
    path = project.folder / ".mlplat" / "development.state.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    before = len(project.requests())
    refused(project, "apply", code=1, says=str(Path(".mlplat") / "development.state.json"), hint="mlplat state rebuild")
    assert not [each for each in project.requests()[before:] if each["access"] == "write"]
    path.unlink()
    project.run("apply")
    assert not [each for each in project.requests()[before:] if each["access"] == "write"], (
        "found again by tags and names"
    )
    project.run("plan")
