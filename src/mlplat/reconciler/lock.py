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
from contextlib import contextmanager, suppress
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
    def told(self) -> str:
        """For people: who, where and since when."""
        if not self.pid:
            return "a run that didn't sign it"
        return f"`mlplat {self.command}` of {self.user} on {self.host} (process {self.pid}) since {self.since}"

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
        raise _unlockable(path, namespace, error) from error
    try:
        _sign(handle, me, path, namespace)
        yield me
    finally:
        _remove(handle, path)
        os.close(handle)


def _sign(handle: int, me: Holder, path: Path, namespace: str) -> None:
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(me)).encode(), 0)
    except OSError as error:
        raise _unlockable(path, namespace, error) from error


def _remove(handle: int, path: Path) -> None:
    """While it is held: whoever opened it before will see that it is gone. A file that stays is held by nobody."""
    with suppress(OSError):
        if _is_same(handle, path):  # not another's, made after `state unlock --force`
            path.unlink(missing_ok=True)


def unlock(path: Path, namespace: str, *, force: bool = False) -> Holder | None:
    """Remove a lock file that a dead process left; answers whose it was, None when there is none.

    The kernel gives up the lock of a process that dies, so the file alone stops nobody on this machine; one from
    another machine does, and only `force` removes it. Raises LockHeld while the holder lives, or may live.
    """
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unlockable(path, namespace, error) from error
    try:
        holder = Holder.read(handle)
        dead = _locked(handle) and (holder is None or holder.is_here)
        if not dead and not force:
            raise _refusal(path, namespace, holder)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unlockable(path, namespace, error) from error
    finally:
        os.close(handle)
    return holder or Holder(0, socket.gethostname(), "", "", "", None)


def holder(path: Path) -> Holder | None:
    """Who holds the lock now, None when nobody does; takes a look without taking the lock."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        found = Holder.read(handle)
        return found if found is not None and (found.is_alive or not found.is_here) else None
    finally:
        os.close(handle)


def _unlockable(path: Path, namespace: str, error: OSError) -> StateError:
    return StateError(f"locking namespace {namespace}: {error}", hint=f"ls -ld {quote(str(path.parent))}")


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
    who = holder.told
    if not holder.is_here:
        return LockHeld(
            f"namespace {namespace} is locked by {who}; if it is not running there any more",
            hint=f"mlplat state unlock --force --namespace {namespace}",
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
