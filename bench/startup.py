"""What `mlplat --help` costs beside the bound: importing typer and rich. Prints user+system CPU seconds and ratios."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

MLPLAT = str(Path(sys.executable).with_name("mlplat"))
BOUND = [sys.executable, "-c", "import typer, rich"]
COMMANDS = {
    "mlplat --help": [MLPLAT, "--help"],
    "mlplat apply --help": [MLPLAT, "apply", "--help"],
    "mlplat config show": [MLPLAT, "config", "show"],
}


def cost(command: list[str]) -> float:
    """CPU seconds of one run, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def least(commands: dict[str, list[str]], rounds: int = 7) -> dict[str, float]:
    """The cheapest of `rounds` runs of each command, taken in turn so that noise hits all alike."""
    found = {name: float("inf") for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name] = min(found[name], cost(command))
    return found


def main() -> None:
    """Print the table."""
    found = least({"bound": BOUND, **COMMANDS})
    print(f"{'import typer, rich':28} {found['bound']:.3f} s")
    for name in COMMANDS:
        print(f"{name:28} {found[name]:.3f} s  {found[name] / found['bound']:.2f} x the bound")


if __name__ == "__main__":
    main()
