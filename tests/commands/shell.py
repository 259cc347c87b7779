"""Commands typed in one folder with one local cloud, in this process; each test has a namespace of its own there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlplat import output
from mlplat.errors import MlplatError
from mlplat.localcloud import daemon
from mlplat.main import app
from mlplat.settings.loading import packaged_project

LOCAL = 'target = "local"\n'
FREE = LOCAL + "[approval]\nrequired = false\n"


@dataclass
class Shell:
    """Types commands for one namespace."""

    folder: Path
    namespace: str

    def configure(self, text: str) -> None:
        """Write the namespace's file."""
        (self.folder / "config" / f"{self.namespace}.toml").write_text(text)

    def run(self, *words: str, code: int = 0) -> Any:
        """The command, ended with `code`: its stdout and stderr."""
        output.mode.json = False
        ended = CliRunner().invoke(app, [*words, *self._where(words)], catch_exceptions=False)
        assert ended.exit_code == code, ended.output
        return ended

    def json(self, *words: str, code: int = 0) -> Any:
        """What it prints with --json."""
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def refused(self, *words: str) -> MlplatError:
        """The error that the command ends with."""
        with pytest.raises(MlplatError) as caught:
            self.run(*words)
        return caught.value

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """A plain boto3 client of the local cloud."""
        import boto3

        address = daemon.status(self.folder / ".mlplat" / "local")
        assert address is not None
        session = boto3.Session(address.access_key, address.secret_key, region_name=region)
        return session.client(service, endpoint_url=address.url)

    def _where(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return () if "--namespace" in words else ("--namespace", self.namespace)


def shells(folder: Path) -> Iterator[Path]:
    """A folder to type in, with a configuration; its local cloud is ended afterwards."""
    shutil.copytree(packaged_project() / "config", folder / "config")
    (folder / "examples").symlink_to(packaged_project() / "examples")
    with pytest.MonkeyPatch.context() as patching:
        patching.chdir(folder)
        patching.setenv("MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS", "0")
        yield folder
    daemon.stop(folder / ".mlplat" / "local")
