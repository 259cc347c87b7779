"""The local cloud as a process: one per folder, found again, ended with all that it started."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from mlplat.errors import LocalCloudError
from mlplat.localcloud import daemon, processes


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / ".mlplat" / "local"
    yield place
    daemon.stop(place)


def eventually(condition: Callable[[], bool], within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_starting_twice_gives_the_same_one_and_stop_ends_it(folder: Path) -> None:
    first = daemon.start(folder)
    assert daemon.start(folder) == first == daemon.ensure(folder) == daemon.status(folder)
    assert stat.S_IMODE((folder / "daemon.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert daemon.stop(folder) is True
    assert not processes.lives(first.pid, first.started)
    assert daemon.status(folder) is None
    assert daemon.stop(folder) is False


def test_four_that_want_it_at_once_get_one(folder: Path) -> None:
    script = (
        f"from mlplat.localcloud import daemon; print(daemon.ensure(__import__('pathlib').Path({str(folder)!r})).pid)"
    )
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True)
            for _ in range(4)
        ]
        pids = {run.result().stdout.strip() for run in runs}
    assert pids == {str(daemon.ensure(folder).pid)}


def test_two_folders_have_two_that_do_not_know_each_other(folder: Path, tmp_path: Path) -> None:
    one, other_folder = daemon.start(folder), tmp_path / "other" / ".mlplat" / "local"
    try:
        other = daemon.start(other_folder)
        assert one.url != other.url
        stranger = boto3.client(
            "s3",
            endpoint_url=other.url,
            aws_access_key_id=one.access_key,
            aws_secret_access_key=one.secret_key,
            region_name="us-east-1",
        )
        with pytest.raises(stranger.exceptions.ClientError, match="InvalidClientTokenId"):
            stranger.list_buckets()
    finally:
        daemon.stop(other_folder)


def test_a_record_of_a_dead_one_is_not_believed(folder: Path) -> None:
    dead = daemon.start(folder)
    os.kill(dead.pid, signal.SIGKILL)
    assert eventually(lambda: not processes.lives(dead.pid, dead.started))
    assert (folder / "daemon.json").exists()
    assert daemon.status(folder) is None
    assert daemon.start(folder).pid != dead.pid


def test_a_record_that_names_a_stranger_is_not_believed(folder: Path) -> None:
    real = daemon.start(folder)
    record = json.loads((folder / "daemon.json").read_text())
    daemon.stop(folder)
    mine = processes.started(os.getpid())
    (folder / "daemon.json").write_text(json.dumps({**record, "pid": os.getpid(), "started": mine}))
    assert daemon.status(folder) is None  # we live, but nobody answers there
    (folder / "daemon.json").write_text(json.dumps({**record, "pid": os.getpid()}))
    assert daemon.stop(folder) is False  # and nobody is killed for having the pid
    (folder / "daemon.json").write_text('{"pid": 1')
    assert daemon.status(folder) is None
    assert daemon.ensure(folder).instance != real.instance


def test_a_taken_port_is_an_error_with_a_way_out(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LocalCloudError, match="Address already in use") as caught:
            daemon.start(folder, port=taken.getsockname()[1])
    assert caught.value.hint == "mlplat local start"


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalCloudError, match="Not a directory"):
        daemon.start(tmp_path / "file" / "local")


def test_reset_forgets_and_starts_again(folder: Path) -> None:
    before = daemon.start(folder, transition_delay=0.25)
    client("s3", before).create_bucket(Bucket="forgotten")
    after = daemon.reset(folder)
    assert after is not None
    assert (after.instance != before.instance, after.transition_delay) == (True, 0.25)
    assert client("s3", after).list_buckets()["Buckets"] == []
    assert not processes.lives(before.pid, before.started)


def test_it_goes_when_its_folder_goes(folder: Path) -> None:
    address = daemon.start(folder)
    (folder / "daemon.json").unlink()
    assert eventually(lambda: not processes.lives(address.pid, address.started))


def test_the_callers_aws_setup_has_no_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_PROFILE": "absent",
        "MOTO_ACCOUNT_ID": "999999999999",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    address = daemon.start(folder)
    monkeypatch.undo()
    assert client("sts", address).get_caller_identity()["Account"] == "123456789012"
    sagemaker = client("sagemaker", address)
    role = "arn:aws:iam::123456789012:role/absent"
    with pytest.raises(sagemaker.exceptions.ClientError, match="Could not assume role"):  # it asks itself for the role
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "image"})


def test_the_environment_is_all_that_a_plain_client_needs(folder: Path) -> None:
    variables = daemon.start(folder).environment()
    script = "import boto3; boto3.client('s3').create_bucket(Bucket='by-environment'); print('made')"
    clean = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run([sys.executable, "-c", script], env=clean, capture_output=True, text=True)
    assert done.stdout == "made\n", done.stderr
    configuration = json.loads(Path(variables["SAGEMAKER_USER_CONFIG_OVERRIDE"]).read_text())
    session = configuration["SageMaker"]["PythonSDK"]["Modules"]["Session"]
    assert session == {"DefaultS3Bucket": "sagemaker-us-east-1-123456789012"}


def test_a_full_disk_is_an_error_that_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True, mode=0o700)
    full = os.statvfs_result((4096, 4096, 100, 0, 0, 10, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(LocalCloudError, match="no space left on the disk") as caught:
        daemon.start(folder)
    assert caught.value.hint == f"df -h {folder}"


def test_all_its_files_are_the_users_alone(folder: Path) -> None:
    address = daemon.start(folder)
    s3 = client("s3", address)
    s3.create_bucket(Bucket="mine")
    s3.put_object(Bucket="mine", Key="large", Body=b"x" * 10_000)
    address.environment()
    daemon.stop(folder)
    found = [path for path in folder.rglob("*") if path.stat().st_mode & 0o077]
    assert (folder / "objects").exists()
    assert found == []


def client(service: str, address: daemon.Address) -> Any:
    return boto3.client(
        service,
        endpoint_url=address.url,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=address.secret_key,
        region_name=address.region,
    )
