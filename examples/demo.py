"""The whole of mlplat on this machine in a few minutes: `make demo`.

Every step prints the command that a person would type, and runs it, in a folder of its own that goes at the end.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parent / "churn" / "data"
MLPLAT = Path(sys.executable).with_name("mlplat")

BOLD, DIM, GREEN, RED, RESET = ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m")
if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
    BOLD = DIM = GREEN = RED = RESET = ""

STEPS: tuple[tuple[str, str], ...] = (
    ("Stand up all four templates on the local cloud", "mlplat apply"),
    ("Nothing to do the second time", "mlplat apply"),
    ("Write 5,000 customers into the feature store", f"mlplat features ingest customer {DATA / 'customers.csv'}"),
    ("The products", f"mlplat features ingest product {DATA / 'products.csv'}"),
    ("What was bought", f"mlplat features ingest transaction {DATA / 'transactions.csv'}"),
    ("Read a customer back", "mlplat features get customer 7"),
    ("Train a logistic regression", "mlplat train"),
    ("Tune a gradient boosting", "mlplat train --tune"),
    ("Approve the first version", "mlplat registry approve 1"),
    ("Approve the second", "mlplat registry approve 2"),
    ("What there is to deploy", "mlplat registry list"),
    ("Serve the first version", "mlplat deploy --model primary=1"),
    ("Give the second a fifth of the traffic", "mlplat deploy --variant challenger=0.2"),
    (
        "Ask for 500 customers that no model has seen",
        f"mlplat invoke churn --file {DATA / 'holdout.csv'} --by-row --label churn --limit 500",
    ),
    ("The platform at a glance", "mlplat status"),
    ("Take everything down, data included", "mlplat destroy --reverse --delete-data 'ml_*'"),
    ("Nothing is left", "mlplat status"),
    ("Stop the local cloud", "mlplat local stop"),
    ("No process is left either", "mlplat local status"),
)


def run(title: str, command: str, folder: Path) -> float:
    """Show and run one step; returns its seconds. Ends the demo with the step's exit code when it failed."""
    print(f"\n{BOLD}{title}{RESET}\n{GREEN}$ {command}{RESET}", flush=True)
    began = time.monotonic()
    words = shlex.split(command)
    code = subprocess.run([str(MLPLAT), *words[1:]], cwd=folder, check=False).returncode
    seconds = time.monotonic() - began
    print(f"{DIM}{seconds:.1f} s{RESET}", flush=True)
    if code:
        print(f"{RED}the demo stops: {command} ended with exit code {code}{RESET}", file=sys.stderr)
        sys.exit(code)
    return seconds


def main() -> None:
    """All steps in a temporary folder; the local cloud is stopped whatever happens."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mlplat-demo-") as name:
        folder = Path(name)
        try:
            for title, command in STEPS:
                run(title, command, folder)
        finally:
            subprocess.run([str(MLPLAT), "local", "stop"], cwd=folder, check=False, capture_output=True)
    print(f"\n{BOLD}The whole demo took {time.monotonic() - began:.0f} s.{RESET}")


if __name__ == "__main__":
    main()
