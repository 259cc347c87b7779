"""Who a process is: a pid alone says nothing after a reboot or a wrap-around, so its start time goes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LINUX = sys.platform == "linux"


def started(pid: int) -> str | None:
    """A text that no other process with this pid has ever had, or None when it has ended (zombies have)."""
    if not LINUX:
        answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
        state, _, since = answer.stdout.strip().partition(" ")
        return since.strip() if since and not state.startswith("Z") else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{_boot()}:{fields[19]}"


def lives(pid: int, since: str) -> bool:
    """Whether the process that was started then still runs."""
    return started(pid) == since


def tagged(name: str, value: str) -> list[int]:
    """Processes of this user whose environment has `name=value`; none where /proc doesn't tell."""
    wanted = f"{name}={value}".encode()
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")] if LINUX else []
    return [pid for pid in pids if wanted in _environment(pid)]


def has_tag(pid: int, name: str, value: str) -> bool:
    """Whether the process carries the tag; True where the system doesn't tell."""
    return not LINUX or f"{name}={value}".encode() in _environment(pid)


def end(pid: int, since: str, *, grace: float) -> bool:
    """SIGTERM, wait, SIGKILL; True once the process is gone."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if not lives(pid, since):
            return True
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        if _gone(pid, since, patience):
            return True
    return False


def _gone(pid: int, since: str, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not lives(pid, since):
            return True
        time.sleep(0.02)
    return not lives(pid, since)


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
