"""One invocation of a function: its code unpacked, its process, its log, its time limit, and what came of it."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.workspace import INHERITED

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
TAIL = 4096
"""Bytes of the log that LogResult holds."""


@dataclass(frozen=True)
class Function:
    """A version of a function, as it was when it was invoked."""

    name: str
    version: str
    arn: str
    role: str
    handler: str
    runtime: str
    timeout: int
    memory: int
    sha: str
    code: bytes = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Zip files by digest."""

    @property
    def log_group(self) -> str:
        """Where its output goes."""
        return f"/aws/lambda/{self.name}"


@dataclass(frozen=True)
class Outcome:
    """What the caller is answered. `error` is the type of a function error."""

    payload: bytes
    error: str | None
    log: str
    """The last lines."""

    @property
    def tail(self) -> str:
        """LogResult."""
        return base64.b64encode(self.log.encode()[-TAIL:]).decode()


class Invocation:
    """A process that runs the handler once. On AWS it would be kept for the next one; here none is."""

    def __init__(self, cloud: Cloud, function: Function, request_id: str | None = None) -> None:
        self._cloud, self._function = acting(cloud, function.role, function.name), function
        self._id = request_id or str(uuid4())
        now = cloud.now()
        self._stream = f"{now:%Y/%m/%d}/[{function.version}]{uuid4().hex}"
        self._said: list[str] = []

    def run(self, payload: bytes, client_context: str | None = None) -> Outcome:
        """Start the process and wait for its end, no longer than the function's timeout."""
        self._log = ContainerLog(self._cloud, self._function.log_group, self._stream)
        folder = Path(tempfile.mkdtemp(prefix="invocation-", dir=_home(self._cloud)))
        try:
            return self._run(folder, payload, client_context)
        finally:
            self._log.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, folder: Path, payload: bytes, client_context: str | None) -> Outcome:
        begun = time.monotonic()
        self._hear(f"START RequestId: {self._id} Version: {self._function.version}")
        (folder / "event").write_bytes(payload)
        (folder / "context").write_text(json.dumps(self._context(client_context)))
        files = [str(folder / name) for name in ("event", "result", "context")]
        child = self._cloud.supervisor.spawn(
            [sys.executable, "-P", str(BOOTSTRAP), self._function.handler, *files],
            env=self._environment(folder),
            cwd=self._task(),
            on_line=self._hear,
            label=f"function {self._function.name}",
        )
        code = child.wait(self._function.timeout)
        child.kill()  # what the handler has started goes with it
        child.wait(5.0)
        body, failed = self._answer(folder / "result", code)
        self._report(time.monotonic() - begun, timed_out=code is None)
        return Outcome(body, "Unhandled" if failed else None, "\n".join(self._said))

    def _answer(self, result: Path, code: int | None) -> tuple[bytes, bool]:
        if code is None:
            return self._error("Sandbox.Timedout", f"Task timed out after {self._function.timeout}.00 seconds"), True
        try:
            told = json.loads(result.read_text())
        except (OSError, ValueError):
            how = f"signal: {code - 128}" if code > 128 else f"exit status {code}"
            return self._error("Runtime.ExitError", f"Runtime exited with error: {how}"), True
        return told["answer"].encode(), bool(told["failed"])

    def _error(self, kind: str, text: str) -> bytes:
        message = f"RequestId: {self._id} Error: {text}"
        self._hear(message)
        return json.dumps({"errorType": kind, "errorMessage": message}).encode()

    def _hear(self, line: str) -> None:
        self._said = [*self._said[-200:], line]
        self._log.line(line)

    def _report(self, took: float, *, timed_out: bool) -> None:
        self._hear(f"END RequestId: {self._id}")
        memory = f"Memory Size: {self._function.memory} MB"
        line = f"REPORT RequestId: {self._id}\tDuration: {took * 1000:.2f} ms\tBilled Duration: "
        line += f"{math.ceil(took * 1000)} ms\t{memory}"
        self._hear(line + ("\tStatus: timeout" if timed_out else ""))

    def _context(self, client_context: str | None) -> dict[str, Any]:
        function = self._function
        return {
            "function_name": function.name,
            "function_version": function.version,
            "invoked_function_arn": function.arn,
            "memory_limit_in_mb": str(function.memory),
            "aws_request_id": self._id,
            "log_group_name": function.log_group,
            "log_stream_name": self._stream,
            "client_context": json.loads(base64.b64decode(client_context)) if client_context else None,
            "deadline": time.time() + function.timeout,
        }

    def _environment(self, folder: Path) -> dict[str, str]:
        """Lambda's own variables (developer guide, "Defined runtime environment variables") over the function's."""
        function = self._function
        kept = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith("LC_")}
        paths = [str(self._task()), *(str(self._unpacked(d, z) / "python") for d, z in function.layers.items())]
        own = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "TZ": ":UTC",
            "_HANDLER": function.handler,
            "LAMBDA_TASK_ROOT": str(self._task()),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._stream,
        }
        return kept | dict(function.environment) | own | self._cloud.environment()

    def _task(self) -> Path:
        return self._unpacked(self._function.sha, self._function.code)

    def _unpacked(self, sha: str, code: bytes) -> Path:
        """The folder with the code; made once for each digest."""
        folder = _home(self._cloud) / f"code-{base64.b64decode(sha).hex()}"
        if not folder.exists():
            fresh = Path(tempfile.mkdtemp(prefix="unpacking-", dir=_home(self._cloud)))
            with zipfile.ZipFile(io.BytesIO(code)) as archive:
                archive.extractall(fresh)
            try:
                fresh.rename(folder)
            except OSError:  # another invocation was first
                shutil.rmtree(fresh, ignore_errors=True)
        return folder


def _home(cloud: Cloud) -> Path:
    folder = cloud.folder / "functions" / cloud.region
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
