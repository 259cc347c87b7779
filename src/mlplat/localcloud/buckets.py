"""S3 where moto is not like AWS: bucket policies with their conditions, tags in CreateBucket; contents on disk.

Without its conditions every Deny denies everything: a bucket that refuses plain http would refuse all uploads.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Mapping
from typing import Any

import xmltodict  # type: ignore[import-untyped]
from flask import has_request_context, request
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3 import models
from moto.s3.exceptions import BucketAlreadyExists, BucketAlreadyOwnedByYou, CopyObjectMustChangeSomething

from mlplat.localcloud import bodies, checksums, trailers
from mlplat.localcloud.conditions import holds, listed
from mlplat.localcloud.s3 import DEFAULT_ENCRYPTION

CHANGES = ("storage", "encryption", "website_redirect_location")
"""What makes a copy onto itself worth it, besides its metadata."""


def register() -> None:
    """Put our bucket and backend in the place of moto's, before the first request."""
    models.FakeBucket = Bucket
    models.FakeKey = Key
    models.s3_backends.backend = Backend
    trailers.register()


class Bucket(models.FakeBucket):
    """A bucket whose policy is read with its conditions."""

    def get_permission(self, action: str, resource: str) -> Any:
        """What the statements say whose conditions hold for the request being answered."""
        if self.policy is None:
            return PermissionResult.NEUTRAL
        document = json.loads(self.policy)
        keys = context(request.headers)
        applying = [
            {name: value for name, value in statement.items() if name != "Condition"}
            for statement in listed(document["Statement"])
            if holds(statement.get("Condition", {}), keys)
        ]
        return IAMPolicy(json.dumps({**document, "Statement": applying})).is_action_permitted(action, resource)


class Key(models.FakeKey):
    """A version of an object whose content is a file, unless it is small.

    moto keeps contents in memory and closes them when a version is replaced, also under the eyes of who reads it.
    """

    revision = 0
    """Grows with every change, so that a snapshot knows what to write."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self.__dict__["revision"] = self.revision + 1

    @property
    def value(self) -> bytes:
        """The content."""
        content = self._content
        return content if isinstance(content, bytes) else content.read()

    @value.setter
    def value(self, content: bytes | str) -> None:
        data = content.encode() if isinstance(content, str) else bytes(content)
        self._content = data if len(data) <= bodies.SMALL else bodies.put(data)
        self.contentsize = len(data)

    @property
    def etag(self) -> str:
        """The content's MD5 in quotes, unless it was uploaded in parts."""
        if self.__dict__["_etag"] is None:
            self._etag: str = hashlib.md5(self.value, usedforsecurity=False).hexdigest()
        return f'"{self._etag}"'

    def set_metadata(self, metadata: Any, replace: bool = False) -> None:
        """As moto's, noting that it changes."""
        super().set_metadata(metadata, replace)
        self.__dict__["revision"] = self.revision + 1

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_value_buffer", "lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._value_buffer = io.BytesIO()
        self.lock = threading.Lock()


class Backend(models.S3Backend):
    """S3 that takes tags in CreateBucket, and knows encryption that nobody has asked for."""

    def copy_object(self, src_key: Any, dest_bucket_name: str, dest_key_name: str, **asked: Any) -> None:
        """Onto itself only with a change: the encryption that every bucket has is none (recorded answers)."""
        bucket, version = self.get_bucket(dest_bucket_name), asked.get("provided_version_id")
        same_place = (src_key.bucket_name, src_key.name) == (dest_bucket_name, dest_key_name)
        changes = asked.get("mdirective") == "REPLACE" or any(asked.get(name) for name in CHANGES)
        by_default = bucket.encryption == DEFAULT_ENCRYPTION and src_key.encryption in (None, "AES256")
        if same_place and by_default and not changes and not (bucket.is_versioned and version):
            raise CopyObjectMustChangeSomething
        super().copy_object(src_key, dest_bucket_name, dest_key_name, **asked)

    def put_object(self, bucket_name: str, key_name: str, value: bytes, *given: Any, **named: Any) -> Any:
        """Only what came as it was sent."""
        _check_upload(value)
        return super().put_object(bucket_name, key_name, value, *given, **named)

    def upload_part(self, bucket_name: str, multipart_id: str, part_id: int, value: bytes) -> Any:
        """Only what came as it was sent."""
        _check_upload(value)
        return super().upload_part(bucket_name, multipart_id, part_id, value)

    def create_bucket(self, bucket_name: str, region_name: str, bucket_namespace: str | None = None) -> Any:
        """With tags, also an own bucket in us-east-1 is refused, even when the tags are the same."""
        tags = _tags(request.get_data(cache=True))
        try:
            bucket = super().create_bucket(bucket_name, region_name, bucket_namespace=bucket_namespace)
        except BucketAlreadyExists:
            if tags and bucket_name in self.buckets:
                raise BucketAlreadyOwnedByYou(bucket_name=bucket_name) from None
            raise
        self.put_bucket_tagging(bucket_name, tags)  # also forgets those of a deleted bucket of the same name
        return bucket


def _check_upload(value: bytes) -> None:
    """What is put together here, out of copies and parts, has not come with the request."""
    if has_request_context() and request.method == "PUT" and "x-amz-copy-source" not in request.headers:
        checksums.check(request.headers, value)


def context(headers: Mapping[str, str]) -> dict[str, list[str]]:
    """The condition keys of a request, in lower case. The loopback stands for TLS: nobody else can listen."""
    keys = {"aws:securetransport": ["true"], "s3:tlsversion": ["1.3"]}
    keys |= {f"s3:{name.lower()}": [value] for name, value in headers.items() if name.lower().startswith("x-amz-")}
    return keys


def _tags(body: bytes) -> dict[str, str]:
    parsed = (xmltodict.parse(body) if body else {}).get("CreateBucketConfiguration") or {}
    return {each["Key"]: each["Value"] or "" for each in listed((parsed.get("Tags") or {}).get("Tag", []))}
