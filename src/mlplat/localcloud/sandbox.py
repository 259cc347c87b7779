"""How far a child can be shut in on this machine: the rung of the ladder to a private /opt/ml, probed once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplat.localcloud.limits import Limits

INIT = Path(__file__).with_name("init.py")

RUNGS = ("root", "bwrap", "user-namespace", "none")
"""Best first. root: mount and PID namespace by privilege (only as root, where a user namespace would map files of
other users away); bwrap: bubblewrap; user-namespace: the same unprivileged; none: SM_* variables and arguments that
name /opt/ml are rewritten, and code that names it literally breaks."""

_OPT_ML = re.compile(r"/opt/ml(?![\w.-])")


@dataclass(frozen=True)
class Folder:
    """What a child sees in place of a folder of the machine: another one, or an empty one in memory."""

    source: Path | None = None
    kept: tuple[str, ...] = ()
    """Entries of the machine's folder that are seen in it all the same."""


@dataclass(frozen=True)
class Machine:
    """What a child takes for its machine, where it can be shut in: a name, and files of its own."""

    name: str
    files: Mapping[str, Path] = field(default_factory=dict)
    """By the path that the child sees; only files that this machine has, too, can be replaced."""
    programs: Mapping[str, Path] = field(default_factory=dict)
    """The same for programs that this machine may lack."""
    folders: Mapping[str, Folder] = field(default_factory=dict)

    def spec(self) -> dict[str, Any]:
        """As the child's first process is told."""
        folders = {path: {"source": _text(each.source), "kept": each.kept} for path, each in self.folders.items()}
        for path in self.programs:
            home = Path(path).parent
            if not Path(path).exists():  # nothing to mount it on: its folder is made anew, with room for it
                folders[str(home)] = {"source": None, "kept": tuple(sorted(each.name for each in home.iterdir()))}
        files = {path: str(source) for path, source in self.files.items() if Path(path).is_file()}
        programs = {path: str(source) for path, source in self.programs.items()}
        return {"hostname": self.name, "files": files | programs, "folders": folders}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def command(
    rung: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    opt_ml: Path | None,
    lifeline: int,
    machine: Machine | None = None,
    limits: Limits | None = None,
) -> list[str]:
    """The command line that runs `argv` on this rung, in a process with the environment `env`."""
    spec = {
        **(machine.spec() if machine else {"hostname": None, "files": {}, "folders": {}}),
        "sandbox": rung,
        "argv": list(argv),
        "cwd": str(cwd),
        "opt_ml": _text(opt_ml),
        "lifeline": lifeline,
        "limits": limits.spec() if limits else None,
        "unset": [name for name in ("LC_CTYPE",) if name not in env],  # Python sets it when no locale is (PEP 538)
    }
    return [sys.executable, "-I", "-S", "-B", str(INIT), json.dumps(spec)]


def probe() -> str:
    """The best rung that works here."""
    return next(rung for rung in RUNGS if rung == "none" or _works(rung))


def rewritten(text: str, opt_ml: Path) -> str:
    """`text` with /opt/ml replaced by the real folder, for the rung without a private one."""
    return _OPT_ML.sub(str(opt_ml).replace("\\", r"\\"), text)


def rewritten_environment(env: Mapping[str, str], opt_ml: Path) -> dict[str, str]:
    """The environment with the SM_* variables (and SAGEMAKER_*) pointing into the real folder."""
    return {k: rewritten(v, opt_ml) if k.startswith(("SM_", "SAGEMAKER_")) else v for k, v in env.items()}


def _works(rung: str) -> bool:
    if sys.platform != "linux" or (rung == "root" and os.geteuid() != 0):
        return False
    if rung == "bwrap" and not shutil.which("bwrap"):
        return False
    lifeline, keep = os.pipe()
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "probe").touch()
            test = ["test", "-e", "/opt/ml/probe"]
            argv = command(rung, test, env=os.environ, cwd=Path("/"), opt_ml=Path(folder), lifeline=lifeline)
            done = subprocess.run(argv, pass_fds=[lifeline], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
            return done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        os.close(lifeline)
        os.close(keep)
