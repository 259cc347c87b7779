"""Real processes, `mlplat apply` and `mlplat destroy`, ended by signals at random moments, on a real local cloud."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tests.faults.census import census, counted
from tests.faults.trial import Case, Result

from mlplat.localcloud import daemon
from mlplat.localcloud.cloud import ACCOUNT

SEEDS = range(5)

KILLS = 3
"""Runs in a row that are ended, before the one that is left alone; as many when it is taken down."""

APPLY = ("apply", "--auto-approve")
DESTROY = ("destroy", "--reverse", "--auto-approve", "--delete-data", "*")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

ROOT = Path(__file__).parents[2]


def at_random() -> Iterator[Case]:
    """A platform's life in which every second run is ended."""
    for seed in SEEDS:
        yield Case("processes ended", "destroy, apply", f"seed {seed}", partial(_ended, seed))


def _ended(seed: int) -> Result:
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), random.Random(seed))
        try:
            return _lived(place)
        finally:
            daemon.stop(place.local)


def _lived(place: Place) -> Result:
    """Up undisturbed, to know what is there; then down and up again, disturbed."""
    result = Result()
    place.run("local", "start")
    place.run(*APPLY)
    whole = place.objects()
    for words, wanted in ((DESTROY, Counter[str]()), (APPLY, whole)):
        for _ in range(KILLS):
            result.count += place.end(words, whole.total() // (KILLS + 1), result)
        place.run(*words)
        if (found := place.objects()) != wanted:
            result.problems.append(f"after {words[0]}: {found - wanted} too many, {wanted - found} missing")
        if words is APPLY and place.run("plan") != 0:
            result.problems.append("there is something left to do")
    result.struck = result.count > 0
    return result


@dataclass
class Place:
    """A folder with a platform and a local cloud of its own."""

    folder: Path
    lot: random.Random
    account: str = ACCOUNT

    @property
    def local(self) -> Path:
        """The local cloud's folder."""
        return self.folder / ".mlplat" / "local"

    def start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """`mlplat WORDS` as a process."""
        given = {"PYTHONPATH": str(ROOT / "src"), "MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS": "0"}
        command = [sys.executable, "-m", "mlplat", *words]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> int:
        """Undisturbed; its exit code, 0 or 2 (changes)."""
        process = self.start(words)
        told, _ = process.communicate()
        assert process.returncode in (0, 2), told
        return process.returncode

    def end(self, words: Sequence[str], most: int, result: Result) -> bool:
        """Begin, and send a signal a moment after it has told of up to so many resources; whether it came in time."""
        process, which = self.start(words), self.lot.choice(SIGNALS)
        assert process.stdout is not None
        told = "".join(islice(process.stdout, self.lot.randint(1, most)))
        time.sleep(self.lot.uniform(0.0, 0.1))
        process.send_signal(which)
        told += process.communicate()[0]
        if process.returncode not in (0, 130, -which):
            result.problems.append(f"{words[0]} after {which.name}: exit code {process.returncode}: {told[-500:]}")
        return process.returncode != 0

    def objects(self) -> Counter[str]:
        """Address -> how many objects carry its tags."""
        return counted(census(self, "us-east-1"), "development")

    def client(self, service: str, region: str) -> Any:
        """A plain boto3 client."""
        import boto3

        found = daemon.status(self.local)
        assert found is not None
        keys = boto3.Session(found.access_key, found.secret_key, region_name=region)
        return keys.client(service, endpoint_url=found.url)
