"""The lock of a namespace: one run at a time, and the others are told who holds it, where and since when.

The kernel's file lock (flock) decides, so a holder that died holds nothing, whatever it died of; what stands
in the file is only told to people. A holder on another machine is believed, because nobody here can ask it.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from mlplat.errors import LockHeld, StateError


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    host: str
    user: str
    command: str
    since: str
    started: str | None
    """When the process was started, in the kernel's ticks: tells a process from a later one of the same pid."""

    @classmethod
    def me(cls, command: str) -> Holder:
        """This process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), _user(), command, now, started(os.getpid()))

    @classmethod
    def read(cls, handle: int) -> Holder | None:
        """Who stands in the file; None when nobody readable does."""
        try:
            return cls(**json.loads(os.pread(handle, 65536, 0)))
        except (ValueError, TypeError):
            return None

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs here."""
        return self.is_here and started(self.pid) is not None and started(self.pid) == self.started


@contextmanager
def held(path: Path, namespace: str, command: str) -> Iterator[Holder]:
    """Hold the lock file `path`. Raises LockHeld, or StateError when the file can't be made."""
    me = Holder.me(command)
    try:
        handle = _take(path, namespace)
    except OSError as error:
        raise StateError(f"locking namespace {namespace}: {error}", hint=f"ls -ld {quote(str(path.parent))}") from error
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(me)).encode(), 0)
        yield me
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever opened it before will see that it is gone
        os.close(handle)


def _take(path: Path, namespace: str) -> int:
    """The handle of the locked file. A file that was removed between open and lock is not the lock any more."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _locked(handle):
                raise _refusal(path, namespace, Holder.read(handle))
            if _is_same(handle, path):
                other = Holder.read(handle)
                if other is not None and not other.is_here:
                    raise _refusal(path, namespace, other)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _refusal(path: Path, namespace: str, holder: Holder | None) -> LockHeld:
    if holder is None:  # it was taken a moment ago and is not signed yet
        return LockHeld(f"namespace {namespace} is locked by another run", hint=f"cat {quote(str(path))}")
    who = f"`mlplat {holder.command}` of {holder.user} on {holder.host} (process {holder.pid}) since {holder.since}"
    if not holder.is_here:
        return LockHeld(
            f"namespace {namespace} is locked by {who}; if it is not running there any more",
            hint=f"rm {quote(str(path))}",
        )
    if not holder.is_alive:
        who = f"a child process left by {who}, which has ended"
    return LockHeld(f"namespace {namespace} is locked by {who}", hint=f"ps -fp {holder.pid}")


def started(pid: int) -> str | None:
    """When a process of this machine started (field 22 of /proc/PID/stat), None when it isn't there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
