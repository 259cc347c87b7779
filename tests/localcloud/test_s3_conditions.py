"""Conditional writes and deletes as the S3 user guide has them: what a lock and a state in S3 rest on."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud


@pytest.fixture(scope="module")
def bucket(cloud: RunningCloud) -> str:
    name = f"conditions-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=name)
    cloud.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def place(bucket: str) -> dict[str, str]:
    return {"Bucket": bucket, "Key": uuid.uuid4().hex}


def refused(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_write_over_what_it_has_read_or_over_nothing(cloud: RunningCloud, place: dict[str, str]) -> None:
    s3 = cloud.client("s3")
    assert refused(lambda: s3.put_object(**place, Body=b"0", IfMatch='"0"')) == ("NoSuchKey", 404)
    first = s3.put_object(**place, Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(lambda: s3.put_object(**place, Body=b"2", IfNoneMatch="*")) == ("PreconditionFailed", 412)
    second = s3.put_object(**place, Body=b"2", IfMatch=first)["ETag"]
    assert refused(lambda: s3.put_object(**place, Body=b"3", IfMatch=first)) == ("PreconditionFailed", 412)
    assert s3.get_object(**place)["Body"].read() == b"2"
    assert refused(lambda: s3.put_object(**place, Body=b"3", IfNoneMatch=second)) == ("NotImplemented", 501)


def test_a_delete_of_what_it_has_read(cloud: RunningCloud, place: dict[str, str]) -> None:
    s3 = cloud.client("s3")
    etag = s3.put_object(**place, Body=b"1")["ETag"]
    assert refused(lambda: s3.delete_object(**place, IfMatch='"0123"')) == ("PreconditionFailed", 412)
    s3.delete_object(**place, IfMatch=etag)
    assert refused(lambda: s3.put_object(**place, Body=b"2", IfMatch=etag)) == ("NoSuchKey", 404)
    s3.put_object(**place, Body=b"2", IfNoneMatch="*")  # a delete marker is nothing
    s3.delete_object(**place, IfMatch="*")
    assert refused(lambda: s3.get_object(**place)) == ("NoSuchKey", 404)


def test_of_eight_at_once_one_makes_it(cloud: RunningCloud, place: dict[str, str]) -> None:
    s3, begin, codes = cloud.client("s3"), threading.Barrier(8), list[str]()

    def work(number: int) -> None:
        begin.wait(10)
        try:
            s3.put_object(**place, Body=b"%d" % number, IfNoneMatch="*")
            codes.append("made")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == ["PreconditionFailed"] * 7 + ["made"]
