"""The model server of one instance of a transform job, and how it is asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.cluster import Host
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.model_data import Container, ModelDataError
from mlplat.localcloud.executors.progress import JobFailed
from mlplat.localcloud.executors.router import Connections, HungUp, TimedOut, Unreachable
from mlplat.localcloud.limits import Verdict
from mlplat.localcloud.supervisor import Child

STARTUP = 600.0
"""Seconds for a container to answer its ping; the documentation of batch transform doesn't say."""
PING_EVERY, PING_TIMEOUT = 0.02, 2.0
RETRIES, TIMEOUT = 3, 600.0
"""ModelClientConfig's defaults. Source: its API reference."""
PAUSE = 0.2
"""Seconds between two attempts."""


class Refused(Exception):
    """The model did not answer a payload; `client` when it said that the payload is at fault (4xx)."""

    def __init__(self, words: str, *, client: bool) -> None:
        super().__init__(words)
        self.client = client


class TransformServer:
    """One process that serves the model; `ask` from many threads at once."""

    def __init__(self, cloud: Cloud, job: Mapping[str, Any], host: Host, output: ContainerLog) -> None:
        self._cloud, self._job, self._host, self._log = cloud, job, host, output
        client = job.get("ModelClientConfig", {})
        self._retries: int = client.get("InvocationsMaxRetries", RETRIES)
        self._timeout: float = client.get("InvocationsTimeoutInSeconds", TIMEOUT)
        self._connections = Connections(host.workspace.root / "model.socket")
        self._child: Child | None = None

    def start(self, container: Container) -> None:
        """Fetch the model and start the process; returns once it answers a ping. Raises JobFailed."""
        workspace = self._host.workspace
        try:
            container.place(self._cloud, workspace.ml)
        except ModelDataError as error:
            raise JobFailed(f"ClientError: {error}") from error
        given = {**container.environment, **about(self._job), **self._job.get("Environment", {})}
        module = "mlplat.localcloud.executors.model_server"
        self._child = self._cloud.supervisor.spawn(
            [sys.executable, "-P", "-m", module, "--socket", "model.socket", "--model-dir", "/opt/ml/model"],
            env=workspace.environment({}, given, isolated=False),
            cwd=workspace.root,  # the socket's folder: its path may be too long to be bound
            opt_ml=workspace.ml,
            on_line=self._log.line,
            label=f"transform-job/{self._job['TransformJobName']}",
            limits=self._cloud.supervisor.limits.on(workspace.root),
        )
        self._wait(self._child)

    def _wait(self, child: Child) -> None:
        until = time.monotonic() + STARTUP
        while child.alive and time.monotonic() < until:
            with suppress(Unreachable, HungUp, TimedOut):
                if self._connections.send("GET", "/ping", timeout=PING_TIMEOUT).status == 200:
                    return
            time.sleep(PING_EVERY)
        if child.verdict:
            raise JobFailed(child.verdict.reason)
        raise JobFailed(
            "AlgorithmError: Model container failed to respond to ping; Please ensure /ping endpoint is implemented "
            "and responds with an HTTP 200 status code"
        )

    def ask(self, body: bytes) -> bytes:
        """The model's answer to one payload, asked again when that may help. Raises Refused."""
        for left in range(self._retries, -1, -1):
            try:
                return self._ask(body)
            except Refused as error:
                if error.client or not left:
                    raise
                time.sleep(PAUSE)
        raise AssertionError("unreachable")

    def _ask(self, body: bytes) -> bytes:
        asked = {
            "Content-Type": self._job["TransformInput"].get("ContentType"),
            "Accept": self._job["TransformOutput"].get("Accept"),
        }
        headers = {name: value for name, value in asked.items() if value}
        try:
            answer = self._connections.send("POST", "/invocations", body, headers, self._timeout)
        except (Unreachable, HungUp) as error:
            raise Refused("Fail to connect to server", client=False) from error
        except TimedOut as error:
            raise Refused(
                f"Model server did not respond to the request within {self._timeout:g} s", client=False
            ) from error
        if answer.status == 200:
            return answer.body
        said = answer.body.decode(errors="replace")[:1024]
        words = f"Bad HTTP status received from algorithm: {answer.status}"
        raise Refused(f"{words}\n{said}", client=400 <= answer.status < 500)

    @property
    def verdict(self) -> Verdict | None:
        """Why the local cloud ended the process, if it did."""
        return self._child.verdict if self._child else None

    def stop(self, grace: float) -> None:
        """End the process."""
        self._connections.close()
        if self._child is not None:
            self._child.stop(grace)


def about(job: Mapping[str, Any]) -> dict[str, str]:
    """What the container is told. Source: developer guide, "Use Your Own Inference Code with Batch Transform"."""
    return {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(job["MaxPayloadInMB"]),
        "SAGEMAKER_BATCH_STRATEGY": strategy(job),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(job["MaxConcurrentTransforms"]),
    }


def strategy(job: Mapping[str, Any]) -> str:
    """BatchStrategy as containers and logs have it."""
    return {"SingleRecord": "SINGLE_RECORD"}.get(job.get("BatchStrategy", ""), "MULTI_RECORD")
