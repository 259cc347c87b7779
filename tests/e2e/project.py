"""A folder with mlplat in it, as a person works in one: commands are real processes, the local cloud is a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplat.localcloud import daemon, request_log

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "churn"
STRICT = Path(__file__).with_name("strict")
"""A folder with a sitecustomize that checks the requests of each command."""


@dataclass
class Project:
    """A folder; `run` types a command in it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """A machine without AWS, where nothing waits for statuses and requests are checked as AWS checks them."""
        mine = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "MLPLAT_"))}
        mine["PYTHONPATH"] = os.pathsep.join(filter(None, (str(STRICT), mine.get("PYTHONPATH"))))
        return mine | {"MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS": "0", "NO_COLOR": "1", "COLUMNS": "250"}

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """The command, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlplat", *words],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command, ended, with the exit code that was expected and no traceback."""
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, f"mlplat {' '.join(words)}: {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err or "train" in words, err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words: str, code: int = 0) -> Any:
        """What the command prints with --json."""
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def requests(self) -> list[dict[str, Any]]:
        """The local cloud's request log, without the calls it makes to itself."""
        return [each for each in request_log.records(self.cloud) if not each["internal"]]

    @property
    def cloud(self) -> Path:
        """The folder of its local cloud."""
        return self.folder / ".mlplat" / "local"

    def client(self, service: str) -> Any:
        """A plain boto3 client of its local cloud."""
        import boto3

        address = daemon.status(self.cloud)
        assert address is not None
        session = boto3.Session(address.access_key, address.secret_key, region_name="us-east-1")
        return session.client(service, endpoint_url=address.url)

    def configure(self, text: str) -> None:
        """Write ./config: the packaged defaults, and `text` as development.toml."""
        self.run("init", ".", "--force")
        (self.folder / "config" / "development.toml").write_text(text)
