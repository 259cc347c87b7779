"""`mlplat bootstrap` and a platform whose state is in the bucket that it makes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from mlplat import output
from mlplat.aws import Session
from mlplat.aws.retryable import patience
from mlplat.errors import ApiError, ForeignObject, LockHeld, MlplatError, StateError, UsageError, WaitTimeout
from mlplat.localcloud import daemon
from mlplat.main import app
from mlplat.resources import Bucket

BUCKET = "mlplat-state-123456789012-us-east-1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a local cloud."""
    made = tmp_path_factory.mktemp("bootstrap")
    with pytest.MonkeyPatch.context() as patching:
        patching.chdir(made)
        patching.setenv("MLPLAT_LOCAL__TRANSITION_DELAY_SECONDS", "0")
        yield made
    daemon.stop(made / ".mlplat" / "local")


@pytest.fixture
def s3(folder: Path) -> Any:
    address = daemon.status(folder / ".mlplat" / "local")
    assert address is not None
    return boto3.Session(address.access_key, address.secret_key, region_name="us-east-1").client(
        "s3", endpoint_url=address.url
    )


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bootstrap says to put into the configuration."""
    monkeypatch.setenv("MLPLAT_STATE__BACKEND", "s3")
    monkeypatch.setenv("MLPLAT_STATE__BUCKET", BUCKET)


def run(*words: str) -> str:
    output.mode.json = False
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def asked(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def refused(*words: str) -> MlplatError:
    with pytest.raises(MlplatError) as caught:
        run(*words)
    return caught.value


def test_before_there_is_a_bucket_that_is_said(folder: Path, shared: None) -> None:
    error = refused("plan")
    assert isinstance(error, StateError)
    assert f"there is no bucket {BUCKET}" in error.message
    assert error.hint == "mlplat bootstrap"


def test_it_asks_where_approval_is_required(folder: Path) -> None:
    error = refused("bootstrap", "--no-auto-approve")
    assert f"{BUCKET}: 1 to create. Make the bucket?" in error.message
    assert str(error.hint).endswith("--auto-approve")


def test_it_makes_the_bucket_once_and_says_what_to_write(folder: Path, s3: Any) -> None:
    assert tomllib.loads(run("bootstrap")) == {"state": {"backend": "s3", "bucket": BUCKET}}
    assert asked("bootstrap")["changed"] is False
    name = {"Bucket": BUCKET}
    assert s3.get_bucket_versioning(**name)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(**name)["PublicAccessBlockConfiguration"].values()) == {True}
    assert s3.get_bucket_ownership_controls(**name)["OwnershipControls"]["Rules"] == [
        {"ObjectOwnership": "BucketOwnerEnforced"}
    ]
    assert s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"]
    (deny,) = json.loads(s3.get_bucket_policy(**name)["Policy"])["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    tags = {each["Key"]: each["Value"] for each in s3.get_bucket_tagging(**name)["TagSet"]}
    assert (tags["ManagedBy"], tags["mlplat:namespace"]) == ("mlplat", "default")
    s3.put_bucket_versioning(**name, VersioningConfiguration={"Status": "Suspended"})
    assert asked("bootstrap")["changed"] is True
    assert s3.get_bucket_versioning(**name)["Status"] == "Enabled"


def test_a_bucket_of_somebody_else_is_taken_over_only_when_asked(
    folder: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.create_bucket(Bucket="made-by-hand")
    monkeypatch.setenv("MLPLAT_STATE__BUCKET", "made-by-hand")
    error = refused("bootstrap")
    assert isinstance(error, ForeignObject)
    assert error.hint == "mlplat bootstrap --adopt"
    assert asked("bootstrap", "--adopt")["changed"] is True
    assert asked("bootstrap")["changed"] is False


def test_a_name_that_is_not_free_yet_is_waited_for_no_longer_than_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 keeps a deleted bucket's name for up to an hour."""

    def busy(*_: Any) -> str:
        raise ApiError(
            service="s3", operation="create_bucket", code="OperationAborted", reason="A conflicting", status=409
        )

    def create(self: Bucket, aws: Session) -> str:
        return aws.retrying(lambda error: patience(error, asked=False))(busy)

    monkeypatch.setattr(Bucket, "create", create)
    pause = Session.pause

    def over(self: Session, seconds: float) -> None:
        """The minute ends during the first pause."""
        self._shared.late.set()
        self.cancelled.set()
        pause(self, seconds)

    monkeypatch.setattr(Session, "pause", over)
    monkeypatch.setenv("MLPLAT_STATE__BUCKET", "deleted-just-now")
    error = refused("bootstrap", "--timeout", "1")
    assert isinstance(error, WaitTimeout)
    assert "its time is over: 0 done and saved" in error.message
    assert error.hint == "mlplat bootstrap"


def test_a_platform_whose_state_is_there(folder: Path, s3: Any, shared: None) -> None:
    run("apply", "--auto-approve", "--template", "ml_data_infrastructure")
    assert not (folder / ".mlplat" / "development.state.json").exists()
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["mlplat/development/state.json"]
    assert run("plan", "--template", "ml_data_infrastructure").startswith("development: nothing to change")
    shown = asked("state", "show")
    assert (shown["file"], shown["exists"]) == (f"s3://{BUCKET}/mlplat/development/state.json", True)
    assert shown["addresses"] == len(asked("state", "list")) > 10
    run("state", "migrate", "--to", "local")
    moved = asked("state", "migrate")
    assert (moved["moved"], moved["state"]) == (True, shown["file"])
    assert asked("state", "migrate")["moved"] is False
    assert asked("state", "show")["serial"] == shown["serial"]
    s3.put_object(Bucket=BUCKET, Key="mlplat/development/state.json", Body=b"{")
    assert refused("apply").hint == "mlplat state rebuild --namespace development"
    assert asked("state", "rebuild")["damaged"] == [f"{shown['file']}.damaged-1"]
    assert asked("state", "show")["addresses"] == shown["addresses"]


def test_the_bucket_survives_the_end_of_the_platform(folder: Path, s3: Any, shared: None) -> None:
    run("destroy", "--reverse", "--delete-data", "ml_*")
    assert asked("state", "list") == []
    assert asked("bootstrap")["changed"] is False


def test_a_lock_elsewhere_is_named_and_taken_away_by_its_id(folder: Path, s3: Any, shared: None) -> None:
    body = {"pid": 7, "host": "elsewhere", "user": "ann", "command": "apply", "since": "2026-01-01", "started": "1"}
    lock = {"Bucket": BUCKET, "Key": "mlplat/development/state.json.lock"}
    s3.put_object(**lock, Body=json.dumps({**body, "id": "feed", "kernel": "another"}).encode())
    error = refused("apply", "--auto-approve")
    assert isinstance(error, LockHeld)
    assert (error.exit_code, error.hint) == (5, "mlplat state unlock feed --namespace development")
    assert "`mlplat apply` of ann on elsewhere (process 7) since 2026-01-01" in error.message
    assert refused("state", "unlock").exit_code == 5
    assert isinstance(refused("state", "unlock", "beef"), UsageError)
    assert asked("state", "show")["locked_by"]["user"] == "ann"
    assert asked("state", "unlock", "feed")["removed"]["host"] == "elsewhere"
    assert asked("state", "unlock", "feed")["removed"] is None


def test_to_s3_without_a_bucket(folder: Path) -> None:
    error = refused("state", "migrate", "--to", "s3")
    assert isinstance(error, UsageError)
    assert error.hint == "mlplat bootstrap"
    assert refused("state", "migrate", "--from", "local").exit_code == 2
    assert "name two places" in refused("state", "migrate", "--from", "s3", "--to", "s3").message
