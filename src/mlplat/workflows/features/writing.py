"""Records on their way to AWS in batches of 25, sent again until AWS has taken or refused each.

A record written twice is the same record, so whatever has an unknown outcome is simply sent again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlplat.errors import ApiError, OutcomeUnknown, PermissionDenied
from mlplat.workflows.features.groups import RUNTIME, Schema
from mlplat.workflows.features.records import Record, value_of
from mlplat.workflows.platform import Platform

BATCH = 25
"""Records in one BatchWriteRecord call, AWS's limit."""

PATIENCE = 120.0
"""Seconds without any record being taken after which a batch is given up."""

PASSING = frozenset(
    {"InternalFailure", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown"}
)
"""Codes of single entries that say "not now"."""

FORBIDDEN = frozenset({"AccessForbidden", "AccessDenied", "AccessDeniedException"})


@dataclass(frozen=True)
class Item:
    """A record to be written, and which row it was."""

    number: int
    where: str
    record: Record


@dataclass(frozen=True)
class Refused:
    """A record that AWS does not take, and why."""

    item: Item
    reason: str


class Writer:
    """Writes the records of one group. Shared by threads."""

    def __init__(self, platform: Platform, schema: Schema) -> None:
        self._session, self._schema = platform.session, schema
        self._body = threading.local()
        events = platform.session.client(RUNTIME).boto.meta.events
        events.register(f"before-call.{RUNTIME}.BatchWriteRecord", self._put_body, unique_id=f"records-{id(self)}")

    def write(self, items: Sequence[Item]) -> list[Refused]:
        """Write a batch; returns what AWS refuses for what it is. Raises what concerns all of them."""
        waiting, refused = list(items), list[Refused]()
        deadline, pause = time.monotonic() + PATIENCE, 0.05
        while waiting:
            try:
                answer = self._send(waiting)
            except OutcomeUnknown:
                answer = None
            except ApiError as error:
                return refused + self._apart(waiting, error)
            left = waiting if answer is None else self._left(waiting, answer, refused)
            if len(left) < len(waiting):
                deadline, pause = time.monotonic() + PATIENCE, 0.05
            elif time.monotonic() > deadline:
                raise ApiError(
                    service=RUNTIME, operation="batch_write_record", code="Unprocessed", reason="no record is taken"
                )
            if left:
                self._session.pause(pause)
                pause = min(pause * 2, 5.0)
            waiting = left
        return refused

    def _send(self, items: Sequence[Item]) -> dict[str, Any]:
        entries = [{"FeatureGroupName": self._schema.name, "Record": item.record} for item in items]
        self._body.bytes = json.dumps({"Entries": entries}).encode()
        try:
            answer: dict[str, Any] = self._session.client(RUNTIME).batch_write_record(Entries=entries[:1])
        finally:
            self._body.bytes = None
        return answer

    def _put_body(self, params: dict[str, Any], **_: Any) -> None:
        """Send all entries where botocore has serialised one: its own way to make 25 costs more than all else."""
        if (body := getattr(self._body, "bytes", None)) is not None:
            params["body"] = body

    def _left(self, sent: Sequence[Item], answer: Mapping[str, Any], refused: list[Refused]) -> list[Item]:
        """What has to be sent again; what is refused goes to `refused`."""
        again = {self._key(each["Record"]) for each in answer.get("UnprocessedEntries") or ()}
        items = {self._key(item.record): item for item in sent}
        for each in answer.get("Errors") or ():
            code, reason, key = each["ErrorCode"], each["ErrorMessage"], self._key(each["Entry"]["Record"])
            if code in FORBIDDEN:
                raise PermissionDenied(
                    service=RUNTIME, operation="batch_write_record", code=code, reason=reason,
                    hint="aws sts get-caller-identity",
                )  # fmt: skip
            if code in PASSING:
                again.add(key)
            else:
                refused.append(Refused(items[key], f"{code}: {reason}"))
        return [item for key, item in items.items() if key in again]

    def _apart(self, items: Sequence[Item], error: ApiError) -> list[Refused]:
        """AWS refuses the call as a whole: find the records that it is about."""
        if error.status >= 500 or not error.code.startswith("Validation"):
            raise error
        if len(items) == 1:
            return [Refused(items[0], f"{error.code}: {error.reason}")]
        middle = len(items) // 2
        return self.write(items[:middle]) + self.write(items[middle:])

    def _key(self, record: Record) -> tuple[str, str]:
        return value_of(record, self._schema.identifier), value_of(record, self._schema.event_time)
