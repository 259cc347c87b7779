"""Bodies in S3's own chunks, with checksums behind them: taken apart, and compared with what they say.

API reference, "Signature calculations for the Authorization header: transferring payload in multiple chunks" and
"Trailing headers". The signatures of single chunks are not looked at.
"""

from __future__ import annotations

import io
from typing import Any

from moto.s3.responses import S3Response

from mlplat.localcloud import checksums
from mlplat.localcloud.errors import AwsError


def register() -> None:
    """Put this in the place of moto's, which leaves the trailers unread and fills up what is missing with zeros."""
    S3Response._handle_encoded_body = _unsigned
    S3Response._handle_v4_chunk_signatures = _signed


def content(body: Any, length: int | None) -> bytes:
    """What was sent. Raises S3's errors for half a body, and for one that its trailing checksum doesn't fit."""
    stream = io.BytesIO(body) if isinstance(body, bytes) else body
    parts: list[bytes] = []
    while size := _size(stream.readline()):
        parts.append(stream.read(size))
        stream.readline()
    found = b"".join(parts)
    if length is not None and len(found) != length:
        raise _incomplete()
    named = (line.decode("latin-1").partition(":") for line in stream.read().splitlines())
    checksums.check({name.strip().lower(): value.strip() for name, colon, value in named if colon}, found)
    return found


def _unsigned(response: S3Response, body: Any) -> bytes:
    length = response.request.headers.get("x-amz-decoded-content-length")
    return content(body, int(length) if length else None) if body else b""


def _signed(_response: S3Response, body: bytes, length: int) -> bytes:
    return content(body, length)


def _size(line: bytes) -> int:
    """Of a chunk, before its signature."""
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise _incomplete() from None


def _incomplete() -> AwsError:
    """API reference, "Error responses"."""
    text = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return AwsError("IncompleteBody", text)
