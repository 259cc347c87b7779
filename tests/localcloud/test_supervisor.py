"""Children: what they see, what is heard of them, and that none is left, whatever dies first."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlplat.localcloud import processes, sandbox, supervisor
from mlplat.localcloud.sandbox import Folder, Machine
from mlplat.localcloud.supervisor import TAG, Supervisor, lines

PATH = {"PATH": os.environ["PATH"]}
RUNGS = [rung for rung in sandbox.RUNGS if rung == "none" or sandbox._works(rung)]

ESCAPE = "(setsid sleep 3600 >/dev/null 2>&1 &)"
"""A double-forked process in a session of its own, as a daemon makes itself."""


@pytest.fixture(params=RUNGS)
def any_rung(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    made._rung = request.param
    yield made
    made.close()


@pytest.fixture
def best(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    yield made
    made.close()


def run(where: Supervisor, script: str, **options: object) -> tuple[int | None, list[str]]:
    heard: list[str] = []
    child = where.spawn(["sh", "-c", script], env=PATH, cwd=where.folder, on_line=heard.append, label="t", **options)
    return child.wait(20), heard


def left_of(where: Supervisor) -> list[int]:
    return processes.tagged(TAG, str(where.folder))


def eventually(condition: Callable[[], bool], within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_output_exit_code_and_environment_are_the_programs_own(any_rung: Supervisor) -> None:
    code, heard = run(
        any_rung, "echo out; echo err >&2; pwd; env | sort | grep -v -e ^PWD -e ^_ -e ^OLDPWD -e ^SHLVL; exit 3"
    )
    assert code == 3
    assert heard == ["out", "err", str(any_rung.folder), f"{TAG}={any_rung.folder}", f"PATH={PATH['PATH']}"]


def test_each_child_has_its_own_opt_ml(any_rung: Supervisor, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").write_text(name)
        code, heard = run(any_rung, "cat /opt/ml/mark; echo new > /opt/ml/made", opt_ml=tmp_path / name)
        assert (code, heard) == (0, [name])
        assert (tmp_path / name / "made").read_text() == "new\n"
    assert not Path("/opt/ml/mark").exists()


def test_without_a_private_opt_ml_variables_and_arguments_are_rewritten(best: Supervisor, tmp_path: Path) -> None:
    best._rung = "none"
    heard: list[str] = []
    argv = ["sh", "-c", "echo $SM_MODEL_DIR $OTHER $0 /opt/mlflow", "/opt/ml/code"]
    env = {**PATH, "SM_MODEL_DIR": "/opt/ml/model", "OTHER": "/opt/ml"}
    best.spawn(argv, env=env, cwd=tmp_path, opt_ml=tmp_path, on_line=heard.append, label="t").wait(20)
    assert heard == [f"{tmp_path}/model /opt/ml {tmp_path}/code /opt/mlflow"]


def test_a_child_has_a_host_name_and_files_of_etc_of_its_own(best: Supervisor, tmp_path: Path) -> None:
    if not best.private:
        pytest.skip("no rung of this machine has mounts of its own")
    before = (socket.gethostname(), Path("/etc/hosts").read_bytes())
    (tmp_path / "hosts").write_text("127.10.20.2 algo-2\n")
    machine = Machine("algo-2", {"/etc/hosts": tmp_path / "hosts", "/etc/no-such-file": tmp_path / "hosts"})
    code, heard = run(best, "hostname; getent hosts algo-2; echo 127.10.20.3 algo-3 >> /etc/hosts", machine=machine)
    assert code == 0
    assert [line.split() for line in heard] == [["algo-2"], ["127.10.20.2", "algo-2"]]
    assert "algo-3" in (tmp_path / "hosts").read_text()
    assert before == (socket.gethostname(), Path("/etc/hosts").read_bytes())


def test_a_child_has_folders_of_its_own_and_programs_that_the_machine_lacks(
    any_rung: Supervisor, tmp_path: Path
) -> None:
    if not any_rung.private:
        pytest.skip("this rung has no mounts of its own")
    for name in ("other", "machine"):
        (tmp_path / name).mkdir()
    for name in ("kept", "hidden"):
        (tmp_path / "machine" / name).write_text(f"{name}\n")
    (tmp_path / "machine" / "link").symlink_to("kept")
    (tmp_path / "program").write_text("#!/bin/sh\necho runs\n")
    (tmp_path / "program").chmod(0o755)
    folders = {str(tmp_path / "machine"): Folder(tmp_path / "other", ("gone", "kept", "link")), "/dev/shm": Folder()}
    machine = Machine("algo-1", programs={"/usr/sbin/no-such-program": tmp_path / "program"}, folders=folders)
    script = "ls machine; cat machine/link; ls -A /dev/shm; no-such-program; touch machine/made; ls /usr/sbin | wc -l"
    code, heard = run(any_rung, f"PATH=$PATH:/usr/sbin; {script}", machine=machine)
    assert (code, heard[:4]) == (0, ["kept", "link", "kept", "runs"])
    assert int(heard[4]) == len(list(Path("/usr/sbin").iterdir())) + 1
    assert (tmp_path / "other" / "made").exists() and not (tmp_path / "machine" / "made").exists()
    assert not Path("/usr/sbin/no-such-program").exists()


BWRAP = """#!/bin/sh
printf '%s\\n' "$@" > "$BWRAP_SAID"
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""
"""Bubblewrap's command line, without what it does: it writes down what it was told, and runs the program."""


def test_bubblewrap_is_told_what_the_other_rungs_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "bwrap"
    fake.parent.mkdir()
    fake.write_text(BWRAP)
    fake.chmod(0o755)
    env = {"PATH": f"{fake.parent}:{PATH['PATH']}", "BWRAP_SAID": str(tmp_path / "said")}
    (tmp_path / "hosts").touch()
    made = Supervisor(tmp_path)
    made._rung = "bwrap"
    heard: list[str] = []
    machine = Machine("algo-1", {"/etc/hosts": tmp_path / "hosts"})
    argv = ["sh", "-c", "echo in $PWD; exit 4"]
    child = made.spawn(
        argv, env=env, cwd=tmp_path, opt_ml=tmp_path / "ml", on_line=heard.append, label="t", machine=machine
    )
    assert child.wait(20) == 4
    assert heard == [f"in {tmp_path}"]
    said = (tmp_path / "said").read_text().splitlines()
    options = said[: said.index("--")]
    # in the order of bwrap(1): all of the machine, then what replaces parts of it
    assert options[:3] == ["--dev-bind", "/", "/"]
    assert {"--unshare-pid", "--as-pid-1", "--die-with-parent", "--unshare-uts"} <= set(options)
    assert _after(options, "--proc") == [("/proc",)]
    assert _after(options, "--hostname") == [("algo-1",)]
    assert _after(options, "--bind", 2) == [(str(tmp_path / "ml"), "/opt/ml"), (str(tmp_path / "hosts"), "/etc/hosts")]
    if not Path("/opt/ml").is_dir():
        assert _after(options, "--tmpfs") == [("/opt",)]
    made.close()


def _after(options: list[str], name: str, count: int = 1) -> list[tuple[str, ...]]:
    return [tuple(options[at + 1 : at + 1 + count]) for at, each in enumerate(options) if each == name]


def test_a_program_that_is_not_there_exits_127(any_rung: Supervisor) -> None:
    heard: list[str] = []
    child = any_rung.spawn(["no-such-program"], env=PATH, cwd=any_rung.folder, on_line=heard.append, label="t")
    assert child.wait(20) == 127
    assert heard == ["cannot run no-such-program: No such file or directory"]


def test_stop_is_a_sigterm_first(any_rung: Supervisor) -> None:
    heard: list[str] = []
    script = (
        "import signal; signal.signal(15, lambda *_: exit(print('bye') or 7)); print('up', flush=True); signal.pause()"
    )
    argv = [sys.executable, "-c", script]
    child = any_rung.spawn(argv, env=PATH, cwd=any_rung.folder, on_line=heard.append, label="t")
    assert eventually(lambda: heard == ["up"])
    assert child.stop(grace=20.0) == 7
    assert heard == ["up", "bye"]
    assert not child.alive


def test_a_stop_is_heard_however_early_it_comes(any_rung: Supervisor) -> None:
    for delay in range(12):
        child = any_rung.spawn(["sleep", "60"], env=PATH, cwd=any_rung.folder, label="t")
        time.sleep(delay * 0.01)
        assert child.stop(grace=10.0) == 143  # SIGTERM's; SIGKILL's would be 137


def test_who_ignores_sigterm_is_killed_with_the_whole_tree(any_rung: Supervisor) -> None:
    heard: list[str] = []
    script = f"trap '' TERM; {ESCAPE}; echo up; sleep 3600 & wait; sleep 3600"
    child = any_rung.spawn(["sh", "-c", script], env=PATH, cwd=any_rung.folder, on_line=heard.append, label="t")
    assert eventually(lambda: heard == ["up"])
    assert child.stop(grace=0.2) == 137
    assert eventually(lambda: left_of(any_rung) == [])


def test_what_a_program_leaves_behind_ends_with_it(any_rung: Supervisor) -> None:
    assert run(any_rung, f"{ESCAPE}; sleep 3600 >/dev/null 2>&1 & exit 0")[0] == 0
    assert eventually(lambda: left_of(any_rung) == [])


@pytest.mark.parametrize("rung", RUNGS)
def test_when_the_daemon_is_killed_nothing_is_left(rung: str, tmp_path: Path) -> None:
    parent = f"""
import os, pathlib, time
from mlplat.localcloud.supervisor import Supervisor
made = Supervisor(pathlib.Path({str(tmp_path)!r}))
made._rung = {rung!r}
script = {ESCAPE + "; trap '' TERM; echo up; sleep 3600"!r}
made.spawn(["sh", "-c", script], env={PATH!r}, cwd=made.folder, on_line=lambda line: print(line, flush=True), label="t")
time.sleep(3600)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert eventually(lambda: len(processes.tagged(TAG, str(tmp_path))) >= 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert eventually(lambda: processes.tagged(TAG, str(tmp_path)) == [])


def test_a_sweep_ends_what_is_ours_and_nobody_else(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "3600"], env={**PATH, TAG: str(tmp_path)})
    other = subprocess.Popen(["sleep", "3600"], env={**PATH, TAG: str(tmp_path / "other")})
    try:
        swept = Supervisor(tmp_path)
        (tmp_path / "children" / f"{other.pid}.json").write_text(f'{{"pid": {other.pid}, "started": "long ago"}}')
        assert swept.sweep() == 1
        assert ours.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        assert list((tmp_path / "children").iterdir()) == []
    finally:
        other.kill()
        ours.kill()
        other.wait()
        ours.wait()


def test_after_close_nothing_starts(best: Supervisor) -> None:
    child = best.spawn(["sleep", "3600"], env=PATH, cwd=best.folder, label="t")
    best.close()
    assert not child.alive
    with pytest.raises(RuntimeError, match="stopping"):
        best.spawn(["true"], env=PATH, cwd=best.folder, label="t")


def test_a_listener_that_fails_does_not_stop_the_program(best: Supervisor) -> None:
    def deaf(line: str) -> None:
        raise ValueError(line)

    child = best.spawn(["sh", "-c", "seq 20000; exit 5"], env=PATH, cwd=best.folder, on_line=deaf, label="t")
    assert child.wait(20) == 5


def test_lines_come_whole_from_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_LINE", 8)
    pieces = iter([b"on", b"e\ntwo\r\n\nthr", b"ee\n", b"0123456789abcdefXY", b"Z\n\xff\xfe\n", b"end", b""])
    expected = ["one", "two", "", "three", "01234567", "89abcdef", "XYZ", "��", "end"]
    assert list(lines(lambda: next(pieces))) == expected


def test_a_flood_of_output_is_heard_in_full(best: Supervisor) -> None:
    code, heard = run(best, "seq 200000; head -c 3000000 /dev/zero | tr '\\0' x")
    assert code == 0
    assert heard[:200000] == [str(number) for number in range(1, 200001)]
    assert sum(map(len, heard[200000:])) == 3_000_000
    assert max(map(len, heard)) <= supervisor.LONGEST_LINE
