"""`mlplat local`: what each command prints, and that it does what it says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlplat import output
from mlplat.commands.local import app
from mlplat.errors import LocalCloudError
from mlplat.localcloud import daemon


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output.mode, "json", False)
    yield tmp_path
    daemon.stop(tmp_path / ".mlplat" / "local")


def run(*arguments: str) -> str:
    output.mode.json = False
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_start_to_stop(here: Path) -> None:
    assert json.loads(run("status", "--json")) == {"running": False}
    started = json.loads(run("start", "--json"))
    assert json.loads(run("start", "--json")) == started
    status = json.loads(run("status", "--json"))
    assert (status["running"], status["url"], status["children"]) == (True, started["url"], [])
    assert status["sandbox"] in ("root", "bwrap", "user-namespace", "none")
    assert started["url"] in run("status")
    assert json.loads(run("stop", "--json")) == {"stopped": True}
    assert json.loads(run("stop", "--json")) == {"stopped": False}


def test_env_starts_it_and_a_shell_understands_it(here: Path) -> None:
    exports = run("env")
    variables = json.loads(run("env", "--json"))
    ask = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    script = f'{exports}\n{shlex.quote(sys.executable)} -c "{ask}"'
    environment = {"PATH": os.environ["PATH"], "AWS_PROFILE": "absent", "AWS_SESSION_TOKEN": "old"}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "123456789012", done.stderr
    assert variables["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")


def test_interrupt_says_what_it_can_not_interrupt(here: Path) -> None:
    with pytest.raises(LocalCloudError, match="interrupting training job nobody: no local cloud runs here"):
        run("interrupt", "nobody")
    run("start")
    with pytest.raises(LocalCloudError, match="interrupting training job nobody: there is no such job in us-east-1"):
        run("interrupt", "nobody")
    with pytest.raises(LocalCloudError, match="there is no such job in eu-west-1"):
        run("interrupt", "nobody", "--region", "eu-west-1")


def test_no_answer_is_an_error_with_its_place(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = daemon.start(here / ".mlplat" / "local")
    daemon.stop(here / ".mlplat" / "local")
    monkeypatch.setattr(daemon, "status", lambda _folder: address)  # it ends between the look and the question
    for words, doing in ((("status",), "looking into the local cloud"), (("interrupt", "x"), "interrupting training")):
        with pytest.raises(LocalCloudError, match=f"{doing}.*{address.url} doesn't answer") as caught:
            run(*words)
        assert caught.value.hint == "mlplat local logs"


def test_a_proxy_is_not_asked_for_this_machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NO_PROXY" not in json.loads(run("env", "--json"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "internal.example")
    variables = json.loads(run("env", "--json"))
    assert variables["NO_PROXY"] == variables["no_proxy"] == "internal.example,127.0.0.1"
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.stdout == "123456789012\n", done.stderr


def test_logs_show_the_end_of_either_log(here: Path) -> None:
    with pytest.raises(LocalCloudError, match="there is none yet"):
        run("logs")
    variables = json.loads(run("env", "--json"))
    script = "import boto3; c = boto3.client('sts'); [c.get_caller_identity() for _ in range(3)]"
    subprocess.run([sys.executable, "-c", script], env={"PATH": os.environ["PATH"], **variables}, check=True)
    lines = run("logs", "--requests", "-n", "2").splitlines()
    assert [json.loads(line)["operation"] for line in lines] == ["GetCallerIdentity"] * 2
    assert run("logs", "-n", "0") == ""


def test_reset_gives_an_empty_one(here: Path) -> None:
    assert json.loads(run("reset", "--json")) == {"running": False}
    before = json.loads(run("start", "--json"))
    assert json.loads(run("reset", "--json")) == {"running": True}
    assert json.loads(run("status", "--json"))["pid"] != before["pid"]


def test_the_group_loads_nothing_heavy() -> None:
    heavy = ["moto", "boto3", "werkzeug", "flask"]
    script = f"import sys, mlplat.commands.local; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
