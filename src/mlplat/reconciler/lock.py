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
import secrets
import socket
import time
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
    id: str = ""
    """Of this one holding of the lock."""
    kernel: str = ""
    """Which kernel, since it was started, and which of its process tables: where pids mean the same."""

    @classmethod
    def me(cls, command: str) -> Holder:
        """This process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        pid = os.getpid()
        return cls(pid, socket.gethostname(), _user(), command, now, started(pid), secrets.token_hex(8), kernel())

    @classmethod
    def read(cls, handle: int) -> Holder | None:
        """Who stands in the file; None when nobody readable does."""
        return cls.loads(os.pread(handle, 65536, 0))

    @classmethod
    def loads(cls, text: bytes) -> Holder | None:
        """Who is meant; None when it can't be read."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def dumps(self) -> bytes:
        """What stands in the lock."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def nobody(cls) -> Holder:
        """Somebody who didn't sign."""
        return cls(0, socket.gethostname(), "", "", "", None)

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

    @property
    def is_of_this_kernel(self) -> bool:
        """Whether its pid means here what it meant there; a host's name alone proves nothing."""
        return bool(self.kernel) and self.kernel == kernel()

    @property
    def has_died(self) -> bool:
        """Whether that very process ran under this kernel and doesn't any more."""
        return self.is_of_this_kernel and started(self.pid) != self.started


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
        os.pwrite(handle, me.dumps(), 0)
    except OSError as error:
        raise _unlockable(path, namespace, error) from error


def _remove(handle: int, path: Path) -> None:
    """While it is held: whoever opened it before will see that it is gone. A file that stays is held by nobody."""
    with suppress(OSError):
        if _is_same(handle, path):  # not another's, made after `state unlock --force`
            path.unlink(missing_ok=True)


def unlock(path: Path, namespace: str, *, id: str | None = None, force: bool = False) -> Holder | None:
    """Remove a lock file that a dead process left; answers whose it was, None when there is none.

    The kernel gives up the lock of a process that dies, so the file alone stops nobody on this machine; one from
    another machine does, and only its `id` or `force` removes it. Raises LockHeld while the holder lives, or may live.
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
        if not dead and not force and (id is None or holder is None or holder.id != id):
            raise _refusal(path, namespace, holder)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unlockable(path, namespace, error) from error
    finally:
        os.close(handle)
    return holder or Holder.nobody()


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
    return StateError(f"locking namespace {namespace}: {error}", hint=f"ls -ld {quote(str(path.parent))} && df -h .")


def _take(path: Path, namespace: str) -> int:
    """The handle of the locked file. A file that was removed between open and lock is not the lock any more."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _locked(handle):
                raise _refusal(path, namespace, _signature(handle))
            if _is_same(handle, path):
                other = Holder.read(handle)
                if other is not None and not other.is_here:
                    raise _refusal(path, namespace, other)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _signature(handle: int) -> Holder | None:
    """Who stands in the file; whoever took it just now signs it in a moment."""
    for _ in range(20):
        if (found := Holder.read(handle)) is not None:
            return found
        time.sleep(0.005)
    return None


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
    """When a process of this machine started (field 22 of /proc/PID/stat), None when it isn't there or has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def kernel() -> str:
    """The boot of this machine and the process table of this process: the two within which pids mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
