"""Files on their way to S3: digests, reproducible source archives, and uploads that are skipped when already there."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlplat.aws import Session, translated
from mlplat.errors import UsageError

_LEFT_OUT = {"__pycache__", ".git", ".venv", ".mlplat", ".ipynb_checkpoints", ".pytest_cache", "data"}
"""Folders of a workload's source that no job needs; its data travels in channels."""


def digest(*parts: str | bytes) -> str:
    """Ten hex digits that change when any part does."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(8, "big") + raw)
    return whole.hexdigest()[:10]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree(folder: Path) -> Iterator[Path]:
    """The files of a folder in a stable order, without caches and data."""
    for path in sorted(folder.iterdir()):
        if path.name in _LEFT_OUT or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from tree(path)
        elif path.is_file():
            yield path


def archive(folder: Path) -> bytes:
    """The folder as a tar.gz whose bytes depend on names and contents alone. Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"packing source {folder}: there is no such folder", hint="mlplat config show")
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path in tree(folder):
            entry = tar.gettarinfo(path, arcname=str(path.relative_to(folder)))
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
            with path.open("rb") as stream:
                tar.addfile(entry, stream)
    return packed.getvalue()


def upload_bytes(session: Session, bucket: str, key: str, body: bytes) -> str:
    """Put bytes under a key that names their content; skipped when the key exists. Returns the s3:// address."""
    s3 = session.client("s3")
    if session.find(lambda: s3.head_object(Bucket=bucket, Key=key)) is None:
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}"


def upload_file(session: Session, path: Path, bucket: str, key: str, *, skip_existing: bool = False) -> str:
    """Put a file of any size, in parts when it is large. Returns the s3:// address."""
    s3 = session.client("s3")
    if skip_existing and session.find(lambda: s3.head_object(Bucket=bucket, Key=key)) is not None:
        return f"s3://{bucket}/{key}"
    with translated("s3", "put_object", repeatable=False):
        _send(session, path, bucket, key)
    return f"s3://{bucket}/{key}"


def _send(session: Session, path: Path, bucket: str, key: str) -> None:
    """As `upload_file` of boto3 does it, in parts and threads, but given up when the session's waits are."""
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    pause = 0.002
    with create_transfer_manager(session.uploads, TransferConfig(preferred_transfer_client="classic")) as manager:
        sent = manager.upload(str(path), bucket, key)
        while not sent.done():
            session.pause(pause)
            pause = min(pause * 1.5, 0.25)
        sent.result()


def exists(session: Session, uri: str) -> bool:
    """Whether there is an object at an s3:// address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return session.find(lambda: session.client("s3").head_object(Bucket=bucket, Key=key)) is not None


def local_files(place: Path, what: str, hint: str) -> list[Path]:
    """The file, or every file of the folder, at `place`. Raises UsageError with this hint."""
    if place.is_file():
        return [place]
    found = [path for path in sorted(place.rglob("*")) if path.is_file()] if place.is_dir() else []
    if not found:
        told = "the folder has no file" if place.is_dir() else "there is no such file"
        raise UsageError(f"reading {what} {place}: {told}", hint=hint)
    return found


def list_objects(session: Session, bucket: str, prefix: str = "") -> Iterable[dict[str, Any]]:
    """Objects under a prefix: Key, Size (bytes), LastModified."""
    return session.client("s3").pages("list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)
