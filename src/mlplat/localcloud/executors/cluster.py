"""The hosts of one job: a container each on this machine, that find each other by name and fail as one."""

from __future__ import annotations

import itertools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.workspace import Workspace
from mlplat.localcloud.limits import Verdict
from mlplat.localcloud.sandbox import Machine
from mlplat.localcloud.supervisor import Child

GRACE = 120.0
"""Seconds between SIGTERM and SIGKILL. Source: StopTrainingJob's documentation."""
ORPHANED = 10.0
"""The same for hosts whose job has failed on another host; AWS doesn't say."""

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
"""The network interface by which the hosts of a job reach each other."""

_networks = itertools.count(os.getpid())
"""Each job has a loopback network of its own, 127.x.y.0/24: its hosts may use equal ports, also beside other jobs."""


@dataclass(frozen=True)
class Host:
    """One machine of the job."""

    name: str
    """algo-1, algo-2, ..."""
    address: str
    called: str
    """What its job knows it as: the name, or the address where names can't be made to resolve."""
    workspace: Workspace


@dataclass(frozen=True)
class End:
    """How a job's containers ended: the exit code, and the host that it is of."""

    host: Host
    code: int
    verdict: Verdict | None = None
    """Why the local cloud ended it, if it did."""


class Image(Protocol):
    """What the containers of a job have beyond the machine's own programs."""

    def environment(self, host: Host, given: Mapping[str, str]) -> Mapping[str, str]:
        """The container's environment, with what the image sets."""

    def machine(self, host: Host, plain: Machine, environment: Mapping[str, str]) -> Machine:
        """The container's machine, with what the image adds."""


class Cluster:
    """`make`, `start`, `wait`, `close`, `remove`, in this order; `stop` from any thread at any time."""

    def __init__(self, cloud: Cloud, kind: str, job: str, count: int, gigabytes: int | None = None) -> None:
        """`kind` and `job` name the folder, and the children for `mlplat local status`.

        Each host has a volume of so many gigabytes, or what the disk has.
        """
        self._volume = None if gigabytes is None else gigabytes << 30
        self._cloud, self._label = cloud, f"{kind}-job/{job}"
        self._root = cloud.folder / "jobs" / cloud.region / kind / job
        network = next(_networks) % (200 * 254)
        self.hosts = tuple(
            self._host(f"algo-{number}", f"127.{10 + network // 254}.{1 + network % 254}.{number}")
            for number in range(1, count + 1)
        )
        self._ended: queue.SimpleQueue[End] = queue.SimpleQueue()
        self._ends: list[End] = []
        self._children: dict[str, Child] = {}
        self._logs: list[ContainerLog] = []
        self._stopping = threading.Event()
        self.image: Image | None = None
        """To be set before `start`, if at all."""

    def _host(self, name: str, address: str) -> Host:
        called = name if self._cloud.supervisor.private or name == "algo-1" else address
        return Host(name, address, called, Workspace(self._cloud, self._root / name))

    @property
    def called(self) -> list[str]:
        """The hosts as the job knows them."""
        return [host.called for host in self.hosts]

    @property
    def private(self) -> bool:
        """Whether a host sees files of its own."""
        return self._cloud.supervisor.private

    def make(self, folders: Sequence[str]) -> None:
        """Make the hosts' folders; `folders` are those under /opt/ml."""
        known = _read("/etc/hosts") or "127.0.0.1 localhost\n"
        own = "".join(f"{host.address} {host.name}\n" for host in self.hosts)
        for host in self.hosts:
            host.workspace.make(folders)
            (host.workspace.root / "hosts").write_text(f"{known.rstrip()}\n{own}")
            (host.workspace.root / "environment").write_text(_read("/etc/environment"))

    def remove(self) -> None:
        """Delete all folders."""
        for host in self.hosts:
            host.workspace.remove()
        if self._root.is_dir():
            self._root.rmdir()

    def start(
        self,
        command: Sequence[str],
        environment: Callable[[Host], Mapping[str, str]],
        group: str,
        stream: str,
        heard: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Run the command on every host. Logs go to `<stream>/<host>-<epoch>` of the log group, and to `heard`."""
        epoch = int(time.time())
        for host in self.hosts:
            output = ContainerLog(self._cloud, group, f"{stream}/{host.name}-{epoch}")
            self._logs.append(output)
            self._spawn(host, command, environment(host), _both(heard, output.line))
        if self._stopping.is_set():  # it was asked to stop while the children were being made
            self.stop()

    def _spawn(
        self, host: Host, command: Sequence[str], environment: Mapping[str, str], heard: Callable[[str], None]
    ) -> None:
        workspace = host.workspace
        files = {"/etc/hosts": workspace.root / "hosts", "/etc/environment": workspace.root / "environment"}
        machine = Machine(host.name, files)
        if self.image:
            environment = self.image.environment(host, environment)
            machine = self.image.machine(host, machine, environment)
        child = self._cloud.supervisor.spawn(
            command,
            env=environment,
            cwd=workspace.root / "home",
            opt_ml=workspace.ml,
            on_line=heard,
            label=self._label if len(self.hosts) == 1 else f"{self._label}/{host.name}",
            machine=machine,
            limits=self._cloud.supervisor.limits.on(workspace.root, self._volume),
        )
        self._children[host.name] = child
        threading.Thread(target=self._attend, args=(host, child), daemon=True).start()

    def _attend(self, host: Host, child: Child) -> None:
        code = child.wait()
        self._ended.put(End(host, -1 if code is None else code, child.verdict))

    def wait(self, patience: float) -> End | None:
        """Until all have ended: the first that failed, or the first host's end; None after `patience` seconds.

        When one fails, the others are ended: the job can't go on.
        """
        deadline = time.monotonic() + patience
        while len(self._ends) < len(self.hosts):
            try:
                end = self._ended.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            self._ends.append(end)
            if end.code != 0 and not self._stopping.is_set():
                self._stop(ORPHANED)
                deadline = max(deadline, time.monotonic() + 2 * ORPHANED)
        return next((end for end in self._ends if end.code != 0), End(self.hosts[0], 0))

    def stop(self, grace: float = GRACE) -> None:
        """SIGTERM to every host, after `grace` seconds SIGKILL; returns at once."""
        self._stopping.set()
        self._stop(grace)

    def _stop(self, grace: float) -> None:
        for child in list(self._children.values()):
            if child.alive:
                threading.Thread(target=child.stop, args=(grace,), daemon=True).start()

    def close(self) -> None:
        """Write what is left of the logs."""
        for each in self._logs:
            each.close()
        self._logs.clear()


def _both(first: Callable[[str], None], second: Callable[[str], None]) -> Callable[[str], None]:
    def heard(line: str) -> None:
        first(line)
        second(line)

    return heard


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
