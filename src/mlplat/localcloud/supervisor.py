"""Child processes of the local cloud: started shut in, heard line by line, never outliving the daemon."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mlplat.localcloud import limits, processes, sandbox
from mlplat.localcloud.limits import Limits, Verdict
from mlplat.localcloud.sandbox import Machine

log = logging.getLogger(__name__)

TAG = "LOCALCLOUD_CHILD_OF"
"""The environment variable that marks every descendant with its local cloud's folder."""

CHILDREN_UMASK = -1
"""The umask that children start with; -1 is this process's own."""

LONGEST_LINE = 256 * 1024 - 26
"""Longer lines are cut: a CloudWatch event holds no more (256 KiB less 26 bytes of overhead)."""


class Supervisor:
    """Starts children and ends them all: by request, at `close`, and when the daemon dies by any cause."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.limits = limits.of_this_machine()
        self._registry = folder / "children"
        self._registry.mkdir(parents=True, exist_ok=True)
        self._children: set[Child] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._rung: str | None = None
        self._probing = threading.Lock()

    @property
    def sandbox(self) -> str:
        """The rung of the ladder in use (`sandbox.RUNGS`)."""
        with self._probing:
            if self._rung is None:
                self._rung = sandbox.probe()
            return self._rung

    @property
    def private(self) -> bool:
        """Whether a child sees an /opt/ml of its own."""
        return self.sandbox != "none"

    @property
    def children(self) -> list[Child]:
        """Those that run now."""
        with self._lock:
            return list(self._children)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        opt_ml: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        label: str,
        machine: Machine | None = None,
        limits: Limits | None = None,
    ) -> Child:
        """Start `argv` with exactly `env`; `on_line` gets its output, both streams merged, from a thread.

        `opt_ml` is what the child alone sees as /opt/ml, `machine` its host name and files of /etc. Where this machine
        can't do that, /opt/ml is replaced in `argv` and in the SM_* variables. A program that can't be found makes a
        child that exits with 127. `limits` are the supervisor's own when none are given.
        """
        if opt_ml and not self.private:
            argv = [sandbox.rewritten(each, opt_ml) for each in argv]
            env = sandbox.rewritten_environment(env, opt_ml)
        if self._is_closed():
            raise RuntimeError("the local cloud is stopping")
        child = Child(
            self, argv, {**env, TAG: str(self.folder)}, cwd, opt_ml, on_line, label, machine, limits or self.limits
        )
        with self._lock:
            self._children.add(child)
        child.attend()  # only now: it may end at once, and is then forgotten
        if self._is_closed():  # meanwhile
            child.kill()
        return child

    def close(self) -> None:
        """End every child with its whole tree, at once, and start no more."""
        with self._lock:
            self._closed = True
        children = self.children
        for child in children:
            child.kill()
        for child in children:
            child.wait(timeout=5.0)

    def sweep(self) -> int:
        """End what a daemon of this folder that is no more has left behind; how many there were.

        Only processes that prove who they are: the start time on record or the tag in their environment.
        """
        found = {pid for pid in processes.tagged(TAG, str(self.folder)) if pid != os.getpid()}
        for record in self._registry.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                seen = json.loads(record.read_text())
                if processes.lives(seen["pid"], seen["started"]) and processes.has_tag(
                    seen["pid"], TAG, str(self.folder)
                ):
                    found.add(seen["pid"])
            record.unlink(missing_ok=True)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def _is_closed(self) -> bool:
        with self._lock:
            return self._closed

    def _forget(self, child: Child) -> None:
        with self._lock:
            self._children.discard(child)
        (self._registry / f"{child.pid}.json").unlink(missing_ok=True)


class Child:
    """A running program and all that it starts. `wait` answers its exit code, 128 + n for signal n."""

    def __init__(
        self,
        supervisor: Supervisor,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        opt_ml: Path | None,
        on_line: Callable[[str], None] | None,
        label: str,
        machine: Machine | None,
        limits: Limits,
    ) -> None:
        self.label, self._supervisor, self._on_line = label, supervisor, on_line
        self.verdict: Verdict | None = None
        """Why it was ended for exceeding its limits, known before its end is."""
        self._lifeline, lifeline = socket.socketpair()
        self._gone = threading.Event()
        self._talk = threading.Lock()
        command = sandbox.command(
            supervisor.sandbox, argv, env=env, cwd=cwd, opt_ml=opt_ml, lifeline=lifeline.fileno(), machine=machine,
            limits=limits,
        )  # fmt: skip
        try:
            self._process = subprocess.Popen(
                command,
                env=env,
                pass_fds=[lifeline.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=CHILDREN_UMASK,
            )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            lifeline.close()
        self.pid = self._process.pid
        self._register()

    def attend(self) -> None:
        """Listen to it, in a thread, until it has ended."""
        threading.Thread(target=self._attend, name=f"child {self.label}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return not self._gone.is_set()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended and its last line was heard; its exit code, or None after `timeout` seconds."""
        return self._process.returncode if self._gone.wait(timeout) else None

    def stop(self, grace: float = 120.0) -> int | None:
        """SIGTERM to its process group, after `grace` seconds SIGKILL to the whole tree; its exit code."""
        self._say(b"T")
        if self.wait(grace) is None:
            self.kill()
        return self.wait(10.0)

    def terminate(self) -> None:
        """SIGTERM to its process group, without waiting."""
        self._say(b"T")

    def kill(self) -> None:
        """SIGKILL to the whole tree."""
        with self._talk:
            self._lifeline.close()  # the end of the lifeline: the first process kills all and goes

    def _say(self, word: bytes) -> None:
        with self._talk, contextlib.suppress(OSError):
            self._lifeline.send(word)

    def _register(self) -> None:
        record = {"pid": self.pid, "started": processes.started(self.pid), "label": self.label}
        (self._supervisor._registry / f"{self.pid}.json").write_text(json.dumps(record))

    def _attend(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            for line in lines(lambda: os.read(stdout.fileno(), 65536)):
                self._hear(line)
        finally:
            self._process.wait()
            stdout.close()
            self._judge()
            self.kill()
            self._supervisor._forget(self)
            self._gone.set()

    def _judge(self) -> None:
        """Read what the first process has said, if it did."""
        with self._talk, contextlib.suppress(OSError):
            self.verdict = Verdict.parse(self._lifeline.recv(4096, socket.MSG_DONTWAIT))
        if self.verdict:
            self._hear(f"The local cloud ended the container: {self.verdict.text}")

    def _hear(self, line: str) -> None:
        if self._on_line is None:
            return
        try:
            self._on_line(line)
        except Exception:
            log.exception("listening to %s failed", self.label)


def lines(read: Callable[[], bytes]) -> Iterator[str]:
    """Text lines out of a byte stream: partial ones joined, overlong ones cut, bytes that are no text replaced."""
    rest = b""
    while chunk := read():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield from _cut(line)
        while len(rest) > LONGEST_LINE:
            yield _text(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
    if rest:
        yield from _cut(rest)


def _cut(line: bytes) -> Iterator[str]:
    for start in range(0, max(len(line), 1), LONGEST_LINE):
        yield _text(line[start : start + LONGEST_LINE])


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
