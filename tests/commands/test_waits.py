"""Every command that waits can be told for how long, and the same command joins the wait again."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command

from mlplat.aws import Session
from mlplat.commands.context import following
from mlplat.errors import Interrupted, MlplatError, WaitTimeout
from mlplat.main import app, run

PLATFORM = ("plan", "apply", "destroy", "adopt", "bootstrap", "drift", "status", "describe", "state rebuild")
RUNS = ("train", "deploy", "invoke", "registry list", "registry approve", "registry reject", "features ingest")
WAITING = {*PLATFORM, *RUNS, "data put", "data ls", "state forget", "state migrate"}


def command(words: str) -> Any:
    found: Any = get_command(app)
    for word in words.split():
        found = found.commands[word]
    return found


@pytest.mark.parametrize("words", sorted(WAITING))
def test_what_waits_takes_a_timeout(words: str) -> None:
    assert "--timeout" in {name for param in command(words).params for name in param.opts}


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
