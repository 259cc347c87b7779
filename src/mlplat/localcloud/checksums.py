"""Checksums that come with an upload to S3, in its headers or behind its body, compared with what came.

User guide, "Checking object integrity for data uploads": a wrong one is a BadDigest, and nothing is stored. Left to
trust are the ones that Python doesn't have where AWS's Common Runtime (`awscrt`, which boto3 needs for them, too) is
not installed.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from mlplat.localcloud.errors import AwsError

LENGTHS = {
    "crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32, "sha512": 64, "md5": 16, "xxhash64": 8,
    "xxhash3": 8, "xxhash128": 16,
}  # fmt: skip
"""Bytes by algorithm."""

Computed = dict[str, Callable[[bytes], bytes]]

COMPUTED: Computed = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
    "sha512": lambda body: hashlib.sha512(body).digest(),
    "md5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
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
        compute = computed().get(name)
        if compute is not None and compute(body) != wanted:
            raise AwsError("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")
    _check_md5(headers.get("Content-MD5"), body)


@cache
def computed() -> Computed:
    """The algorithms that can be compared here."""
    try:
        runtime: Any = import_module("awscrt.checksums")
    except ImportError:
        return COMPUTED
    return COMPUTED | {
        "crc32c": lambda body: int(runtime.crc32c(body)).to_bytes(4, "big"),
        "crc64nvme": lambda body: int(runtime.crc64nvme(body)).to_bytes(8, "big"),
    }


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
