"""A config folder of one's own, and what is told about it when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlplat.errors import SettingsError
from mlplat.settings import load, packaged_project

CONFIG = packaged_project() / "config"
Wrong = Callable[..., list[str]]


@pytest.fixture
def shipped() -> Path:
    """The config folder that comes with mlplat."""
    return CONFIG


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config folder of one's own, as mlplat ships it."""
    for path in CONFIG.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def wrong(folder: Path) -> Wrong:
    """The problems that loading reports for a development.toml and an environment."""

    def problems(toml: str = "", environ: dict[str, str] | None = None, **how: Any) -> list[str]:
        (folder / "development.toml").write_text(toml)
        with pytest.raises(SettingsError) as caught:
            load(**{"config": folder, "environ": environ or {}, **how})
        assert caught.value.exit_code == 2
        assert caught.value.hint
        text = caught.value.message.replace(f"{folder}/", "")
        found = re.fullmatch(r"reading the settings: (\d+) problems\n(.*)", text, re.DOTALL)
        if not found:
            return [text.removeprefix("reading the settings: ")]
        lines = [line.removeprefix("  ") for line in found[2].splitlines()]
        assert len(lines) == int(found[1])
        return lines

    return problems
