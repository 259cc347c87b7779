"""Checksums that come with an upload to S3, compared with what came.

User guide, "Checking object integrity for data uploads": a wrong one is a BadDigest, and nothing is stored. Left to
trust: CRC32C and CRC64NVME, which Python doesn't have, and checksums that trail a body in chunks.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Mapping

from mlplat.localcloud.errors import AwsError

LENGTHS = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
"""Bytes by algorithm."""

COMPUTED: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}


def check(headers: Mapping[str, str], body: bytes) -> None:
    """Raise S3's error for a checksum in the headers that isn't one, or isn't the body's (words recorded in the
    tests of S3's other implementations, which run against AWS too)."""
    given = {name: text for name in LENGTHS if (text := headers.get(f"x-amz-checksum-{name}")) is not None}
    if len(given) > 1:
        text = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise AwsError("InvalidRequest", text)
    for name, text in given.items():
        wanted = _decoded(text)
        if len(wanted) != LENGTHS[name]:
            raise AwsError("InvalidRequest", f"Value for x-amz-checksum-{name} header is invalid.")
        if name in COMPUTED and COMPUTED[name](body) != wanted:
            raise AwsError("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")
    _check_md5(headers.get("Content-MD5"), body)


def _check_md5(text: str | None, body: bytes) -> None:
    """API reference, "Error responses": InvalidDigest and BadDigest."""
    if text is None:
        return
    wanted = _decoded(text)
    if len(wanted) != 16:
        raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    if hashlib.md5(body, usedforsecurity=False).digest() != wanted:
        raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Error, ValueError):
        return b""
