"""Every command that waits can be told for how long, and the same command joins the wait again."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from mlplat import output
from mlplat.aws import Session
from mlplat.commands.context import following
from mlplat.errors import Interrupted, MlplatError, WaitTimeout
from mlplat.main import app, run
from mlplat.reconciler.state import Entry, Store
from mlplat.settings.loading import packaged_project

CALLS_NOTHING = {
    "init": "writes files that come with mlplat",
    "completion": "prints a script for the shell",
    "config show": "reads files and the environment",
    "config keys": "reads files and the environment",
    **{
        f"local {name}": "speaks with a process of this machine, which answers or is dead"
        for name in ("start", "stop", "status", "logs", "interrupt", "reset", "env")
    },
}
"""Commands that have nothing of AWS's to wait for, and why."""

BUCKET, STATE = "mlplat-state-of-a-team", "bootstrap.bucket.state"
GIVEN = {
    "destroy": ["--reverse"],
    "adopt": ["ml_data_infrastructure.bucket.raw"],
    "describe": ["ml_data_infrastructure.bucket.raw"],
    "invoke": ["churn", "--data", "1,2"],
    "registry approve": ["1"],
    "registry reject": ["1"],
    "data put": ["raw", "rows.csv"],
    "data ls": ["raw"],
    "state forget": ["ml_data_infrastructure.bucket.raw"],
    "features describe": ["customer"],
    "features export": ["customer"],
    "features version": ["customer"],
    "features backfill": ["customer"],
    "features retire": ["customer", "2"],
    "features validate": ["customer", "rows.csv"],
    "features ingest": ["customer", "rows.csv"],
    "features get": ["customer", "7"],
    "features put": ["customer", "customer_id=7"],
    "features delete": ["customer", "7"],
    "features query": ["SELECT 1 FROM {customer}"],
    "features history": ["customer", "7"],
    "features dataset": ["--labels", "rows.csv", "--features", "customer", "--out", "out.csv"],
}
"""What has to be typed behind a command."""


def leaves(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in group.commands.items():
        words = f"{path} {name}".strip()
        if hasattr(each, "commands"):
            yield from leaves(each, words)
        else:
            yield words, each


COMMANDS = dict(leaves(get_command(app)))


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_takes_a_timeout_or_calls_nothing(words: str) -> None:
    takes = "--timeout" in {name for param in COMMANDS[words].params for name in param.opts}
    assert takes != (words in CALLS_NOTHING), words


def test_what_calls_nothing_is_a_command() -> None:
    assert CALLS_NOTHING.keys() <= COMMANDS.keys()
    assert GIVEN.keys() <= COMMANDS.keys()


PLANS = {"plan", "apply", "destroy", "drift", "describe", "status", "adopt", "deploy", "state rebuild", "state forget"}
STATE_ALONE = {"state show", "state list", "state unlock", "state migrate", "outputs"}
BOTO3_TRIES = {"data put"}
"""Uploads are repeated by boto3, five times; the time is looked at from file to file."""
BUCKETS = tuple(f"ml_data_infrastructure.bucket.{purpose}" for purpose in ("raw", "models", "experiments"))
APPLIED = (
    *BUCKETS,
    "ml_data_infrastructure.kms_key.platform",
    "ml_data_infrastructure.glue_database.features",
    "ml_feature_store.athena_work_group.features",
    "ml_feature_store.feature_group.customer",
    "ml_feature_store.feature_group.customer-v2",
    "ml_feature_store.glue_crawler.raw",
    "ml_feature_store.model_package_group.churn",
    "ml_feature_store.glue_workflow.transformation_customers",
    "ml_model_serving.endpoint.churn",
)


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The configuration of a platform on AWS, where every call is throttled; a minute is over in a quarter second."""

    def client(session: Session, service: str, attempts: int = 1) -> Any:
        boto = plain(session, service, attempts)

        def refuse(model: Any, **_: Any) -> Any:
            answer = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}, "ResponseMetadata": {}}
            return SimpleNamespace(status_code=400), answer

        boto.meta.events.register("before-call", refuse)
        return boto

    plain, whole = Session._boto_client, Session.limited
    monkeypatch.setattr(Session, "_boto_client", client)
    monkeypatch.setattr(Session, "limited", lambda self, seconds: whole(self, seconds and seconds / 240))
    shutil.copytree(packaged_project() / "config", tmp_path / "config")
    (tmp_path / "config" / "busy.toml").write_text('target = "aws"\nregion = "us-east-1"\n')
    (tmp_path / "examples").symlink_to(packaged_project() / "examples")
    (tmp_path / "rows.csv").write_text("customer_id,event_time\n7,2024-01-01T00:00:00Z\n")
    for variable, value in {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    output.mode.json = False


def gives_up(words: str) -> str:
    """What the command says when its time is over."""
    typed = [*words.split(), *GIVEN.get(words, ()), "--namespace", "busy", "--timeout", "1"]
    with pytest.raises(WaitTimeout, match="its time is over") as caught:
        CliRunner().invoke(app, typed, catch_exceptions=False)
    assert caught.value.exit_code == 1
    return caught.value.message


@pytest.mark.timeout(60)
@pytest.mark.parametrize("words", sorted(COMMANDS.keys() - CALLS_NOTHING.keys()))
def test_who_waits_for_the_state_in_s3_gives_up_in_time_and_names_it(words: str, busy: Path) -> None:
    with (busy / "config" / "busy.toml").open("a") as config:
        config.write(f'[state]\nbackend = "s3"\nbucket = "{BUCKET}"\n')
    told = gives_up(words)
    if words == "bootstrap":
        assert f"1 of 1 not read, {STATE} among them" in told
    else:
        place = rf"s3://{BUCKET}/mlplat/busy/state\.json\S*"
        assert re.match(rf"waiting for {place} \(ThrottlingException: Rate exceeded\): its time is over", told), told


@pytest.mark.timeout(60)
@pytest.mark.parametrize("words", sorted(COMMANDS.keys() - CALLS_NOTHING.keys() - STATE_ALONE - BOTO3_TRIES))
def test_who_waits_for_anything_else_gives_up_in_time_and_names_it(words: str, busy: Path) -> None:
    store = Store(busy / ".mlplat", "busy")
    with store.edit() as state:
        for address in BUCKETS if words in PLANS else APPLIED:
            made = {output: f"made-{output}" for output in ("name", "arn", "id")}
            state.entries[address] = Entry(address.split(".")[1], "made", {"name": "made-name"}, made)
    before = store.load().entries
    told = gives_up(words)
    assert "(ThrottlingException: Rate exceeded)" in told or " not read, " in told, told
    assert store.load().entries == before


@pytest.fixture
def platform() -> Any:
    return SimpleNamespace(session=Session("development", "us-east-1"))


def test_the_end_of_a_wait_is_not_the_end_of_the_run(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Session.limited
    monkeypatch.setattr(Session, "limited", lambda self, seconds: whole(self, seconds / 3600))
    said = "waiting for training job j: not done after 3 min; it goes on"
    with pytest.raises(WaitTimeout, match=said), following(platform, "training job j", 3):
        platform.session.pause(10)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Interrupted("stopped")])
def test_ctrl_c_ends_the_wait_and_says_that_the_run_goes_on(platform: Any, stop: BaseException) -> None:
    said = "stopped waiting for training job j: it goes on"
    with pytest.raises(Interrupted, match=said) as caught, following(platform, "training job j", None):
        raise stop
    assert caught.value.exit_code == 130


@pytest.mark.parametrize("error", [Interrupted("stopped"), WaitTimeout("late")])
def test_the_hint_is_the_same_command(
    error: MlplatError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("mlplat.main.app", broken)
    monkeypatch.setattr(sys, "argv", ["mlplat", "train", "churn", "-p", "C=0.5", "--timeout", "5"])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == error.exit_code
    assert "hint: mlplat train churn -p C=0.5 --timeout 5" in capsys.readouterr().err
