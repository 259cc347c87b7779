"""The local cloud of a folder, seen from outside: start, stop, find, and the address that clients need."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mlplat.errors import LocalCloudError
from mlplat.localcloud import processes

REFUSED = 3
"""The daemon's exit code when what is kept can't be read."""

LEAST_ROOM = 1 << 20
"""Bytes of a disk without which no start is tried: SQLite ends the process when it can't map its index."""

START_WITHIN = 60.0
"""Seconds after which a start is given up. It takes about one; a machine that swaps needs more."""

ANSWER_WITHIN = 60.0
"""Seconds after which one that runs is taken for deaf. It answers at once; on a busy machine it takes its time."""


@dataclass(frozen=True)
class Address:
    """A running local cloud. `environment()` points any AWS client at it."""

    folder: Path
    url: str
    access_key: str
    secret_key: str
    region: str
    account: str
    pid: int
    started: str
    instance: str
    version: str
    transition_delay: float
    eventual_consistency_reads: int
    enforce_iam: bool = False

    @property
    def role(self) -> str:
        """An execution role ARN for tools that need one before any role exists."""
        return f"arn:aws:iam::{self.account}:role/mlplat-local"

    def environment(self) -> dict[str, str]:
        """The variables of `mlplat local env`. Writes the SageMaker SDK's configuration file that one of them names.

        The SDK asks STS's public host for the account when it makes up a bucket name, whatever AWS_ENDPOINT_URL
        says; its configuration file gives it bucket and role instead.
        """
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(self._sdk_configuration()),
            **around_proxies(),
        }

    def _sdk_configuration(self) -> Path:
        role = {"RoleArn": self.role}
        defaults = {
            "SchemaVersion": "1.0",
            "SageMaker": {
                "PythonSDK": {
                    "Modules": {
                        "Session": {"DefaultS3Bucket": f"sagemaker-{self.region}-{self.account}"},
                        "TelemetryOptOut": True,
                    }
                },
                "TrainingJob": role,
                "ProcessingJob": role,
                "Pipeline": role,
                "MonitoringSchedule": {"MonitoringScheduleConfig": {"MonitoringJobDefinition": role}},
                "Model": {"ExecutionRoleArn": self.role},
                "FeatureGroup": role,
            },
        }
        path = self.folder / "sagemaker-config.yaml"
        text = json.dumps(defaults, indent=2)  # JSON is YAML
        try:
            if not path.exists() or path.read_text() != text:
                _write(path, text)
        except OSError as error:
            raise LocalCloudError(f"writing {path}: {error.strerror}", hint=f"df -h {self.folder}") from error
        return path


def _write(path: Path, text: str) -> None:
    """The whole text, or nothing, for the user alone."""
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(new).replace(path)
    except OSError:
        Path(new).unlink(missing_ok=True)
        raise


def around_proxies() -> dict[str, str]:
    """NO_PROXY for this machine, where a proxy is set: it would be asked for 127.0.0.1 and not find it there."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    if not any(os.environ.get(each) for name in names for each in (name, name.lower())):
        return {}
    known = [each for each in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",") if each]
    value = ",".join(known if "127.0.0.1" in known else [*known, "127.0.0.1"])
    return {"NO_PROXY": value, "no_proxy": value}


def ensure(
    folder: Path,
    *,
    region: str = "us-east-1",
    transition_delay: float = 0.5,
    eventual_consistency_reads: int = 0,
    enforce_iam: bool = False,
) -> Address:
    """The folder's local cloud, started if it doesn't run. Safe to call from many processes at once."""
    return status(folder) or start(
        folder,
        region=region,
        transition_delay=transition_delay,
        eventual_consistency_reads=eventual_consistency_reads,
        enforce_iam=enforce_iam,
    )


def start(
    folder: Path,
    *,
    port: int = 0,
    region: str = "us-east-1",
    transition_delay: float = 0.5,
    eventual_consistency_reads: int = 0,
    enforce_iam: bool = False,
) -> Address:
    """Start the folder's local cloud and wait until it answers; the running one, if there is one.

    `port` 0 lets the kernel choose. `eventual_consistency_reads`: how often a new object is not found at
    first. `enforce_iam`: roles may do what their policies say and no more. Raises LocalCloudError when the port is
    taken or it can't run.
    """
    folder = folder.absolute()
    if importlib.util.find_spec("moto") is None:
        raise LocalCloudError(
            "starting the local cloud: moto is not installed", hint=f"{sys.executable} -m pip install 'mlplat[local]'"
        )
    with _starting(folder):
        running = status(folder)
        if running is None:
            return _launch(folder, port, region, transition_delay, eventual_consistency_reads, enforce_iam)
        if port and not running.url.endswith(f":{port}"):
            raise LocalCloudError(
                f"starting the local cloud on port {port}: it already runs at {running.url}", hint="mlplat local stop"
            )
        return running


def status(folder: Path) -> Address | None:
    """The folder's running local cloud, proven by pid, start time and the id that it answers a ping with."""
    address = _read(folder.absolute())
    if address is None or not processes.lives(address.pid, address.started):
        return None
    for patience in (2.0, 10.0):  # a machine under load may need a second look
        with contextlib.suppress(OSError, ValueError):
            return address if _ping(address, patience) == address.instance else None
    return None


def about(address: Address) -> dict[str, Any]:
    """What runs inside: `sandbox` (how children are shut in) and `children` (their labels)."""
    return _told("looking into the local cloud", address)


def interrupt(address: Address, job: str, *, region: str, seconds: float) -> None:
    """Take the spot instances of a training job away. Raises LocalCloudError when it has none now."""
    query = urllib.parse.urlencode({"job": job, "region": region, "seconds": seconds})
    doing = f"interrupting training job {job}"
    if problem := _told(doing, address, f"/_localcloud/interrupt?{query}").get("error"):
        raise LocalCloudError(f"{doing}: {problem}", hint="mlplat local status")


def advance(address: Address, seconds: float) -> datetime:
    """Move the clock of alarms, schedules and retries ahead; what is due by then has begun. The time that it shows."""
    return datetime.fromisoformat(_ask(address, 60.0, f"/_localcloud/advance?seconds={seconds}")["now"])


def stop(folder: Path, *, grace: float = 15.0) -> bool:
    """End the folder's local cloud and all its children; False when none was running."""
    folder = folder.absolute()
    address = _read(folder)
    if address is None:
        return False
    running = processes.lives(address.pid, address.started)
    if running and not processes.end(address.pid, address.started, grace=grace):
        raise LocalCloudError(
            f"stopping the local cloud: process {address.pid} does not end", hint=f"kill -9 {address.pid}"
        )
    (folder / "daemon.json").unlink(missing_ok=True)
    return running


def reset(folder: Path) -> Address | None:
    """Forget everything; a local cloud that was running is started again, empty, as it was."""
    folder = folder.absolute()
    before = status(folder)
    stop(folder)
    with _starting(folder):
        for entry in folder.iterdir():
            if entry.name not in ("start.lock", "daemon.lock"):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return before and start(
        folder,
        region=before.region,
        transition_delay=before.transition_delay,
        eventual_consistency_reads=before.eventual_consistency_reads,
        enforce_iam=before.enforce_iam,
    )


def _launch(folder: Path, port: int, region: str, transition_delay: float, reads: int, enforce_iam: bool) -> Address:
    command = [sys.executable, "-m", "mlplat.localcloud.server", str(folder)]
    command += ["--port", str(port), "--region", region, "--transition-delay", str(transition_delay)]
    command += ["--eventual-consistency-reads", str(reads), *(["--enforce-iam"] if enforce_iam else [])]
    if shutil.disk_usage(folder).free < LEAST_ROOM:
        raise LocalCloudError(
            f"starting the local cloud in {folder}: no space left on the disk", hint=f"df -h {folder}"
        )
    (folder / "daemon.json").unlink(missing_ok=True)
    output = folder / "daemon.log"
    with open(output, "ab", opener=_for_the_user) as log:
        begin = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while we live
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline:
        address = _read(folder)
        if address is not None and address.pid == process.pid:
            with contextlib.suppress(OSError, ValueError):
                if _ping(address, 10.0) == address.instance:
                    return address
        if process.poll() is not None:
            raise _failed(output, begin, process.returncode, port)
        time.sleep(0.02)
    process.kill()
    raise LocalCloudError(f"starting the local cloud: no answer after {START_WITHIN:.0f} s", hint="mlplat local logs")


def _failed(output: Path, begin: int, code: int, port: int) -> LocalCloudError:
    said = output.read_bytes()[begin:].decode(errors="replace").strip().splitlines() or ["it ended without a word"]
    hint = "mlplat local start" if port else "mlplat local logs"
    if code == REFUSED:
        hint = "mlplat local reset"
    return LocalCloudError(f"starting the local cloud: {said[-1]}", hint=hint)


@contextlib.contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """One start at a time per folder; who comes second finds the local cloud running."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = open(folder / "start.lock", "w", opener=_for_the_user)  # noqa: SIM115
    except OSError as error:
        raise LocalCloudError(
            f"starting the local cloud in {folder}: {error.strerror}", hint=f"ls -ld {folder.parent}"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _for_the_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(folder: Path) -> Address | None:
    try:
        about: dict[str, Any] = json.loads((folder / "daemon.json").read_text())
        return Address(folder=folder, **about)
    except (OSError, ValueError, TypeError):
        return None


def _ping(address: Address, patience: float) -> str:
    return str(_ask(address, patience)["instance"])


def _told(doing: str, address: Address, path: str = "/_localcloud/ping") -> dict[str, Any]:
    """What a local cloud that is there answers. Raises LocalCloudError when it doesn't."""
    try:
        return _ask(address, ANSWER_WITHIN, path)
    except OSError as error:
        raise LocalCloudError(f"{doing}: {address.url} doesn't answer: {error}", hint="mlplat local logs") from error


def _ask(address: Address, patience: float, path: str = "/_localcloud/ping") -> dict[str, Any]:
    """The id goes to anybody who asks; the rest only to who knows the secret."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    question = urllib.request.Request(  # noqa: S310 (the URL is ours)
        f"{address.url}{path}", headers={"X-Secret-Key": address.secret_key}
    )
    with opener.open(question, timeout=patience) as answer:
        told: dict[str, Any] = json.loads(answer.read())
        return told
