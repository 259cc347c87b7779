"""Questions: what stops them."""

from __future__ import annotations

import io
import sys

import pytest

from mlplat import output
from mlplat.errors import Interrupted


def test_a_question_that_is_left_unanswered_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(Interrupted, match="not approved; nothing was changed") as stopped:
        output.confirm("All of it?", flag="--auto-approve")
    assert stopped.value.exit_code == 130
    assert "All of it? Type 'yes' to go on" in capsys.readouterr().err
