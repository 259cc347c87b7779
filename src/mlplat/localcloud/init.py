"""The first process of every child of the local cloud: a private /opt/ml, no orphans, the payload's exit code.

Run by path with `python -I -S`, so it uses the standard library only. It reads a pipe from the daemon, the
lifeline: a byte "T" asks the payload to end (SIGTERM to its group); the end of the pipe, which also comes when
the daemon dies, ends the whole tree. Where the kernel lets us, the tree lives in a PID namespace of its own, so
that nothing outlives this process, double-forked or not; elsewhere on Linux it adopts what is orphaned.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x04000000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

LOOK_EVERY = 0.25
"""Seconds between two looks at memory and processes."""
DISK_EVERY, DISK_SHARE = 1.0, 0.05
"""Seconds between two looks at the disk, at least; a look may take so much of the time."""
GIB = 1 << 30
LOOKS = 3
"""Looks without a find after which a tree is gone."""

libc = ctypes.CDLL(None, use_errno=True)


def main(spec: dict[str, Any]) -> NoReturn:
    """Isolate as `sandbox` says, run `argv`, exit as it did (128 + n for a signal)."""
    sandbox = spec["sandbox"]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # only the lifeline ends us gracefully
    if sandbox == "bwrap":
        _through_bwrap(spec)
    if sandbox in ("user-namespace", "root"):
        _isolate(spec)
    if sandbox == "none" and sys.platform == "linux":
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _run(spec)


def _through_bwrap(spec: dict[str, Any]) -> NoReturn:
    inside = json.dumps({**spec, "sandbox": "inside"})
    argv = ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--as-pid-1", "--die-with-parent", "--proc", "/proc"]
    if spec["opt_ml"]:
        if not Path("/opt/ml").is_dir():
            argv += _bwrap_cover("/opt", None, _names("/opt"))
        argv += ["--bind", spec["opt_ml"], "/opt/ml"]
    for path, folder in spec["folders"].items():
        argv += _bwrap_cover(path, folder["source"], folder["kept"])
    for path, source in spec["files"].items():
        argv += ["--bind", source, path]
    if spec["hostname"]:
        argv += ["--unshare-uts", "--hostname", spec["hostname"]]
    argv += ["--", sys.executable, "-I", "-S", "-B", __file__, inside]
    os.execvp("bwrap", argv)  # noqa: S606


def _bwrap_cover(folder: str, source: str | None, kept: Iterable[str]) -> list[str]:
    argv = ["--bind", source, folder] if source else ["--tmpfs", folder]
    for name in sorted(kept):
        entry = Path(folder) / name
        here = ["--symlink", str(entry.readlink())] if entry.is_symlink() else ["--dev-bind-try", str(entry)]
        argv += [*here, str(entry)]
    return argv


def _isolate(spec: dict[str, Any]) -> None:
    """Go on in new mount and PID namespaces; the process that came here only waits for the one that goes on."""
    uid, gid = os.geteuid(), os.getegid()
    user = CLONE_NEWUSER if spec["sandbox"] == "user-namespace" else 0
    named = CLONE_NEWUTS if spec["hostname"] else 0
    _check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | user | named), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _mount(None, "/", MS_REC | MS_PRIVATE)
    if spec["opt_ml"]:
        _bind_opt_ml(spec["opt_ml"])
    for path, folder in spec["folders"].items():
        _cover(Path(path), folder["source"], folder["kept"])
    for path, source in spec["files"].items():
        if not Path(path).exists():  # in a folder that was made to have room for it
            Path(path).touch()
        _mount(source, path, MS_BIND)
    if named:
        name = spec["hostname"].encode()
        _check(libc.sethostname(name, len(name)), "sethostname")
    child = os.fork()
    if child:
        os.close(spec["lifeline"])
        _end_as(os.waitpid(child, 0)[1])
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with contextlib.suppress(OSError):  # a container with a masked /proc: the outer one serves
        _mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, kind="proc")


def _bind_opt_ml(source: str) -> None:
    if not Path("/opt/ml").is_dir():  # a mount point without leaving one on the disk
        _cover(Path("/opt"), None, _names("/opt"))
        Path("/opt/ml").mkdir(exist_ok=True)
    _mount(source, "/opt/ml", MS_BIND | MS_REC)


def _cover(folder: Path, source: str | None, kept: Iterable[str]) -> None:
    """Another folder, or one in memory, in the place of this one, with those of its entries that are `kept`."""
    old = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    if source:
        _mount(source, str(folder), MS_BIND | MS_REC)
    else:
        mode = f"mode={stat.S_IMODE(os.fstat(old).st_mode):o}"
        _mount("tmpfs", str(folder), MS_NOSUID | MS_NODEV, kind="tmpfs", data=mode)
    for name in kept:
        _keep(Path(f"/proc/self/fd/{old}/{name}"), folder / name)
    os.close(old)


def _names(folder: str) -> list[str]:
    return [entry.name for entry in Path(folder).iterdir()]


def _keep(there: Path, here: Path) -> None:
    if there.is_symlink():
        here.symlink_to(there.readlink())
    elif there.exists():  # it may be gone meanwhile
        here.mkdir(exist_ok=True) if there.is_dir() else here.touch()
        _mount(str(there), str(here), MS_BIND | MS_REC)


def _mount(source: str | None, target: str, flags: int, kind: str | None = None, data: str | None = None) -> None:
    args = [None if each is None else each.encode() for each in (source, target, kind)]
    _check(libc.mount(*args, flags, None if data is None else data.encode()), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _run(spec: dict[str, Any]) -> NoReturn:
    lifeline: int = spec["lifeline"]
    os.set_inheritable(lifeline, False)
    wake, poke = os.pipe()
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    begun, begins = os.pipe()  # closed by exec: before that, a SIGTERM would find no group, or be ignored
    payload = os.fork()
    if not payload:
        _exec(spec)
    os.close(begins)
    os.read(begun, 1)
    guard = Guard(spec["limits"]) if spec["limits"] and _sees_itself() else None
    killed = _killed_by_the_system()
    while True:
        ready, _, _ = select.select([lifeline, wake], [], [], LOOK_EVERY if guard else None)
        if wake in ready:
            os.read(wake, 4096)
            status = _reap(payload)
            if status is not None:
                if os.waitstatus_to_exitcode(status) in (-signal.SIGKILL, 137) and _killed_by_the_system() > killed:
                    _say(lifeline, "memory the machine had none left")
                _end_tree()
                _end_as(status)
        if lifeline in ready:
            _obey(os.read(lifeline, 1), payload)
        if guard and (verdict := guard.look()):
            _say(lifeline, verdict)
            _obey(b"", payload)


def _say(lifeline: int, verdict: str) -> None:
    with contextlib.suppress(OSError):  # the daemon is gone
        os.write(lifeline, verdict.encode())


def _exec(spec: dict[str, Any]) -> NoReturn:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(spec["cwd"])
        _limit(spec["limits"] or {})
        for name in spec["unset"]:
            os.environ.pop(name, None)
        os.execvp(spec["argv"][0], spec["argv"])  # noqa: S606
    except OSError as error:
        os.write(2, f"cannot run {spec['argv'][0]}: {error.strerror}\n".encode())
    os._exit(127)


def _obey(word: bytes, payload: int) -> None:
    if word == b"T":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(payload, signal.SIGTERM)
    elif not word:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(payload, signal.SIGKILL)
        _end_tree()
        os._exit(137)


def _reap(payload: int) -> int | None:
    """Collect every child that has ended; the payload's wait status, if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, this = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == payload:
                status = this
    return status


def _end_tree() -> None:
    """Kill all that is left of the tree, until several looks in a row find nothing: what forks and ends may be missed.

    Process groups are killed whole, which no fork escapes.
    """
    if os.getpid() == 1:
        return  # with the first process of a PID namespace, all others end
    empty, own = 0, os.getpgrp()
    while empty < LOOKS:
        left = _descendants()
        empty = 0 if left else empty + 1
        for pid, group in left.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL) if group == own else os.killpg(group, signal.SIGKILL)
        _reap(0)


def _descendants() -> dict[int, int]:
    """The process group of each process below this one that has not ended."""
    seen: dict[int, tuple[int, int]] = {}
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):  # gone meanwhile, or no process
            pid = int(process.name)
            state, parent, group, *_ = (process / "stat").read_bytes().rpartition(b")")[2].split()
            if state not in (b"Z", b"X"):
                seen[pid] = int(parent), int(group)
    found, front = dict[int, int](), {os.getpid()}
    while front:
        front = {pid for pid, (parent, _) in seen.items() if parent in front}
        found |= {pid: seen[pid][1] for pid in front}
    return found


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


class Guard:
    """What the tree takes of memory, processes and disk, against its limits (`limits.Limits`)."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._limits = limits
        self._next_disk = time.monotonic() + DISK_EVERY

    def look(self) -> str | None:
        """The cause and its text, when something is exceeded."""
        pids = _tree()
        if len(pids) > self._limits["processes"]:
            return f"processes the container had more than {self._limits['processes']} processes"
        return self._memory(pids) or self._disk()

    def _memory(self, pids: list[int]) -> str | None:
        most = self._limits["memory"]
        if sum(map(_resident, pids)) <= most or (held := sum(map(_proportional, pids))) <= most:
            return None
        return f"memory the container held {held / GIB:.2f} GiB of memory, and may hold {most / GIB:.2f}"

    def _disk(self) -> str | None:
        begun = time.monotonic()
        folder, most = self._limits["folder"], self._limits["disk"]
        if folder is None or begun < self._next_disk:
            return None
        try:
            held, free = _held(folder), os.statvfs(folder)
        except OSError:
            return None
        finally:
            self._next_disk = time.monotonic() + max(DISK_EVERY, (time.monotonic() - begun) / DISK_SHARE)
        if most is not None and held > most:
            return f"disk No space left on device: the container's files took {held / GIB:.2f} GiB of {most / GIB:.2f}"
        if held > self._limits["reserve"] and free.f_bavail * free.f_frsize < self._limits["reserve"]:
            return (
                f"disk No space left on device: the container's files took {held / GIB:.2f} GiB, and the rest is taken"
            )
        return None


def _tree() -> list[int]:
    if os.getpid() == 1:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]  # ours alone
    return list(_descendants())


def _resident(pid: int) -> int:
    """Bytes in memory, those that are shared with others included."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def _proportional(pid: int) -> int:
    """Bytes in memory, those that n processes share counted as an n-th. It costs more to ask for."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return _resident(pid)


def _held(folder: str) -> int:
    """Bytes that the files of a folder take on its disk."""
    total, front = 0, [folder]
    while front:
        with contextlib.suppress(OSError), os.scandir(front.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        front.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _limit(limits: dict[str, Any]) -> None:
    """What the kernel itself can hold to, of each process; and whom it kills first when the machine has no memory."""
    wanted = {resource.RLIMIT_CORE: 0}
    if limits.get("disk") is not None:
        wanted[resource.RLIMIT_FSIZE] = limits["disk"]
    for which, most in wanted.items():
        with contextlib.suppress(OSError, ValueError):
            hard = resource.getrlimit(which)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (most, most))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _sees_itself() -> bool:
    """Whether /proc is there, and of our own PID namespace."""
    try:
        return str(Path("/proc/self").readlink()) == str(os.getpid())
    except OSError:
        return False


def _killed_by_the_system() -> int:
    """How many processes the kernel has killed for want of memory, since it was started."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
