"""Between S3 and a job's folders: channels come down, artifacts go up. Knows S3 and the file system, no jobs."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

PARALLEL = 8


class DataError(Exception):
    """Data can't be read from or written to S3; the message is for FailureReason."""


class Place(NamedTuple):
    """`s3://bucket/key`."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Place:
        """`s3://bucket/key`, also as https://s3.../bucket/key, which the API takes too."""
        scheme, _, rest = uri.partition("://")
        if scheme == "https":
            rest = rest.partition("/")[2]
        bucket, _, key = rest.partition("/")
        return cls(bucket, key)

    @property
    def uri(self) -> str:
        """As s3://bucket/key."""
        return f"s3://{self.bucket}/{self.key}"

    def below(self, name: str) -> Place:
        """The place `name` under this one."""
        return Place(self.bucket, f"{self.key}/{name}".lstrip("/"))


class Source(NamedTuple):
    """An object and where it goes, relative to the channel's folder."""

    place: Place
    target: str


def sources(s3: Any, source: Mapping[str, Any]) -> list[Source]:
    """The objects that an S3DataSource names, in the order of S3.

    Under a folder, paths stay relative to it; a prefix that is an object or ends in the middle of a name gives the
    names from its last `/` on, so a single object keeps its base name. Raises DataError when there are none.
    """
    if source.get("S3DataType") == "ManifestFile":
        return list(_in_manifest(s3, Place.parse(source["S3Uri"])))
    place = Place.parse(source["S3Uri"])
    found = under(s3, place)
    if not found:
        raise DataError(f"NoSuchKey (404): no object under {place.uri}")
    return found


def under(s3: Any, place: Place) -> list[Source]:
    """The objects under a prefix, none or many. Raises DataError when the bucket can't be listed."""
    keys = [key for key in _keys(s3, place) if not key.endswith("/")]
    folder = place.key if place.key.endswith("/") or not place.key else f"{place.key}/"
    start = len(folder) if all(key.startswith(folder) for key in keys) else place.key.rfind("/") + 1
    return [Source(Place(place.bucket, key), key[start:]) for key in keys]


def _keys(s3: Any, place: Place) -> Iterator[str]:
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key):
            yield from (each["Key"] for each in page.get("Contents", ()))
    except s3.exceptions.ClientError as error:
        raise DataError(_said(error)) from error


def _in_manifest(s3: Any, place: Place) -> Iterator[Source]:
    try:
        body = s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
        head, *names = json.loads(body)
        prefix = Place.parse(head["prefix"])
    except s3.exceptions.ClientError as error:
        raise DataError(_said(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place.uri} is not a manifest: {error}") from error
    for name in names:
        yield Source(Place(prefix.bucket, prefix.key + name), name.lstrip("/"))


def shard(found: Sequence[Source], host: int, hosts: int) -> list[Source]:
    """What one of `hosts` machines gets of a channel that is ShardedByS3Key."""
    return list(found[host::hosts])


def download(s3: Any, found: Sequence[Source], folder: Path, stopped: Callable[[], bool] = lambda: False) -> None:
    """Put the objects into `folder`, several at a time. Raises DataError; gives up quietly once `stopped()`."""
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(source: Source) -> None:
        if stopped():
            return
        target = folder / source.target
        if not target.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{source.place.uri} would leave its channel")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(source.place.bucket, source.place.key, str(target))
        except s3.exceptions.ClientError as error:
            raise DataError(f"{_why_not(s3, source.place, error)} ({source.place.uri})") from error
        except OSError as error:  # a key is a folder of another one
            raise DataError(
                f"Cannot download {source.place.uri}, "
                f"a previously downloaded file/folder clashes with it: {error.strerror}"
            ) from error

    with ThreadPoolExecutor(min(PARALLEL, len(found) or 1)) as pool:
        list(pool.map(fetch, found))


def unpack(s3: Any, uri: str, folder: Path) -> None:
    """Put the content of a tar.gz on S3 into `folder`. Raises DataError."""
    place = Place.parse(uri)
    with tempfile.NamedTemporaryFile(dir=folder.parent, suffix=".tar.gz") as archive:
        try:
            s3.download_fileobj(place.bucket, place.key, archive)
        except s3.exceptions.ClientError as error:
            raise DataError(f"{_why_not(s3, place, error)} ({uri})") from error
        archive.seek(0)
        try:
            with tarfile.open(fileobj=archive, mode="r:*") as opened:
                opened.extractall(folder, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"{uri} is not an archive that can be unpacked: {error}") from error


def pack(s3: Any, folders: Sequence[Path], place: Place, kms_key: str | None = None) -> None:
    """Upload the content of the folders as one tar.gz; of files with one name, the first. Raises DataError."""
    with tempfile.NamedTemporaryFile(dir=folders[0].parent, suffix=".tar.gz") as archive:
        with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=6) as opened:
            for name, each in _together(folders).items():
                opened.add(each, arcname=name, recursive=False)
        archive.flush()
        upload(s3, Path(archive.name), place, kms_key)


def _together(folders: Sequence[Path]) -> dict[str, Path]:
    """What is in the folders, by its path within them, a folder before what is in it."""
    found = {each.relative_to(top).as_posix(): each for top in reversed(folders) for each in top.rglob("*")}
    return dict(sorted(found.items()))


def upload_tree(s3: Any, folder: Path, place: Place, kms_key: str | None = None) -> None:
    """Upload the files under `folder` one by one. Raises DataError."""
    for each in sorted(folder.rglob("*")):
        if each.is_file():
            upload(s3, each, place.below(each.relative_to(folder).as_posix()), kms_key)


def upload(s3: Any, file: Path, place: Place, kms_key: str | None = None) -> None:
    """Upload one file, encrypted with the key if there is one. Raises DataError."""
    from boto3.exceptions import S3UploadFailedError

    extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
    try:
        s3.upload_file(str(file), place.bucket, place.key, ExtraArgs=extra)
    except (s3.exceptions.ClientError, S3UploadFailedError) as error:
        raise DataError(f"{place.uri}: {_said(error)}") from error


def _why_not(s3: Any, place: Place, error: Any) -> str:
    """Why an object can't be read. A HEAD, which downloads begin with, is refused without a word: a GET says more."""
    if error.response["Error"].get("Code") == "403":
        try:
            s3.get_object(Bucket=place.bucket, Key=place.key, Range="bytes=0-0")
        except s3.exceptions.ClientError as told:
            return _said(told)
    return _said(error)


def _said(error: Exception) -> str:
    """`NoSuchKey (404): The specified key does not exist.`"""
    response = getattr(error, "response", None)
    if not response:
        return str(error)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"{response['Error'].get('Code')} ({status}): {response['Error'].get('Message')}"
