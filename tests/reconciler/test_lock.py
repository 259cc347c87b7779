from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mlplat.errors import LockHeld
from mlplat.reconciler import lock
from mlplat.reconciler.state import Store

HOLD = """
import sys, time
from pathlib import Path
from mlplat.reconciler.state import Store
with Store(Path(sys.argv[1]), "test").lock("apply"):
    print("held", flush=True)
    time.sleep(60)
"""

COUNT = """
import sys, time
from pathlib import Path
from mlplat.errors import LockHeld
from mlplat.reconciler.state import Store
folder = Path(sys.argv[1])
done = 0
while done < 20:
    try:
        with Store(folder, "test").lock("count"):
            number = int((folder / "number").read_text())
            time.sleep(0.0005)
            (folder / "number").write_text(str(number + 1))
            done += 1
    except LockHeld:
        pass
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_whoever_comes_second_is_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        try:
            with pytest.raises(LockHeld) as caught, Store(tmp_path, "test").lock("apply"):
                pass
        finally:
            process.kill()
    message = caught.value.message
    assert f"on {socket.gethostname()} (process {process.pid}) since 20" in message
    assert "namespace test is locked by `mlplat apply` of " in message
    assert (caught.value.exit_code, caught.value.hint) == (5, f"ps -fp {process.pid}")


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "test.lock").exists()
    with Store(tmp_path, "test").lock("apply"):
        assert json.loads((tmp_path / "test.lock").read_text())["pid"] == os.getpid()


def test_other_namespaces_are_free(tmp_path: Path) -> None:
    with Store(tmp_path, "test").lock("apply"), Store(tmp_path, "other").lock("apply"):
        pass


def test_the_same_store_may_enter_again_but_no_other(tmp_path: Path) -> None:
    store = Store(tmp_path, "test")
    with store.lock("deploy"):
        with store.lock("apply"):
            pass
        with pytest.raises(LockHeld, match="`mlplat deploy`"), Store(tmp_path, "test").lock("apply"):
            pass
    assert list(tmp_path.iterdir()) == []
    with Store(tmp_path, "test").lock("apply"):
        pass


def test_a_holder_on_another_machine_is_believed(tmp_path: Path) -> None:
    there = {"pid": 1, "host": "elsewhere", "user": "ann", "command": "apply", "since": "2026-01-01", "started": "7"}
    (tmp_path / "test.lock").write_text(json.dumps(there))
    wanted = pytest.raises(LockHeld, match="`mlplat apply` of ann on elsewhere")
    with wanted as caught, Store(tmp_path, "test").lock("apply"):
        pass
    assert caught.value.hint == "mlplat state unlock --force --namespace test"
    with pytest.raises(LockHeld, match="ann on elsewhere"):
        lock.unlock(tmp_path / "test.lock", "test")
    lock.unlock(tmp_path / "test.lock", "test", force=True)
    with Store(tmp_path, "test").lock("apply"):
        pass


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', "[]"])
def test_what_nobody_can_read_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "test.lock").write_text(content)
    with Store(tmp_path, "test").lock("apply"):
        pass


def test_a_held_lock_that_is_not_signed_yet(tmp_path: Path) -> None:
    with lock.held(tmp_path / "test.lock", "test", "apply"):
        (tmp_path / "test.lock").write_text("")
        with pytest.raises(LockHeld, match="locked by another run"), Store(tmp_path, "test").lock("apply"):
            pass


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    me = lock.Holder.me("x")
    assert me.is_alive
    assert not lock.Holder(me.pid, me.host, me.user, me.command, me.since, "12345").is_alive
    assert lock.started(2**22 + 1) is None


def test_many_at_once_never_hold_it_together(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    runs = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "60"
