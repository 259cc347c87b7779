"""The folders and the environment of one host of a job: what the container of SageMaker would see."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlplat.localcloud.cloud import Cloud

OPT_ML = "/opt/ml"

INHERITED = frozenset(
    {
        "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY",
        "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CUDA_VISIBLE_DEVICES",
    }
)  # fmt: skip
"""What a job sees of the daemon's environment, besides PATH and pip's settings. Never the user's AWS credentials."""


class Workspace:
    """The private folder of a host: `ml` becomes its /opt/ml; home, temporary files and packages stand beside it."""

    def __init__(self, cloud: Cloud, root: Path) -> None:
        self._cloud, self.root = cloud, root
        self.ml = self.root / "ml"

    def make(self, folders: Sequence[str] = ()) -> None:
        """Make the folders, empty; `folders` are those under /opt/ml."""
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("ml", "home", "tmp", *(f"ml/{each}" for each in folders)):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def channel(self, name: str) -> Path:
        """The folder of a channel."""
        return self.ml / "input" / "data" / name

    def said(self, name: str) -> str:
        """What the container has written to /opt/ml/output/NAME (`failure`), or nothing."""
        try:
            return (self.ml / "output" / name).read_text(errors="replace").strip()
        except OSError:
            return ""

    def inside(self, path: str) -> Path | None:
        """Where a path under /opt/ml lies; None for one that isn't."""
        normal = Path(os.path.normpath(path))
        return self.ml / normal.relative_to(OPT_ML) if normal.is_relative_to(OPT_ML) else None

    def configure(self, folder: str, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the JSON files that tell the container about its job into a folder under /opt/ml."""
        for name, value in files.items():
            (self.ml / folder / f"{name}.json").write_text(json.dumps(value))

    def name_real_paths(self) -> None:
        """Where a job can't have an /opt/ml of its own, the SDK's driver scripts name the real folder instead."""
        for script in self.channel("sm_drivers").rglob("*"):
            if script.suffix in (".sh", ".py", ".json"):
                script.write_text(script.read_text().replace(OPT_ML, str(self.ml)))

    def environment(self, about: Mapping[str, str], given: Mapping[str, str], *, isolated: bool) -> dict[str, str]:
        """The complete environment of the container: nothing of the user's account, the local cloud's own.

        `about` the job, and what the request has `given`. SageMaker gives an `isolated` container no credentials.
        """
        kept = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith(("LC_", "PIP_"))}
        programs = self._programs()
        packages = str(self.root / "packages")
        own = {
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "XDG_CACHE_HOME": str(self._cloud.folder / "cache"),  # matplotlib's font list and such, made once
            "PIP_TARGET": packages,  # what a job installs is the job's alone
            "PYTHONPATH": packages,
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "UTF-8",
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"])),
        }
        access = self._cloud.environment()
        if isolated:
            access = {k: v for k, v in access.items() if k in ("AWS_REGION", "AWS_DEFAULT_REGION")}
        return kept | own | access | dict(about) | dict(given)

    def _programs(self) -> Path:
        """python3 and pip3 as the containers have them on PATH: this Python, with what is installed in it."""
        folder = self._cloud.folder / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        for name, command in (("python", ""), ("python3", ""), ("pip", "-m pip"), ("pip3", "-m pip")):
            text = f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n'
            program = folder / name
            if not program.exists() or program.read_text() != text:
                fresh = self.root / name  # renamed into place: another job may be running the old one
                fresh.write_text(text)
                fresh.chmod(0o755)
                fresh.replace(program)
        return folder
