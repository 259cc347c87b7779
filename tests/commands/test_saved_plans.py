"""A plan saved, applied as it is, and refused when it no longer holds; data that is lost only by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.commands.shell import FREE, LOCAL, Shell, shells

from mlplat import output

DATA = "ml_data_infrastructure"
RAW = f"{DATA}.bucket.raw"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from shells(tmp_path_factory.mktemp("plans"))


@pytest.fixture(autouse=True)
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.mode, "json", False)


def test_a_saved_plan_is_applied_once_and_is_stale_then(folder: Path) -> None:
    shell = Shell(folder, "stale")
    shell.configure(LOCAL)
    told = shell.run("plan", "--target", RAW, "--out", "first.plan", code=2)
    assert "hint: mlplat apply first.plan --namespace stale" in told.output
    shell.run("apply", "first.plan")  # it was approved when it was saved
    assert RAW in shell.json("outputs")
    error = shell.refused("apply", "first.plan")
    assert "applying the plan first.plan: the state has changed since (serial 0 then" in error.message
    assert (error.hint, error.exit_code) == (f"mlplat plan --target {RAW} --out first.plan --namespace stale", 2)

    shell.run("plan", "--target", RAW, "--out", "second.plan")
    versioning = {"Status": "Suspended"}
    bucket = shell.json("outputs")[RAW]["name"]
    shell.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
    error = shell.refused("apply", "second.plan")
    assert "it is out of date, nothing was changed" in error.message
    assert f"{RAW}: versioning of it changed; the plan said keep and would be update now" in error.message
    assert error.hint == f"mlplat plan --target {RAW} --out second.plan --namespace stale"

    shell.run("plan", "--target", RAW, "--out", "third.plan", code=2)
    shell.configure(LOCAL + "[storage]\nforce_tls = false\n")
    error = shell.refused("apply", "third.plan")
    assert f"{RAW}: policy is declared otherwise" in error.message


def test_a_plan_that_can_not_be_applied_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(folder, "here")
    shell.configure(FREE)
    (folder / "config" / "other.toml").write_text(FREE)
    shell.run("plan", "--target", RAW, "--out", "a.plan", code=2)
    error = shell.refused("apply", "a.plan", "--namespace", "other")
    assert "applying the plan a.plan: it was made for namespace here, and this is other" in error.message
    assert error.hint == "mlplat apply a.plan --namespace here"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLPLAT_REGION", "eu-west-1")
        assert "made for region us-east-1, and this is eu-west-1" in shell.refused("apply", "a.plan").message
    assert "--target is a matter of the plan" in shell.refused("apply", "a.plan", "--target", RAW).message

    whole = (folder / "a.plan").read_text()
    (folder / "a.plan").write_text(whole.replace('"create"', '"delete"'))
    error = shell.refused("apply", "a.plan")
    assert "reading the plan a.plan: its content doesn't match its digest" in error.message
    assert (error.hint, error.exit_code) == ("mlplat plan --out new.plan", 2)  # not over what may be anything
    assert "reading the plan none.plan: No such file" in shell.refused("apply", "none.plan").message
    assert (
        "saving the plan no/such/folder.plan: No such file"
        in shell.refused("plan", "--out", "no/such/folder.plan").message
    )
    assert shell.json("outputs") == {}


def test_data_goes_only_when_the_namespace_is_named(folder: Path) -> None:
    shell = Shell(folder, "named")
    shell.configure(FREE)
    shell.run("apply", "--target", RAW)
    bucket = shell.json("outputs")[RAW]["name"]
    shell.client("s3").put_object(Bucket=bucket, Key="customers.csv", Body=b"x" * 2048)
    shell.configure(LOCAL)

    shown = shell.json("plan", "--destroy")
    kept = {step["address"]: step for step in shown["steps"]}
    assert (kept[RAW]["action"], kept[RAW]["holds"], shown["loses_data"]) == ("retain", "1 object, 2.05 KB", [])
    shown = shell.json("plan", "--destroy", "--delete-data", RAW, "--out", "end.plan", code=2)
    assert shown["loses_data"] == [RAW]
    key = next(step for step in shown["steps"] if step["kind"] == "kms_key")
    assert key["afterwards"].startswith("AWS keeps it for 7 days, until 20")

    for words in (("destroy", "--reverse", "--delete-data", RAW, "--auto-approve"), ("apply", "end.plan")):
        error = shell.refused(*words)
        assert f"This loses data: {RAW} (1 object, 2.05 KB)." in error.message
        assert str(error.hint).endswith("--confirm named")
        error = shell.refused(*words, "--confirm", "production")
        assert "--confirm production is not the namespace's name; nothing was changed" in error.message
    told = shell.run("apply", "end.plan", "--confirm", "named")
    assert "AWS keeps it for 7 days" in told.output
    assert shell.json("outputs") == {}


def test_options_that_do_not_go_together(folder: Path) -> None:
    shell = Shell(folder, "development")
    error = shell.refused("plan", "--delete-data", RAW)
    assert (error.message, error.hint) == (
        "planning with --delete-data: that is only for a plan to destroy",
        f"mlplat plan --destroy --delete-data {RAW}",
    )
    error = shell.refused("plan", "--destroy", "--adopt", RAW)
    assert "planning with --adopt: that is no option of a plan to destroy" in error.message
    assert error.hint == "mlplat plan --destroy --reverse"
