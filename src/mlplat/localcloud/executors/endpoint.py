"""What serves an endpoint: a model server process per variant, brought up, kept up, drained and ended."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.model_data import Container, ModelDataError
from mlplat.localcloud.executors.router import INVOCATION_TIMEOUT, Answer, Connections, HungUp, TimedOut, Unreachable
from mlplat.localcloud.executors.workspace import INHERITED
from mlplat.localcloud.supervisor import Child

log = logging.getLogger(__name__)

PING_EVERY, PING_TIMEOUT = 0.02, 2.0
LONGEST_PAUSE = 30.0
"""Seconds between two attempts to bring a model server back that keeps ending."""


class NotReady(Exception):
    """A variant did not come up; the text is the endpoint's FailureReason."""


@dataclass(frozen=True)
class Variant:
    """What a model server needs to know of its production variant."""

    name: str
    container: Container
    startup_seconds: float


class ModelServer:
    """The model server of one variant: started, pinged, and started again when it ends by itself."""

    def __init__(self, cloud: Cloud, endpoint: str, variant: Variant) -> None:
        self.variant, self._cloud = variant, acting(cloud, variant.container.role)
        self.stream = f"{variant.name}/i-{secrets.token_hex(8)}{secrets.token_hex(1)[:1]}"
        self._label = f"endpoint {endpoint} {variant.name}"
        self._folder = Path(tempfile.mkdtemp(prefix="variant-", dir=_home(cloud)))
        for name in ("ml", "home", "tmp"):
            (self._folder / name).mkdir()
        self._log = ContainerLog(self._cloud, f"/aws/sagemaker/Endpoints/{endpoint}", self.stream)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._connections: Connections | None = None
        self._keeper = threading.Thread(target=self._keep_up, name=self._label, daemon=True)

    def start(self) -> None:
        """Fetch the model, start the process, and return once it answers a ping. Raises NotReady with the reason."""
        try:
            self.variant.container.place(self._cloud, self._folder / "ml")
        except ModelDataError as error:
            raise NotReady(str(error)) from error
        if not self._launch():
            raise NotReady(
                f"The primary container for production variant {self.variant.name} did not pass the ping health "
                "check. Please check CloudWatch logs for this endpoint."
            )
        self._keeper.start()

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One request to /invocations. Raises what `Connections.send` does."""
        connections = self._connections
        if connections is None:
            raise Unreachable("the model server is being started again")
        return connections.send("POST", "/invocations", body, headers, INVOCATION_TIMEOUT)

    def stop(self) -> None:
        """End the process, close its log, and remove what it was given."""
        self._stopping.set()
        if (connections := self._connections) is not None:
            connections.close()
        with self._lock:
            child = self._child
        if child is not None:
            child.stop(grace=5.0)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self) -> bool:
        """Start the process and wait until it is ready; False when it ended, or took too long and was ended."""
        socket = self._folder / secrets.token_hex(4)
        with self._lock:
            if self._stopping.is_set():
                return False
            self._child = child = self._spawn(socket)
        connections = Connections(socket)
        until = time.monotonic() + self.variant.startup_seconds
        while child.alive and time.monotonic() < until:
            if _is_ready(connections):
                self._connections = connections
                return True
            self._stopping.wait(PING_EVERY)
        connections.close()
        child.kill()
        return False

    def _spawn(self, socket: Path) -> Child:
        module = "mlplat.localcloud.executors.model_server"
        folders = {"HOME": str(self._folder / "home"), "TMPDIR": str(self._folder / "tmp")}
        given = {**_host_environment(), **folders, **self._cloud.environment(), **self.variant.container.environment}
        return self._cloud.supervisor.spawn(
            [sys.executable, "-P", "-m", module, "--socket", socket.name, "--model-dir", "/opt/ml/model"],
            env=given,
            cwd=self._folder,  # the socket's folder: its path may be too long to be bound
            opt_ml=self._folder / "ml",
            on_line=self._log.line,
            label=self._label,
            limits=self._cloud.supervisor.limits.on(self._folder),
        )

    def _keep_up(self) -> None:
        """Start the process again whenever it ends before it is told to."""
        pause = 0.1
        while not self._stopping.is_set():
            child = self._child
            code = child.wait() if child else None
            self._connections = None
            if self._stopping.wait(pause) or self._cloud.closed:
                return
            self._log.line(f"The model server ended with exit code {code}: starting it again")
            log.warning("%s ended with exit code %s: starting it again", self._label, code)
            try:
                pause = 0.1 if self._launch() else min(2 * pause, LONGEST_PAUSE)
            except (OSError, RuntimeError):
                log.exception("%s could not be started again", self._label)
                pause = min(2 * pause, LONGEST_PAUSE)


class Fleet:
    """The model servers of one endpoint configuration, by variant; `enter` keeps them up while a request is served."""

    def __init__(self, cloud: Cloud, endpoint: str, variants: Sequence[Variant]) -> None:
        self.servers = {each.name: ModelServer(cloud, endpoint, each) for each in variants}
        self._changed = threading.Condition()
        self._requests = 0
        self._retired = False

    def start(self) -> None:
        """Bring all variants up at once. Raises the first NotReady, in the variants' order, with all of them ended."""
        servers = list(self.servers.values())
        with ThreadPoolExecutor(len(servers)) as pool:
            started = [pool.submit(each.start) for each in servers]
        failed = next((error for each in started if (error := each.exception())), None)
        if failed is not None:
            self.stop()
            raise failed

    def enter(self) -> bool:
        """Hold the fleet for a request, until `leave`; False when it has been retired."""
        with self._changed:
            if not self._retired:
                self._requests += 1
            return not self._retired

    def leave(self) -> None:
        """The request is done."""
        with self._changed:
            self._requests -= 1
            self._changed.notify_all()

    def stop(self, within: float = INVOCATION_TIMEOUT) -> None:
        """Take no more requests, let those under way finish for `within` seconds, and end every process."""
        with self._changed:
            self._retired = True
            self._changed.wait_for(lambda: not self._requests, within)
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(ModelServer.stop, self.servers.values()))


def _is_ready(connections: Connections) -> bool:
    with suppress(Unreachable, HungUp, TimedOut):
        return connections.send("GET", "/ping", timeout=PING_TIMEOUT).status == 200
    return False


def clear(cloud: Cloud) -> None:
    """Remove what the fleets of an earlier daemon have left; nothing serves from it any more."""
    shutil.rmtree(_home(cloud), ignore_errors=True)


def _home(cloud: Cloud) -> Path:
    folder = cloud.folder / "endpoints" / cloud.region
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _host_environment() -> dict[str, str]:
    """What a container would bring along itself: where programs are, the language, certificates. No credentials."""
    kept = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith("LC_")}
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**kept, "PATH": programs, "PYTHONUNBUFFERED": "1"}
