"""The demo, while its local cloud is killed at ten random moments: start again, go on, finish."""

from __future__ import annotations

import contextlib
import os
import random
import runpy
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.project import ROOT, Project

from mlplat.localcloud import daemon, processes
from mlplat.localcloud.supervisor import TAG

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KILLS = 10
WITHIN = 5.0
"""Seconds after the beginning of a step in which its kill comes, or after it when it was quicker."""


class Killer:
    """Kills the folder's daemon with SIGKILL, a random while after it was asked to."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.killed = 0
        self._threads: list[threading.Thread] = []

    def later(self) -> None:
        """Strike once, soon."""
        thread = threading.Thread(target=self._strike, args=(self.random.uniform(0, WITHIN),))
        self._threads.append(thread)
        thread.start()

    def _strike(self, after: float) -> None:
        time.sleep(after)
        until = time.monotonic() + 30
        while time.monotonic() < until:  # a daemon that is not there yet will be
            address = daemon._read(self.folder)
            if address is not None and processes.lives(address.pid, address.started):
                os.kill(address.pid, signal.SIGKILL)
                self.killed += 1
                return
            time.sleep(0.05)

    def join(self) -> None:
        """Until all have struck."""
        for each in self._threads:
            each.join()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    daemon.stop(made.cloud)


def steps() -> list[list[str]]:
    """The demo's commands."""
    return [shlex.split(command)[1:] for _, command in runpy.run_path(str(ROOT / "examples" / "demo.py"))["STEPS"]]


def attempt(project: Project, words: list[str]) -> tuple[int, str]:
    process = project.start(*words)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err or "train" in words, f"{words}: {err}"
    return process.returncode, f"{out}\n{err}"


def test_the_demo_goes_on(project: Project) -> None:
    seed = os.environ.get("FAULTS_SEED") or str(random.randrange(10**6))
    print(f"\nFAULTS_SEED={seed}")
    killer = Killer(project.cloud, seed)
    commands = steps()
    struck = set(killer.random.sample(range(len(commands) - 2), KILLS))
    at, failures, again = 0, 0, set[int]()
    while at < len(commands):
        if at in struck:
            struck.remove(at)
            killer.later()
        if at == len(commands) - 2:
            killer.join()  # from here on the cloud is stopped, and there is nobody to kill
        begun = time.monotonic()
        code, said = attempt(project, commands[at])
        spent = time.monotonic() - begun
        print(f"{' '.join(commands[at])[:60]}: {code} after {spent:.0f} s ({killer.killed} kills)", flush=True)
        if code == 0:
            at += 1
            continue
        print("    " + "\n    ".join(said.strip().splitlines()[-4:]))
        failures += 1
        assert failures <= 3 * KILLS, said
        # At first the same command again. If that doesn't help, the last second before the kill was lost: from the top.
        at, again = (0, set()) if at in again else (at, {*again, at})
    killer.join()
    assert killer.killed == KILLS
    assert processes.tagged(TAG, str(project.cloud)) == []
    with contextlib.suppress(FileNotFoundError):
        assert "Traceback" not in (project.cloud / "daemon.log").read_text()
