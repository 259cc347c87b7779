"""moto's own tests against the local cloud, and beside it against plain moto: `make gate MOTO=path/to/moto`.

The path is a copy of moto's repository, or of its source distribution, in the version that is pinned here; nothing of
it is kept in this repository, and without it nothing is run here. Every test that passes on plain moto must pass on
the local cloud, but for those that `differences.toml` lists, each under AWS's rule that makes the local cloud stricter.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.moto_gate.suites import SUITES, Outcome, run

HERE = Path(__file__).parent
MOTO = os.environ.get("MOTO_TESTS", "")
PLAIN = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"]
LOCAL = [sys.executable, str(HERE / "cloud.py"), "--transition-delay", "0", "--port"]

needs_moto = pytest.mark.skipif(not MOTO, reason="moto's own tests are not at hand (make gate)")


def rules() -> list[dict[str, Any]]:
    """AWS's rules that moto's tests break: `says`, `source`, `shows` (a failure by it looks so), `tests`."""
    listed: list[dict[str, Any]] = tomllib.loads((HERE / "differences.toml").read_text())["rule"]
    return listed


def differences() -> dict[str, str]:
    """What the failure of a test that may fail looks like, by the test's name."""
    return {test: each["shows"] for each in rules() for test in each["tests"]}


def by_chance() -> frozenset[str]:
    """Tests that draw what they ask for, so that they break a rule on some days only."""
    return frozenset(test for each in rules() if each.get("by_chance") for test in each["tests"])


@pytest.fixture(scope="module")
def moto() -> Path:
    """moto with its tests, in the version that the local cloud is made of."""
    path = Path(MOTO).absolute()
    wanted = version("moto")
    assert f'"{wanted}"' in (path / "moto" / "__init__.py").read_text(), f"{path} is not moto {wanted}"
    assert importlib.util.find_spec("freezegun"), "moto's tests need freezegun: pip install freezegun"
    return path


@needs_moto
@pytest.mark.timeout(0)
@pytest.mark.parametrize("service", SUITES)
def test_what_passes_on_plain_moto_passes_here(moto: Path, service: str, tmp_path: Path) -> None:
    local = on_the_local_cloud(moto, service, tmp_path)
    assert local.passed, "moto's tests could not be run"
    passing = passing_on_plain_moto(moto, local, service, tmp_path)
    lost = {name: why for name, why in local.failed.items() if name in passing}
    stricter = differences()
    print(f"{service}: {len(local.passed) + len(lost)} on plain moto, {len(local.passed)} here", flush=True)
    surprising = [f"{name}: {why}" for name, why in sorted(lost.items()) if not is_expected(name, why, stricter)]
    assert not surprising, "\n".join([f"{len(surprising)} failed:", *surprising])
    stale = sorted(name for name in local.passed if name in stricter.keys() - by_chance())
    assert not stale, "\n".join(["listed as differences, and pass:", *stale])


def is_expected(name: str, why: str, stricter: dict[str, str]) -> bool:
    """Whether the test is listed, and fails by the rule under which it is."""
    return name in stricter and re.search(stricter[name], f"{name.partition('::')[2]}: {why}") is not None


def on_the_local_cloud(moto: Path, service: str, scratch: Path) -> Outcome:
    """The whole suite, and what failed of it once more: some of moto's tests count seconds on a clock."""
    with serving(LOCAL, scratch, str(scratch / "local")) as port:
        first = run(moto, service, port, scratch)
        again = run(moto, service, port, scratch, only=first.failed) if first.failed else first
    return Outcome(
        first.passed | again.passed, first.skipped, {n: w for n, w in again.failed.items() if n in first.failed}
    )


def passing_on_plain_moto(moto: Path, local: Outcome, service: str, scratch: Path) -> frozenset[str]:
    """Of what fails on the local cloud, what plain moto passes: some of moto's tests are not for server mode."""
    if not local.failed:
        return frozenset()
    with serving(PLAIN, scratch) as port:
        return run(moto, service, port, scratch, only=local.failed).passed


def test_every_difference_names_a_rule_and_where_aws_says_so() -> None:
    for each in rules():
        assert each["says"] and each["source"] and each["shows"] and each["tests"], each
    tests = [test for each in rules() for test in each["tests"]]
    assert len(tests) == len(set(tests))


def test_a_listed_test_fails_by_its_own_rule_only() -> None:
    stricter = {"a.b::test[x]": "does not exist"}
    assert is_expected("a.b::test[x]", "ClientError: The Service 'x' does not exist", stricter)
    assert not is_expected("a.b::test[x]", "KeyError: 'Service'", stricter)
    assert not is_expected("a.b::other", "does not exist", stricter)


@contextlib.contextmanager
def serving(command: list[str], scratch: Path, *more: str) -> Iterator[int]:
    """A server in a process of its own, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    with (scratch / f"{port}.log").open("w") as log:
        process = subprocess.Popen([*command, str(port), *more], env=environment, stdout=log, stderr=log)
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def wait_for(port: int) -> None:
    """Until it answers."""
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/data.json", timeout=60).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
