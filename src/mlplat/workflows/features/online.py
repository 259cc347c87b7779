"""Records of the online store, one by one or many at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from mlplat.errors import ApiError, UsageError, WaitTimeout, telling
from mlplat.workflows.features.groups import RUNTIME, Schema
from mlplat.workflows.features.records import Checker, Record
from mlplat.workflows.platform import Platform

IDENTIFIERS = 100
"""Identifiers in one BatchGetRecord call, AWS's limit."""

ROUNDS = 10
"""How often identifiers are asked for again that AWS did not get to."""

Found = dict[str, "dict[str, Any] | None"]
"""Identifier -> feature -> value (a list for a collection); None where there is no record."""


def get(platform: Platform, schema: Schema, keys: Sequence[str], names: Sequence[str] = ()) -> Found:
    """The online records of these identifiers, in order.

    BatchGetRecord is eventually consistent; a single identifier is read by GetRecord. Raises UsageError for a feature
    that the group lacks.
    """
    for name in names:
        if name not in schema.features:
            known = ", ".join(schema.features)
            raise UsageError(f"getting {name}: feature group {schema.group} has no such feature, only {known}")
    with telling(f"getting records of feature group {schema.group}", "mlplat status"):
        if len(keys) == 1:
            only = {"FeatureNames": list(names)} if names else {}
            answer = platform.session.client(RUNTIME).get_record(
                FeatureGroupName=schema.name, RecordIdentifierValueAsString=keys[0], **only
            )
            return {keys[0]: _values(answer.get("Record"))}
        found: Found = dict.fromkeys(keys)
        for part in _parts(list(found)):
            found.update(_batch(platform, schema, part, names))
        return found


def put(platform: Platform, schema: Schema, values: Mapping[str, Any]) -> Record:
    """Write one record; a missing event time is now. Raises UsageError naming the feature that doesn't fit."""
    checked = Checker(schema, now()).check(values)
    if isinstance(checked, str):
        raise UsageError(
            f"putting a record of feature group {schema.group}: {checked}",
            hint=f"mlplat features describe {schema.group}",
        )
    with telling(f"putting a record of feature group {schema.group}", "mlplat status"):
        platform.session.client(RUNTIME).put_record(FeatureGroupName=schema.name, Record=checked)
    return checked


def delete(platform: Platform, schema: Schema, key: str, *, hard: bool = False) -> None:
    """Delete one record: softly (its identifier stays, with nulls), or `hard`, as if it had never been online.

    AWS answers success and does nothing when the deletion's event time isn't later than the record's, so a record
    from the future is deleted a moment after its own time. The offline store keeps what it has and notes the deletion.
    """
    with telling(f"deleting record {key} of feature group {schema.group}", f"mlplat features get {schema.group} {key}"):
        there = get(platform, schema, [key], [schema.event_time])[key] or {}
        platform.session.client(RUNTIME).delete_record(
            FeatureGroupName=schema.name,
            RecordIdentifierValueAsString=key,
            EventTime=_after(there.get(schema.event_time), schema.features[schema.event_time].type),
            DeletionMode="HardDelete" if hard else "SoftDelete",
        )


def _after(event_time: str | None, kind: str) -> str:
    """Now, or a millisecond after `event_time` when that is later; as the event time feature has it."""
    moment = datetime.now(UTC)
    if event_time:
        there = (
            datetime.fromtimestamp(float(event_time), UTC)
            if kind == "Fractional"
            else datetime.fromisoformat(event_time)
        )
        moment = max(moment, there + timedelta(milliseconds=1))
    return str(moment.timestamp()) if kind == "Fractional" else event_text(moment)


def event_text(moment: datetime) -> str:
    """A moment as a textual event time, in milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """This moment as an event time."""
    return event_text(datetime.now(UTC))


def _parts(keys: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while part := list(islice(rest, IDENTIFIERS)):
        yield part


def _batch(platform: Platform, schema: Schema, keys: list[str], names: Sequence[str]) -> Found:
    asked: list[dict[str, Any]] = [{"FeatureGroupName": schema.name, "RecordIdentifiersValueAsString": keys}]
    if names:
        asked[0]["FeatureNames"] = list(dict.fromkeys([schema.identifier, *names]))
    found: Found = {}
    for attempt in range(ROUNDS):
        if attempt:
            platform.session.pause(min(0.05 * 2**attempt, 5.0))
        answer = platform.session.client(RUNTIME).batch_get_record(Identifiers=asked)
        for error in answer["Errors"]:
            raise ApiError(
                service=RUNTIME, operation="batch_get_record", code=error["ErrorCode"], reason=error["ErrorMessage"]
            )
        for each in answer["Records"]:
            values = _values(each["Record"]) or {}
            wanted = {name: value for name, value in values.items() if not names or name in names}
            found[each["RecordIdentifierValueAsString"]] = wanted
        asked = answer["UnprocessedIdentifiers"]
        if not asked:
            return found
    raise WaitTimeout(f"getting records of feature group {schema.group}: AWS left some out {ROUNDS} times; try again")


def _values(record: Sequence[Mapping[str, Any]] | None) -> dict[str, Any] | None:
    if not record:
        return None
    return {each["FeatureName"]: each.get("ValueAsStringList", each.get("ValueAsString", "")) for each in record}
