"""SSH among the hosts of an MPI job: its own key only, what a command says and how it ends, and the host's own /tmp."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlplat.localcloud.executors.cluster import Host
from mlplat.localcloud.executors.mpi.image import MpiImage, needed_of
from mlplat.localcloud.sandbox import Machine
from mlplat.localcloud.supervisor import Supervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    yield made
    made.close()


def host(folder: Path, name: str, address: str) -> Any:
    for each in ("home", "tmp"):
        (folder / name / each).mkdir(parents=True)
    return Host(name, address, name, SimpleNamespace(root=folder / name))  # type: ignore[arg-type]


def run(supervisor: Supervisor, image: MpiImage, where: Host, script: str, **options: Any) -> list[str]:
    root, heard = where.workspace.root, list[str]()
    (root / "hosts").write_text(f"127.0.0.1 localhost\n{where.address} {where.name}\n127.0.0.1 elsewhere\n")
    environment = image.environment(where, {"PATH": "/usr/bin:/bin", "HOME": str(root / "home")})
    machine = image.machine(where, Machine(where.name, {"/etc/hosts": root / "hosts"}), environment)
    argv = ["sh", "-c", f"/usr/sbin/sshd -D & {script}"]
    child = supervisor.spawn(
        argv, env=environment, cwd=root, on_line=heard.append, label="t", machine=machine, **options
    )
    assert child.wait(200) == 0, heard
    return heard


UNTIL_IT_LISTENS = "for _ in $(seq 200); do ssh algo-1 true 2>/dev/null && break; sleep 0.05; done; "


def test_commands_run_on_the_host_for_who_holds_the_jobs_key(supervisor: Supervisor, tmp_path: Path) -> None:
    if not supervisor.private:
        pytest.skip("no rung of this machine has mounts of its own")
    algo = host(tmp_path, "algo-1", "127.9.77.1")
    try:
        socket.create_server((algo.address, 22)).close()
    except OSError as error:
        pytest.skip(f"port 22: {error}")
    image = MpiImage([algo])
    (tmp_path / "stranger").write_text(MpiImage([algo])._private)
    said = run(
        supervisor, image, algo,
        UNTIL_IT_LISTENS + 'echo given | ssh -x me@algo-1 "cat; pwd; echo bad >&2; exit 3" 2>err; echo $? $(cat err);'
        "ssh -n algo-1 cat; echo $?; ssh algo-1 'kill -9 $$'; echo $?;"
        "ssh algo-1 head -c 3000000 /dev/zero | wc -c;"
        "ssh elsewhere true 2>/dev/null; echo $?; ssh algo-1 2>/dev/null; echo $?;"
        f"cp {tmp_path}/stranger ~/.ssh/id_ed25519; ssh algo-1 echo never 2>/dev/null; echo $?;"
        "touch /tmp/ready.algo-2; ls /dev/shm",
    )  # fmt: skip
    assert said == ["given", str(tmp_path / "algo-1/home"), "3 bad", "0", "137", "3000000", "255", "255", "255"]
    assert (tmp_path / "algo-1/tmp/ready.algo-2").exists() and not Path("/tmp/ready.algo-2").exists()
    modes = {each.name: oct(each.stat().st_mode)[-3:] for each in (tmp_path / "algo-1/home/.ssh").iterdir()}
    assert modes == {"id_ed25519": "600", "known_hosts": "600"}


def test_each_job_has_a_key_of_its_own(tmp_path: Path) -> None:
    algo = host(tmp_path, "algo-1", "127.9.77.1")
    assert MpiImage([algo])._private != MpiImage([algo])._private


def test_ssh_is_found_whatever_path_the_request_gives_and_its_settings_win(tmp_path: Path) -> None:
    algo = host(tmp_path, "algo-1", "127.9.77.1")
    made = MpiImage([algo]).environment(algo, {"PATH": "/given", "OMPI_MCA_mpi_yield_when_idle": "0"})
    assert made["PATH"] == f"{tmp_path}/algo-1/bin:/given"
    assert made["OMPI_MCA_mpi_yield_when_idle"] == "0"


def test_of_the_machines_tmp_only_what_the_job_needs_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("programs", "packages", "lib", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "lib/python"), "", str(tmp_path)])
    given = {"PATH": f"/usr/bin:{tmp_path}/programs/bin:{tmp_path}/gone", "A": f"{tmp_path}/packages", "B": "other"}
    assert needed_of(tmp_path, given) == ("lib", "packages", "programs")
