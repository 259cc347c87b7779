"""Archives whose bytes depend on nothing but names and contents."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlplat.errors import ApiError, UsageError, WaitTimeout
from mlplat.workflows.files import archive, digest, exists, local_files, upload_file


def workload(folder: Path) -> Path:
    (folder / "lib").mkdir(parents=True)
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "lib" / "model.py").write_text("x = 1\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "train.pyc").write_bytes(b"\0")
    (folder / "data").mkdir()
    (folder / "data" / "big.csv").write_text("1\n")
    return folder


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = workload(tmp_path / "one"), workload(tmp_path / "two")
    os.utime(two / "train.py", (1, 1))
    assert archive(one) == archive(two)


def test_a_changed_line_gives_other_bytes(tmp_path: Path) -> None:
    folder = workload(tmp_path / "one")
    before = archive(folder)
    (folder / "lib" / "model.py").write_text("x = 2\n")
    assert archive(folder) != before


def test_caches_and_data_stay_at_home(tmp_path: Path) -> None:
    packed = archive(workload(tmp_path / "one"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["lib/model.py", "train.py"]


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"packing source .*nowhere: there is no such folder"):
        archive(tmp_path / "nowhere")


def test_parts_of_a_digest_cant_run_into_each_other() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_an_empty_folder_is_no_channel_nor_is_one_that_is_not_there(tmp_path: Path) -> None:
    for place, told in ((tmp_path, "the folder has no file"), (tmp_path / "nowhere", "there is no such file")):
        with pytest.raises(UsageError, match=told):
            local_files(place, "channel train", "mlplat config show workloads")


def test_a_refused_upload_is_told_as_s3_tells_it(cloud: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(ApiError) as caught:
        upload_file(cloud.session(), tmp_path / "x", "no-such-bucket-anywhere", "x")
    assert caught.value.code == "NoSuchBucket"


def test_an_upload_is_sent_again_when_s3_is_busy(cloud: Any, tmp_path: Path) -> None:
    from botocore.awsrequest import AWSResponse
    from urllib3.response import HTTPResponse

    cloud.client("s3").create_bucket(Bucket="upload-again")
    (tmp_path / "x").write_text("x")
    session, sent = cloud.session(), list[str]()

    def busy_at_first(request: Any, **_: Any) -> Any:
        sent.append(request.method)
        raw = HTTPResponse(body=io.BytesIO(b""), status=503, preload_content=False)
        return AWSResponse(request.url, 503, {}, raw) if len(sent) == 1 else None

    session.uploads.meta.events.register("before-send.s3.PutObject", busy_at_first)
    uri = upload_file(session, tmp_path / "x", "upload-again", "x")
    assert sent == ["PUT", "PUT"]
    assert exists(session, uri)
    assert not exists(session, f"{uri}y")


def test_an_upload_is_given_up_when_its_time_is_over(cloud: Any, tmp_path: Path) -> None:
    cloud.client("s3").create_bucket(Bucket="upload-late")
    (tmp_path / "x").write_bytes(b"x" * 9_000_000)  # in two parts
    session, over = cloud.session(), threading.Event()

    def late(**_: Any) -> None:  # as `Session.limited` does it
        session._shared.late.set()
        session.cancelled.set()
        over.wait(20)

    session.uploads.meta.events.register("before-send.s3.UploadPart", late)
    with pytest.raises(WaitTimeout), ThreadPoolExecutor(1) as pool:
        given_up = pool.submit(upload_file, session, tmp_path / "x", "upload-late", "x")
        session.cancelled.wait(20)
        over.set()
        given_up.result(20)
    assert not exists(cloud.session(), "s3://upload-late/x")
    assert "Uploads" not in cloud.client("s3").list_multipart_uploads(Bucket="upload-late")


def test_a_listing_is_given_up_when_its_time_is_over(cloud: Any) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="list-late")
    for key in "ab":
        s3.put_object(Bucket="list-late", Key=key, Body=b"")
    session = cloud.session()
    listed = iter(session.client("s3").pages("list_objects_v2", "Contents", Bucket="list-late", MaxKeys=1))
    assert next(listed)["Key"] == "a"
    session._shared.late.set()
    with pytest.raises(WaitTimeout, match="listing s3 list_objects_v2: its time is over"):
        next(listed)
