"""The state damaged in every way, older than reality, full of a release, and fought over by two runs."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.project import Project

from mlplat.localcloud import daemon

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A platform that is stood up once; what damages its state puts it right again."""
    made = Project(tmp_path_factory.mktemp("state"))
    made.run("apply")
    yield made
    daemon.stop(made.cloud)


def state(project: Project) -> Path:
    return project.folder / ".mlplat" / "development.state.json"


def entries(project: Project) -> Any:
    return json.loads(state(project).read_text())["entries"]


def writes(project: Project, since: int = 0) -> list[str]:
    return [each["operation"] for each in project.requests()[since:] if each["access"] == "write"]


def comes_back(project: Project, known: Any, before: int) -> None:
    """Rebuilt as it was, and nothing was written to the cloud, by the rebuild or by the apply that follows."""
    project.run("state", "rebuild")
    assert entries(project) == known
    project.run("apply")
    assert project.run("plan").stdout.startswith("development: nothing to change")
    assert writes(project, before) == []


@pytest.mark.parametrize("part", [0, 13, 63])
def test_truncated(applied: Project, part: int) -> None:
    known, whole, before = entries(applied), state(applied).read_bytes(), len(applied.requests())
    state(applied).write_bytes(whole[: len(whole) * part // 64])
    for words in (("apply",), ("destroy", "--reverse")) if part == 0 else (("plan",),):
        assert "hint: mlplat state rebuild" in applied.run(*words, code=1).stderr
    comes_back(applied, known, before)
    assert list(state(applied).parent.glob("development.state.json.damaged-*"))


@pytest.mark.parametrize("part", [1, 40])
def test_a_flipped_bit(applied: Project, part: int) -> None:
    known, whole, before = entries(applied), bytearray(state(applied).read_bytes()), len(applied.requests())
    whole[len(whole) * part // 64] ^= 0x10
    state(applied).write_bytes(whole)
    assert "development.state.json" in applied.run("apply", code=1).stderr
    comes_back(applied, known, before)


def test_deleted(applied: Project) -> None:
    known, before = entries(applied), len(applied.requests())
    state(applied).unlink()
    told = applied.run("destroy", "--reverse", code=2).stderr
    assert "hint: mlplat state rebuild" in told
    comes_back(applied, known, before)


def test_deleted_and_applied_without_a_rebuild(applied: Project) -> None:
    known, before = entries(applied), len(applied.requests())
    state(applied).unlink()
    applied.run("apply")
    assert entries(applied) == known
    assert writes(applied, before) == []


def test_older_than_reality_with_a_release(project: Project) -> None:
    """The endpoint was made after the state was saved: it is found, and so is what it serves."""
    project.run("apply")
    old = state(project).read_bytes()
    project.run("train")
    project.run("registry", "approve", "1")
    project.run("deploy")
    known, before = json.loads(state(project).read_text()), len(project.requests())
    for content in (old, None):
        state(project).unlink() if content is None else state(project).write_bytes(content)
        made = project.json("state", "rebuild")
        assert made["releases"] == known["releases"]
        assert entries(project) == known["entries"]
        assert project.run("plan").stdout.startswith("development: nothing to change")
    assert writes(project, before) == []
    project.run("destroy", "--reverse", "--delete-data", "ml_*")
    assert entries(project) == {}
    assert project.client("s3").list_buckets()["Buckets"] == []


def test_what_left_the_configuration_is_found_by_its_tags_and_goes(project: Project) -> None:
    project.configure('target = "local"\n[approval]\nrequired = false\n[network]\nnat = "single"\n')
    project.run("apply")
    project.configure('target = "local"\n[approval]\nrequired = false\n')
    state(project).unlink()
    found = {each["address"] for each in project.json("state", "rebuild")["found"]}
    left = {"ml_data_infrastructure.nat_gateway.nat_1", "ml_data_infrastructure.elastic_ip.nat_1"}
    assert left <= found
    steps = {each["address"]: each["action"] for each in project.json("plan", code=2)["steps"]}
    assert {steps[address] for address in left} == {"delete"}
    project.run("apply")
    gone = project.client("ec2").describe_nat_gateways()["NatGateways"]
    assert {each["State"] for each in gone} <= {"deleted"}
    assert project.client("ec2").describe_addresses()["Addresses"] == []


def test_two_at_once_and_a_holder_that_dies(project: Project) -> None:
    project.run("local", "start", "--transition-delay", "3")
    first = project.start("apply")
    lock = project.folder / ".mlplat" / "development.lock"
    deadline = time.monotonic() + 60
    while not (lock.exists() and lock.read_text() and writes(project)):
        assert time.monotonic() < deadline
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    told = project.run("apply", code=5).stderr
    assert f"on {socket.gethostname()} (process {first.pid}) since 20" in told
    assert "`mlplat apply` of " in told
    assert project.json("state", "show")["locked_by"]["pid"] == first.pid
    assert "locked by" in project.run("state", "unlock", code=5).stderr
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert lock.exists()
    assert project.json("state", "show")["locked_by"] is None
    project.run("apply")
    assert not lock.exists()
    assert project.run("plan").stdout.startswith("development: nothing to change")
    made = [each["operation"] for each in project.requests() if each["access"] == "write" and each["status"] < 300]
    assert (made.count("CreateVpc"), made.count("CreateKey"), made.count("CreateSubnet")) == (1, 1, 4)
