"""What S3's clients do with HTTP, on connections that stay open: keys, metadata, body forms, ranges, checksums."""

from __future__ import annotations

import base64
import hashlib
import http.client
import importlib.util
import io
import os
import urllib.parse
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from tests.localcloud.test_routing import unique

from mlplat.localcloud import trailers
from mlplat.localcloud.errors import AwsError

CHUNKED = {"Transfer-Encoding": "chunked"}
TRAILER = {"checksum": {"request_algorithm": {"in": "trailer"}}}
"""What botocore notes in a request's context when its checksum follows the body."""


class Line:
    """One open connection with signed requests on it."""

    def __init__(self, cloud: Any, bucket: str) -> None:
        self.cloud, self.bucket = cloud, bucket
        self.host = urlsplit(cloud.url).netloc
        self.http = http.client.HTTPConnection(self.host, timeout=30)
        self.http.connect()
        self.port = self.http.sock.getsockname()[1]

    def ask(
        self, method: str, key: str, body: bytes | list[bytes] = b"", context: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """A request for a key, percent-encoded as given; a body in parts is sent in HTTP chunks."""
        signed = self.signed(method, key, body if isinstance(body, bytes) else b"".join(body), context, headers)
        sent = body if isinstance(body, bytes) else iter(body)
        self.http.request(method, f"/{self.bucket}/{key}", sent, signed, encode_chunked=isinstance(body, list))
        answer = self.http.getresponse()
        read = answer.read()
        assert self.http.sock is not None, "the connection was closed"
        assert self.http.sock.getsockname()[1] == self.port, "a new connection was made"
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, read

    def signed(self, method: str, key: str, body: bytes, context: Any, headers: dict[str, str]) -> dict[str, str]:
        """The request's headers, with its signature."""
        request = AWSRequest(method, f"http://{self.host}/{self.bucket}/{key}", headers=headers, data=body)
        request.context.update(context or {})
        key_pair = Credentials(self.cloud.address.access_key, self.cloud.address.secret_key)
        S3SigV4Auth(key_pair, "s3", "us-east-1").add_auth(request)
        return dict(request.headers)


@pytest.fixture
def line(cloud: Any) -> Iterator[Line]:
    bucket = unique("line")
    cloud.client("s3").create_bucket(Bucket=bucket)
    made = Line(cloud, bucket)
    yield made
    made.http.close()


ODD_KEYS = (
    "per%cent",
    "a/b%2Fc",
    "what?x=1&y",
    "plus+space and",
    "ü/日本.txt",
    "a//b///c",
    "trailing/",
    "=:@!$'()*,;~#",
)


def test_odd_keys_and_metadata_on_one_connection(line: Line) -> None:
    s3 = line.cloud.client("s3")
    for key in ODD_KEYS:
        encoded = urllib.parse.quote(key, safe="/~")
        status, _, _ = line.ask(
            "PUT", encoded, key.encode(), **{"x-amz-meta-with_underscore": "1", "x-amz-meta-a-b": "2"}
        )
        assert status == 200, key
        status, headers, body = line.ask("GET", encoded)
        assert (status, body) == (200, key.encode())
        assert (headers["x-amz-meta-with_underscore"], headers["x-amz-meta-a-b"]) == ("1", "2")
        assert s3.head_object(Bucket=line.bucket, Key=key)["Metadata"] == {"with_underscore": "1", "a-b": "2"}
        assert line.ask("HEAD", encoded)[::2] == (200, b"")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=line.bucket)["Contents"]] == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        assert line.ask("DELETE", urllib.parse.quote(key, safe="/~"))[0] == 204
    assert s3.list_objects_v2(Bucket=line.bucket)["KeyCount"] == 0


def test_a_body_in_http_chunks_is_stored_whole(line: Line) -> None:
    parts = [os.urandom(70_000) for _ in range(20)]
    status, _, _ = line.ask("PUT", "chunked", parts, **CHUNKED)
    assert status == 200
    assert line.ask("GET", "chunked")[2] == b"".join(parts)


def aws_chunked(parts: list[bytes], crc: int) -> bytes:
    """A body as botocore frames it for a trailing checksum (S3 API reference, "Trailing headers")."""
    body = b"".join(f"{len(part):x}".encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return body + b"0\r\nx-amz-checksum-crc32:" + base64.b64encode(crc.to_bytes(4, "big")) + b"\r\n\r\n"


@pytest.mark.parametrize("over_http_chunks", [False, True])
def test_a_body_with_a_trailing_checksum_is_stored_without_its_frames(line: Line, over_http_chunks: bool) -> None:
    parts = [os.urandom(65_536), os.urandom(65_536), b"rest"]
    whole = b"".join(parts)
    framed = aws_chunked(parts, zlib.crc32(whole))
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-sdk-checksum-algorithm": "CRC32",
        "x-amz-decoded-content-length": str(len(whole)),
    }
    body = [framed[:100], framed[100:70_000], framed[70_000:]] if over_http_chunks else framed
    status, _, said = line.ask("PUT", "framed", body, TRAILER, **headers, **(CHUNKED if over_http_chunks else {}))
    assert status == 200, said
    assert line.ask("GET", "framed")[2] == whole


def test_a_trailing_checksum_is_compared_and_half_a_body_is_none(line: Line) -> None:
    body = os.urandom(70_000)
    framed = aws_chunked([body], zlib.crc32(body))
    headers = {"Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32"}
    headers["x-amz-decoded-content-length"] = str(len(body))
    assert line.ask("PUT", "trailed", framed, TRAILER, **headers)[0] == 200
    other = framed.replace(body, bytes(len(body)))
    for sent, code in ((other, b"BadDigest"), (framed[:60_000], b"IncompleteBody"), (b"x\r\n", b"IncompleteBody")):
        status, _, said = line.ask("PUT", "trailed", sent, TRAILER, **headers)
        assert (status, b"<Code>" + code + b"</Code>" in said) == (400, True), said
    assert line.ask("GET", "trailed")[2] == body


def test_chunks_that_are_signed_have_trailers_too() -> None:
    crc = base64.b64encode(zlib.crc32(b"body").to_bytes(4, "big"))
    signed = b"4;chunk-signature=0\r\nbody\r\n0;chunk-signature=0\r\n"
    trailer = b"x-amz-checksum-crc32:" + crc + b"\r\nx-amz-trailer-signature:0\r\n\r\n"
    assert trailers.content(signed + trailer, 4) == b"body"
    assert trailers.content(signed + b"\r\n", 4) == b"body"
    with pytest.raises(AwsError, match="BadDigest"):
        trailers.content(signed.replace(b"body", b"bode") + trailer, 4)
    with pytest.raises(AwsError, match="IncompleteBody"):
        trailers.content(signed, 5)


def test_what_only_the_common_runtime_can_compute_is_compared_where_it_is(line: Line) -> None:
    """None of these is zero for "body"."""
    crt = importlib.util.find_spec("awscrt") is not None
    for name, right in {"crc32c": b"\x00" * 4, "crc64nvme": b"\x00" * 8}.items():
        status, _, said = line.ask(
            "PUT", "crt", b"body", **{f"x-amz-checksum-{name}": base64.b64encode(right).decode()}
        )
        assert (status, b"<Code>BadDigest</Code>" in said) == ((400, True) if crt else (200, False))


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_come_back_as_they_were_given(cloud: Any, line: Line, algorithm: str) -> None:
    s3 = cloud.client("s3")
    put = s3.put_object(Bucket=line.bucket, Key="k", Body=b"checked", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=line.bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"checked"  # botocore compares the checksum
    assert put[f"Checksum{algorithm}"] == got[f"Checksum{algorithm}"]


RIGHT = {
    "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"body").digest()).decode(),
    "x-amz-checksum-sha1": base64.b64encode(hashlib.sha1(b"body", usedforsecurity=False).digest()).decode(),
    "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(b"body").to_bytes(4, "big")).decode(),
    "x-amz-checksum-sha512": base64.b64encode(hashlib.sha512(b"body").digest()).decode(),
    "Content-MD5": base64.b64encode(hashlib.md5(b"body", usedforsecurity=False).digest()).decode(),
}


@pytest.mark.parametrize("header", RIGHT)
@pytest.mark.parametrize("part", [False, True])
def test_what_is_not_as_it_was_sent_is_refused(cloud: Any, line: Line, header: str, part: bool) -> None:
    upload = cloud.client("s3").create_multipart_upload(Bucket=line.bucket, Key="sum")["UploadId"] if part else ""
    key = f"sum?partNumber=1&uploadId={upload}" if part else "sum"
    assert line.ask("PUT", key, b"body", **{header: RIGHT[header]})[0] == 200
    algorithm = header.rpartition("-")[2].upper()
    wrong, odd = {
        "MD5": ("BadDigest: The Content-MD5 you specified did not match what we received.", "InvalidDigest"),
    }.get(
        algorithm,
        (f"BadDigest: The {algorithm} you specified did not match the calculated checksum.", "InvalidRequest"),
    )
    status, _, said = line.ask("PUT", key, b"another", **{header: RIGHT[header]})
    assert status == 400
    code, _, message = wrong.partition(": ")
    assert f"<Code>{code}</Code>" in said.decode()
    assert message in said.decode()
    for value in ("bm8=", "not base64", ""):
        status, _, said = line.ask("PUT", key, b"body", **{header: value})
        assert (status, f"<Code>{odd}</Code>" in said.decode()) == (400, True), value
    if not part:
        assert line.ask("GET", "sum")[2] == b"body"


def test_there_is_one_checksum(line: Line) -> None:
    two = {header: RIGHT[header] for header in ("x-amz-checksum-sha256", "x-amz-checksum-crc32")}
    status, _, said = line.ask("PUT", "two", b"body", **two)
    assert (status, b"Expecting a single x-amz-checksum- header." in said) == (400, True)


def test_a_client_that_waits_to_be_told_to_go_on(line: Line) -> None:
    body = os.urandom(300_000)
    begin(line.http, line, "waits", body, Expect="100-continue")
    assert line.http.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.http.send(body)
    answer = line.http.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert line.ask("GET", "waits")[2] == body


def begin(connection: http.client.HTTPConnection, line: Line, key: str, body: bytes, **headers: str) -> None:
    """The head of an upload."""
    connection.putrequest("PUT", f"/{line.bucket}/{key}", skip_accept_encoding=True)
    for name, value in {**line.signed("PUT", key, body, None, headers), "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders()


def test_parts_of_an_object_are_read_by_range(line: Line) -> None:
    body = bytes(range(256)) * 1000
    line.ask("PUT", "k", body)
    for asked, start, end in (("0-9", 0, 9), ("255990-", 255_990, 255_999), ("-5", 255_995, 255_999), ("7-7", 7, 7)):
        status, headers, read = line.ask("GET", "k", Range=f"bytes={asked}")
        assert (status, read) == (206, body[start : end + 1])
        assert headers["content-range"] == f"bytes {start}-{end}/256000"
    assert line.ask("GET", "k", Range="bytes=256000-")[0] == 416
    assert line.ask("GET", "k")[2] == body


def test_a_refused_upload_leaves_the_connection_usable(line: Line) -> None:
    good, line.bucket = line.bucket, unique("absent")
    assert line.ask("PUT", "k", os.urandom(5_000_000))[0] == 404
    line.bucket = good
    assert line.ask("PUT", "k", b"x")[0] == 200


def test_a_large_upload_in_parts_with_checksums(cloud: Any, line: Line) -> None:
    s3 = cloud.client("s3", max_pool_connections=8)
    body = os.urandom(40_000_000)
    config = TransferConfig(multipart_threshold=8_000_000, multipart_chunksize=8_000_000, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(body), line.bucket, "large", Config=config, ExtraArgs={"ChecksumAlgorithm": "SHA256"})
    got = io.BytesIO()
    s3.download_fileobj(line.bucket, "large", got, Config=config)
    assert got.getvalue() == body
    assert s3.head_object(Bucket=line.bucket, Key="large")["ETag"].endswith('-5"')


def test_an_upload_that_breaks_off_changes_nothing(cloud: Any, line: Line) -> None:
    line.ask("PUT", "k", b"before")
    broken = http.client.HTTPConnection(line.host)
    begin(broken, line, "k", b"x" * 3_000_000)
    broken.send(b"x" * 1_500_000)
    broken.close()
    assert line.ask("GET", "k")[2] == b"before"
    with pytest.raises(ClientError):
        cloud.client("s3").head_object(Bucket=line.bucket, Key="absent")
