"""A script that takes too much of the machine is ended with all that it has started, and it is said why."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import RunningCloud
from tests.localcloud.jobs import Jobs

from mlplat.localcloud import daemon, limits, processes, sandbox
from mlplat.localcloud.executors import container_log
from mlplat.localcloud.limits import Limits, Verdict
from mlplat.localcloud.supervisor import TAG, Child, Supervisor

RUNGS = [rung for rung in sandbox.RUNGS if rung == "none" or sandbox._works(rung)]
MIB = 1 << 20


@pytest.fixture(params=RUNGS)
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    made._rung = request.param
    yield made
    made.close()


def run(where: Supervisor, script: str, most: Limits) -> tuple[Child, int | None, list[str]]:
    heard: list[str] = []
    child = where.spawn(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"]},
        cwd=where.folder,
        on_line=heard.append,
        label="t",
        limits=most,
    )
    return child, child.wait(30), heard


def left_of(where: Supervisor) -> list[int]:
    until = time.monotonic() + 5
    while (left := processes.tagged(TAG, str(where.folder))) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def test_memory(supervisor: Supervisor) -> None:
    script = "import time; kept = b'x' * (300 << 20); time.sleep(20)"
    child, code, heard = run(supervisor, script, Limits(memory=150 * MIB))
    assert (code, child.verdict and child.verdict.cause) == (137, "memory")
    assert child.verdict is not None
    assert "and may hold 0.15" in child.verdict.text
    assert heard == [f"The local cloud ended the container: {child.verdict.text}"]
    assert child.verdict.reason == limits.OUT_OF_MEMORY
    assert left_of(supervisor) == []


def test_memory_of_all_together_and_what_is_shared_but_once(supervisor: Supervisor) -> None:
    script = "import os, time; kept = b'x' * ({} << 20); [os.fork() for _ in range(2)]; {}; time.sleep(2)"
    child, code, _ = run(supervisor, script.format(100, "pass"), Limits(memory=200 * MIB))
    assert (code, child.verdict) == (0, None)
    child, code, _ = run(supervisor, script.format(1, "own = b'y' * (100 << 20)"), Limits(memory=200 * MIB))
    assert (code, child.verdict and child.verdict.cause) == (137, "memory")


@pytest.mark.parametrize("alone", ["", "os.setsid(); "])
def test_processes_that_fork_and_fork(supervisor: Supervisor, alone: str) -> None:
    """Each starts two others and waits for nothing; they stop by themselves at the eighth generation."""
    script = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(8):
    if not os.fork():
        {alone}os.fork()
time.sleep(20)
"""
    child, code, _ = run(supervisor, script, Limits(memory=1 << 40, processes=60))
    assert (code, child.verdict) == (137, Verdict("processes", "the container had more than 60 processes"))
    assert left_of(supervisor) == []


def test_a_chain_in_which_each_starts_the_next_and_goes(supervisor: Supervisor) -> None:
    script = """
import os, time
print("up", flush=True)
while time.time() < {}:
    if os.fork():
        os._exit(0)
    time.sleep(0.0005)
"""
    _, code, heard = run(supervisor, script.format(time.time() + 20), Limits(memory=1 << 40))
    assert (code, heard) == (0, ["up"])
    assert left_of(supervisor) == []


def test_disk(supervisor: Supervisor) -> None:
    folder = supervisor.folder / "work"
    folder.mkdir()
    script = f"""
import time
for number in range(3):
    with open(f"{folder}/{{number}}", "wb") as file:
        file.write(b"x" * (10 << 20))
time.sleep(20)
"""
    child, code, _ = run(supervisor, script, Limits(memory=1 << 40).on(folder, 20 * MIB))
    assert (code, child.verdict and child.verdict.cause) == (137, "disk")
    assert child.verdict is not None
    assert child.verdict.reason.startswith("AlgorithmError: No space left on device: ")


def test_one_file_is_never_larger_than_the_volume(supervisor: Supervisor) -> None:
    script = "open('large', 'wb').truncate(30 << 20)"
    child, code, heard = run(supervisor, script, Limits(memory=1 << 40).on(supervisor.folder, 20 * MIB))
    assert (code, child.verdict, heard[-1]) == (1, None, "OSError: [Errno 27] File too large")


def test_a_disk_that_others_have_filled_is_not_its_fault(supervisor: Supervisor) -> None:
    """The reserve is more than any disk has, so that the disk counts as full, but the child holds less than that."""
    script = "import time; open('some', 'wb').write(b'x' * (2 << 20)); time.sleep({})"
    full = Limits(memory=1 << 40, reserve=1 << 60).on(supervisor.folder)
    child, code, _ = run(supervisor, script.format(1.5), full)
    assert (code, child.verdict) == (0, None)


def test_the_limits_of_this_machine_leave_room_for_others() -> None:
    most = limits.of_this_machine()
    assert 0 < most.memory < limits.memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_flooded_log_says_how_much_it_leaves_out(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_log, "MOST", 100 * (600 + 100))
    monkeypatch.setattr(container_log, "REFILL", 0)
    log = container_log.ContainerLog(SimpleNamespace(aws=cloud.client), "/flooded", "stream")  # type: ignore[arg-type]
    for _ in range(1000):
        log.line("x" * 100)
    log.close()
    events = cloud.client("logs").get_log_events(logGroupName="/flooded", logStreamName="stream")["events"]
    said = [each["message"] for each in events]
    assert said == ["x" * 100] * 100 + ["The local cloud left out 900 lines: there were too many"]


def test_a_job_that_fills_its_volume_has_failed_for_that(cloud: Any) -> None:
    """The files are allocated and not written, which costs no time."""
    jobs = Jobs(cloud)
    script = """
import os, time
for number in range(3):
    with open(f"/opt/ml/model/{number}", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 500 << 20)
time.sleep(60)
"""
    job = jobs.run(script)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: No space left on device: the container's files took 1.4")
    assert any("The local cloud ended the container" in line for line in jobs.log(job["TrainingJobName"]))


SMALL = """
from mlplat.localcloud import limits
limits.of_this_machine = lambda: limits.Limits(memory=300 << 20)
"""
"""Python imports this before anything else in the local cloud: as if it were on a small machine."""


def test_a_job_that_eats_the_machines_memory_has_failed_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".mlplat" / "local"
    (tmp_path / "sitecustomize.py").write_text(SMALL)
    with monkeypatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path[1:]]))
        small = RunningCloud(daemon.start(folder, transition_delay=0.0))
    try:
        jobs = Jobs(small)
        eats = "import time\nkept = []\nwhile True:\n    kept.append(b'x' * (20 << 20))\n    time.sleep(0.02)\n"
        job = jobs.run(eats)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
        assert job["FailureReason"] == limits.OUT_OF_MEMORY
        assert "of memory, and may hold 0.29" in jobs.log(job["TrainingJobName"])[-1]
        assert jobs.run("print('modest')")["TrainingJobStatus"] == "Completed", "the local cloud goes on"
    finally:
        daemon.stop(folder)
