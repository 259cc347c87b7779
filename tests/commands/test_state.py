"""`mlplat state`: what each command prints, asks and changes, on one platform that is stood up once."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlplat import output
from mlplat.commands.context import platform_of, session_of, settings_of
from mlplat.errors import LockHeld, MlplatError, StateError, UsageError
from mlplat.localcloud import daemon, request_log
from mlplat.main import app
from mlplat.reconciler.state import Store
from mlplat.workflows.platform import Platform

RAW = "ml_data_infrastructure.bucket.raw"
VPC = "ml_data_infrastructure.vpc.main"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an applied platform."""
    made = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patching:
        patching.chdir(made)
        patching.setenv("MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS", "0")
        run("apply", "--auto-approve")
        yield made
    daemon.stop(made / ".mlplat" / "local")


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(output.mode, "json", False)
    whole = (folder / ".mlplat" / "development.state.json").read_bytes()
    yield folder
    (folder / ".mlplat" / "development.state.json").write_bytes(whole)
    for path in (folder / ".mlplat").glob("*damaged*"):
        path.unlink()


def run(*words: str) -> str:
    output.mode.json = False
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def ended(*words: str, code: int) -> Any:
    output.mode.json = False
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def asked(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def refused(*words: str) -> MlplatError:
    with pytest.raises(MlplatError) as caught:
        run(*words)
    return caught.value


def writes(folder: Path, since: int = 0) -> list[str]:
    records = [each for each in request_log.records(folder / ".mlplat" / "local") if not each["internal"]]
    return [each["operation"] for each in records[since:] if each["access"] == "write"]


def test_list_and_show_read_the_file_alone(here: Path) -> None:
    before = len(list(request_log.records(here / ".mlplat" / "local")))
    rows = asked("state", "list")
    assert {"address", "id", "unfinished", "left_over"} == rows[0].keys()
    assert RAW in [row["address"] for row in rows]
    assert RAW in run("state", "list")
    shown = asked("state", "show")
    assert (shown["addresses"], shown["format"], shown["locked_by"]) == (len(rows), 1, None)
    assert asked("state", "show", RAW)["kind"] == "bucket"
    assert '"serial"' in run("state", "show")
    assert len(list(request_log.records(here / ".mlplat" / "local"))) == before
    near = refused("state", "show", RAW[:-1])
    assert isinstance(near, UsageError)
    assert near.hint == f"mlplat state show {RAW}"


def test_show_names_the_holder_of_the_lock(here: Path) -> None:
    with Store(here / ".mlplat", "development").lock("apply"):
        holder = asked("state", "show")["locked_by"]
    assert (holder["pid"], holder["command"]) == (os.getpid(), "apply")


def test_rebuild_of_a_good_state_writes_nothing(here: Path) -> None:
    path = here / ".mlplat" / "development.state.json"
    before = path.read_bytes()
    assert {each["what"] for each in asked("state", "rebuild")["found"]} == {"known"}
    assert path.read_bytes() == before
    assert "the state is as it should be" in run("state", "rebuild", "--no-auto-approve")


def test_rebuild_of_a_damaged_state_asks_keeps_it_and_makes_another(here: Path) -> None:
    path = here / ".mlplat" / "development.state.json"
    before, count = Store(here / ".mlplat", "development").load(), len(writes(here))
    path.write_bytes(path.read_bytes()[:1000])
    assert refused("apply").hint == "mlplat state rebuild --namespace development"
    error = refused("state", "rebuild", "--no-auto-approve")
    assert f"{len(before.entries)} found. Write this state?" in error.message
    assert str(error.hint).endswith("--auto-approve")
    assert error.exit_code == 2
    assert len(path.read_bytes()) == 1000
    made = asked("state", "rebuild")
    assert [Path(each).name for each in made["damaged"]] == ["development.state.json.damaged-1"]
    after = Store(here / ".mlplat", "development").load()
    assert after.entries == before.entries
    assert after.lineage != before.lineage
    assert len(writes(here)) == count


def test_a_newer_state_is_not_rebuilt(here: Path) -> None:
    store = Store(here / ".mlplat", "development")
    with store.edit() as state:
        state.format = 2
    error = refused("state", "rebuild")
    assert isinstance(error, StateError)
    assert error.hint == "pip install --upgrade mlplat"


def test_destroy_that_knows_nothing_says_how_to_find_it(here: Path) -> None:
    (here / ".mlplat" / "development.state.json").unlink()
    error = refused("destroy", "--reverse")
    assert error.hint == "mlplat state rebuild --namespace development"


def test_what_left_the_configuration_is_known_even_when_the_state_is_gone(here: Path) -> None:
    state = here / ".mlplat" / "development.state.json"
    before = Store(here / ".mlplat", "development").load().entries
    state.unlink()
    platform = platform_of(flags={"network.flow_logs": False})
    with platform.lock("apply"):
        assert platform.state().entries.keys() == before.keys()
        gone = [step.address for step in platform.plan().pending if step.action == "delete"]
    assert "ml_data_infrastructure.flow_log.main" in gone


def test_a_plan_without_a_state_shows_what_the_apply_would_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPLAT_NETWORK__FLOW_LOGS", "false")
    state = here / ".mlplat" / "development.state.json"
    with_state = json.loads(ended("plan", "--json", code=2).stdout)["steps"]
    assert "delete" in {step["action"] for step in with_state}
    state.unlink()
    told = ended("plan", "--json", "--out", "lost.plan", code=2)
    assert json.loads(told.stdout)["steps"] == with_state
    assert "there is no state; " in told.stderr
    assert not state.exists()
    assert ended("drift", "--json", code=0).stdout
    assert not state.exists()


@pytest.mark.parametrize("words", [["plan"], ["apply"], ["destroy", "--reverse"], ["drift"], ["state", "forget", VPC]])
def test_what_is_in_another_region_is_not_taken_for_gone(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    count, before = len(writes(here)), Store(here / ".mlplat", "development").load()
    monkeypatch.setenv("MLPLAT_REGION", "eu-west-1")
    error = refused(*words)
    assert isinstance(error, UsageError)
    assert "region eu-west-1: what the state knows is in account 123456789012, region us-east-1" in error.message
    assert error.hint == "mlplat config show region --namespace development"
    assert len(writes(here)) == count
    assert Store(here / ".mlplat", "development").load().entries == before.entries


def test_a_namespace_with_nothing_in_it_gets_no_state(here: Path) -> None:
    fresh = settings_of(None, None).model_copy(update={"namespace": "fresh"})
    platform = Platform(fresh, session_of(fresh), Store(here / ".mlplat", "fresh"))
    with platform.lock("apply"):
        assert platform.state().entries == {}
    assert not (here / ".mlplat" / "fresh.state.json").exists()


def test_forget_lets_go_and_says_how_to_take_back(here: Path) -> None:
    error = refused("state", "forget", RAW, "--no-auto-approve")
    assert "will not be managed any more" in error.message
    let = asked("state", "forget", RAW)
    assert let["adopt"] == f"mlplat adopt {RAW} --namespace development"
    assert RAW not in Store(here / ".mlplat", "development").load().entries
    assert RAW not in [each["address"] for each in asked("state", "rebuild")["found"]]
    assert "it carries no tags of mlplat" in refused("plan").message
    run("adopt", RAW)
    assert asked("state", "show", RAW)["id"] == let["id"]
    assert run("plan").startswith("development: nothing to change")


def test_what_has_no_name_is_taken_back_by_its_id(here: Path) -> None:
    let = asked("state", "forget", VPC)
    assert let["adopt"] == f"mlplat adopt {VPC} {let['id']} --namespace development"
    assert asked(*let["adopt"].split()[1:])["adopted"] is True
    assert asked("state", "show", VPC)["id"] == let["id"]
    assert run("plan").startswith("development: nothing to change")


class TestUnlock:
    def test_what_is_not_locked(self) -> None:
        assert asked("state", "unlock") == {"namespace": "development", "removed": None}
        assert "is not locked" in run("state", "unlock")

    def test_a_dead_holder(self, here: Path) -> None:
        lock = here / ".mlplat" / "development.lock"
        lock.write_text(json.dumps(holder(host=socket.gethostname(), pid=2**22 + 1)))
        assert asked("state", "unlock")["removed"]["user"] == "ann"
        assert not lock.exists()

    def test_one_elsewhere_only_by_force(self, here: Path) -> None:
        lock = here / ".mlplat" / "development.lock"
        lock.write_text(json.dumps(holder(host="elsewhere")))
        error = refused("state", "unlock")
        assert (error.exit_code, error.hint) == (5, "mlplat state unlock --force --namespace development")
        assert "removed the lock of `mlplat apply` of ann on elsewhere" in run("state", "unlock", "--force")
        assert not lock.exists()

    def test_a_living_one(self, here: Path) -> None:
        with Store(here / ".mlplat", "development").lock("apply"):
            assert isinstance(refused("state", "unlock"), LockHeld)
            told = CliRunner().invoke(app, ["state", "unlock", "--force"], catch_exceptions=False)
            assert "still runs: end it" in told.stderr
            with Store(here / ".mlplat", "development").lock("plan"):
                pass


def holder(**other: Any) -> dict[str, Any]:
    return {"pid": 1, "user": "ann", "command": "apply", "since": "2026-01-01", "started": "7", **other}
