"""One object in S3 that is replaced only by who knows what stands there now.

Every write carries the ETag of what was read (`If-Match`), or asks that there be nothing (`If-None-Match: *`). S3's
user guide, "How to prevent object overwrites with conditional writes": 412 PreconditionFailed means that another write
came first, 404 NoSuchKey that a delete did, and 409 ConditionalRequestConflict that one was under way, so that the
object is to be read before the write is tried again. Because of the condition a write whose outcome is unknown can be
sent again: what stands there then tells whether the first one arrived.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from typing import Any

from mlplat.aws import Session, translated
from mlplat.errors import ApiError, OutcomeUnknown, StateConflict, StateError

WITHIN = 60.0
"""Seconds for which a write is tried again while others are under way, or while nobody knows what became of it."""

TWIST = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404"})
"""What may have become of a conditional request; HEAD and some proxies say it by the number alone."""


class Cell:
    """An object, and the ETag that it had when it was read or written last (None: it wasn't there)."""

    def __init__(self, session: Session, bucket: str, key: str) -> None:
        self.bucket, self.key = bucket, key
        self._hurried = replace(session, address=self.place)
        self._session = replace(session, cancelled=threading.Event(), address="")  # Ctrl-C doesn't keep us from saving
        self.etag: str | None = None

    @property
    def place(self) -> str:
        """Its address, for people."""
        return f"s3://{self.bucket}/{self.key}"

    def read(self) -> bytes | None:
        """What stands there, None when nothing does. Raises WaitTimeout when the session's time is over."""
        return self._read(self._hurried)

    def _read(self, session: Session) -> bytes | None:
        for left in reversed(range(3)):
            try:
                answer = session.client("s3").get_object(Bucket=self.bucket, Key=self.key)
                with translated("s3", "get_object", repeatable=True):
                    content: bytes = answer["Body"].read()
            except ApiError as error:
                if error.code == "NoSuchKey":
                    self.etag = None
                    return None
                if error.status or not left:  # no status: the answer was cut on its way
                    raise self._told("reading", error) from error
            else:
                self.etag = answer["ETag"]
                return content
        raise AssertionError("unreachable: the last attempt returns or raises")

    def write(self, content: bytes, *, hurried: bool = False) -> None:
        """Replace what was read, or what wasn't there. Raises StateConflict when something else stands there now.

        A `hurried` write is given up when the session's time is over (WaitTimeout), while it is known not to be done.
        """
        condition = {"IfNoneMatch": "*"} if self.etag is None else {"IfMatch": self.etag}
        s3 = (self._hurried if hurried else self._session).client("s3")

        def send() -> None:
            answer = s3.put_object(Bucket=self.bucket, Key=self.key, Body=content, **condition)
            self.etag = answer["ETag"]

        self._insist(send, content)

    def delete(self) -> None:
        """Delete what was read or written last, and nothing else. Raises StateConflict for anything else."""
        if self.etag is not None:
            etag, s3 = self.etag, self._session.client("s3")
            self._insist(lambda: s3.delete_object(Bucket=self.bucket, Key=self.key, IfMatch=etag), None)
            self.etag = None

    def _insist(self, send: Any, wanted: bytes | None) -> None:
        """Until what stands there is what is wanted, or something that is neither that nor what was read."""
        before, deadline, pause = self.etag, time.monotonic() + WITHIN, 0.1
        while True:
            try:
                return send()  # type: ignore[no-any-return]
            except ApiError as error:
                if not isinstance(error, OutcomeUnknown) and error.code not in TWIST:
                    raise self._told("writing", error) from error
                found = self._read(self._session)
                if found == wanted:
                    return None
                if self.etag != before:
                    raise self._conflict() from error
                if time.monotonic() > deadline:
                    raise self._told("writing", error) from error
            self._session.pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(2 * pause, 5.0)

    def _conflict(self) -> StateConflict:
        return StateConflict(
            f"writing {self.place}: another run has written it since it was read; what this run did is found by tags "
            "and names",
            hint=f"mlplat state rebuild --namespace {self._session.namespace}",
        )

    def _told(self, doing: str, error: ApiError) -> ApiError | StateError:
        if error.code == "NoSuchBucket":
            return StateError(f"{doing} {self.place}: there is no bucket {self.bucket}", hint="mlplat bootstrap")
        return error.said_while(f"{doing} {self.place}")
