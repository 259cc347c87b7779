"""Commands in this process, for tests of many: another process for each would take a second more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from mlplat import output
from mlplat.errors import MlplatError
from mlplat.main import app


def asked(*words: str, fails: bool = False) -> Any:
    """What the command prints with --json, in the current folder, also when it `fails` in the end."""
    output.mode.json = False
    try:
        ended = CliRunner().invoke(app, [*words, "--json"])
        if ended.exception is not None and not (fails and isinstance(ended.exception, MlplatError)):
            raise ended.exception
        return json.loads(ended.stdout)
    finally:
        output.mode.json = False


def refused(*words: str) -> MlplatError:
    """The error that the command ends with."""
    output.mode.json = False
    with pytest.raises(MlplatError) as caught:
        CliRunner().invoke(app, [*words], catch_exceptions=False)
    return caught.value
