"""Drift: what somebody changed behind mlplat's back, told apart from what changed in the configuration.

The state keeps the fields of each object as they were last applied. Where reality differs from those, it was changed
by hand; where the configuration differs from them, the configuration was. One field can be both. `plan` says which
for every change; `drift` looks at nothing but the first, so it needs no configuration and plans nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from mlplat.aws import Session
from mlplat.errors import MlplatError
from mlplat.reconciler.decide import differences, unknown
from mlplat.reconciler.entries import Entry, State, remembered
from mlplat.reconciler.observe import Observer, Sight, Target, observe
from mlplat.reconciler.steps import Cause, shown
from mlplat.resources.base import Change, Observed, Resource, plain


class Verdict(StrEnum):
    """What is known of an applied object."""

    DRIFTED = "drifted"
    CLEAN = "clean"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """One applied address. The changes are from what was applied (`new`) to what is there (`old`)."""

    address: str
    kind: str
    id: str | None
    verdict: Verdict
    reason: str
    changes: tuple[Change, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Fields that were applied and that AWS doesn't report, or not so that they could be compared."""

    def to_json(self) -> dict[str, Any]:
        """What `drift --json` shows of it."""
        return {
            "address": self.address,
            "kind": self.kind,
            "id": self.id,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "changes": [
                {"field": each.field, "applied": shown(each.new), "now": shown(each.old)} for each in self.changes
            ],
            "unchecked_fields": list(self.unchecked),
        }


def drift(
    session: Session,
    state: State,
    *,
    chosen: Callable[[str], bool] = lambda _address: True,
    parallelism: int = 16,
    watch: Observer | None = None,
) -> list[Finding]:
    """A finding for each applied address that is `chosen`, in the state's order. Reads only.

    Raises CredentialsError; what else can't be read is a finding of its own, "not checked".
    """
    entries = {address: entry for address, entry in sorted(state.entries.items()) if chosen(address)}
    targets: dict[str, Target] = {}
    unread: dict[str, str] = {}
    for address, entry in entries.items():
        try:
            targets[address] = _target(address, entry)
        except MlplatError as error:
            unread[address] = error.message
    sight = observe(session, list(targets.values()), parallelism=parallelism, watch=watch)
    return [
        _finding(session.at(address), entry, targets[address].resource, sight)
        if address in targets
        else _not_checked(address, entry, unread[address])
        for address, entry in entries.items()
    ]


def causes(
    aws: Session, entry: Entry | None, resource: Resource, seen: Observed, changes: Sequence[Change]
) -> dict[str, Cause]:
    """Field -> why it differs. Empty where the state can't tell: it knows nothing, or a change was broken off."""
    last = _last(aws.address, entry)
    if entry is None or last is None or last.kind != resource.kind:
        return {}
    by_hand = {change.field for change in moved(aws, entry, last, seen)}
    found = {change.field: _cause(change, change.field in by_hand, last, resource) for change in changes}
    if "tags" in found and entry.labels != aws.labels:
        found["tags"] = Cause.BOTH if "tags" in by_hand else Cause.CONFIG
    return {name: cause for name, cause in found.items() if cause is not None}


def moved(aws: Session, entry: Entry, last: Resource, seen: Observed) -> list[Change]:
    """What differs from what was applied. A field that a newer mlplat added to the kind was never applied."""
    never = {each.name for each in fields(last)} - entry.fields.keys()
    then = replace(aws, labels=entry.labels)
    return [change for change in differences(then, last, seen) if change.field not in never]


def was_deleted_by_hand(entry: Entry | None) -> bool:
    """Whether an object that is not there any more was there, and mlplat didn't take it away."""
    return entry is not None and entry.id is not None and entry.intent is None


def _cause(change: Change, by_hand: bool, last: Resource, resource: Resource) -> Cause | None:
    if unknown(change.new):
        return Cause.BY_HAND if by_hand else Cause.FOLLOWS
    was, wanted = plain(last.desired()), plain(resource.desired())
    name = change.field
    by_config = was.get(name) != wanted.get(name) if name in was or name in wanted else was != wanted
    if name == "tags":
        by_config = False
    if by_hand:
        return Cause.BOTH if by_config else Cause.BY_HAND
    return Cause.CONFIG if by_config else None


def _last(address: str, entry: Entry | None) -> Resource | None:
    if entry is None or entry.intent is not None or not entry.fields:
        return None
    try:
        return remembered(address, entry.kind, entry.fields)
    except MlplatError:
        return None


def _target(address: str, entry: Entry) -> Target:
    """Raises StateError for a kind or fields that this mlplat doesn't know, MlplatError for unfinished business."""
    if entry.intent is not None:
        raise MlplatError(f"its {entry.intent.get('verb')} was broken off; apply finishes it")
    if entry.id is None:
        raise MlplatError("it was replaced and not made again; apply finishes it")
    return Target(address, address, remembered(address, entry.kind, entry.fields), entry.id)


def _finding(aws: Session, entry: Entry, last: Resource, sight: Sight) -> Finding:
    if aws.address not in sight.found:
        error = sight.unread.get(aws.address)
        return _not_checked(aws.address, entry, error.message if error else "it couldn't be read")
    seen = sight.found[aws.address]
    if seen is None:
        return Finding(aws.address, entry.kind, entry.id, Verdict.DRIFTED, f"{entry.id} is gone")
    changes = tuple(moved(aws, entry, last, seen))
    reason = _reason(entry, seen, changes)
    return Finding(
        address=aws.address,
        kind=entry.kind,
        id=seen.id,
        verdict=Verdict.DRIFTED if reason else Verdict.CLEAN,
        reason=reason or "it is as it was applied",
        changes=changes,
        unchecked=_unchecked(last, entry.fields, seen),
    )


def _reason(entry: Entry, seen: Observed, changes: Sequence[Change]) -> str:
    """Why it counts as drifted; empty when it doesn't."""
    if seen.id != entry.id:
        return f"{entry.id} is gone; {seen.id} is there in its place"
    if seen.failed is not None:
        return f"it failed ({seen.failed})"
    return f"changed by hand: {', '.join(change.field for change in changes)}" if changes else ""


def _unchecked(last: Resource, applied: Mapping[str, Any], seen: Observed) -> tuple[str, ...]:
    declared = {name for name, value in applied.items() if value is not None and name != "name"}
    return tuple(sorted(declared - (last.desired().keys() & seen.fields.keys())))


def _not_checked(address: str, entry: Entry, reason: str) -> Finding:
    return Finding(address, entry.kind, entry.id, Verdict.NOT_CHECKED, reason)
