"""One object brought to where it should be: each verb with its unknown outcomes settled and its result read back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from mlplat.aws import Session
from mlplat.errors import ApiError, MlplatError, NotSettled, OutcomeUnknown
from mlplat.reconciler.decide import Owner, differences, foreign, must_replace, owner, why_replace
from mlplat.reconciler.observe import look_patiently
from mlplat.reconciler.steps import UNKNOWN, shown
from mlplat.resources.base import Change, Observed, Resource

ATTEMPTS = 3
"""How often a verb is sent when nobody can say what became of it."""

READS = (0.1, 0.3, 1.0, 2.0, 4.0)
"""Seconds between reads until a write shows: IAM, EC2 and S3 answer with the old values for a while."""


def create(aws: Session, resource: Resource) -> Observed:
    """Make it and read it back. When the outcome is unknown, look before sending again: it is never made twice."""
    doubt: ApiError | None = None
    for _ in range(ATTEMPTS):
        try:
            return read_back(aws, resource, resource.create(aws), "creating")
        except OutcomeUnknown as error:
            doubt = error
        except ApiError:
            if doubt is None:
                raise
        seen = look_patiently(aws, resource)
        if seen is not None:
            return complete(aws, resource, seen)
    raise doubt or AssertionError("unreachable: a loop that ends has a doubt")


def complete(aws: Session, resource: Resource, seen: Observed, former: Collection[str] = ()) -> Observed:
    """Take what an earlier, broken off creation made, and finish it; its tags may say one of the `former` addresses."""
    if owner(aws, seen, None, former) is not Owner.OURS:
        raise foreign(aws, resource, seen, "creating")
    changes = differences(aws, resource, seen)
    if must_replace(resource, seen, changes):
        why = why_replace(resource, seen, changes)
        raise NotSettled(
            f"creating {resource.kind} {resource.name}: {seen.id} is there already, and {why}",
            hint=f"mlplat apply --namespace {aws.namespace}",
        )
    return update(aws, resource, seen, changes) if changes else seen


def update(aws: Session, resource: Resource, seen: Observed, changes: Sequence[Change]) -> Observed:
    """Change what differs and read it back; when the outcome is unknown, only what still differs is sent again."""
    doubt: OutcomeUnknown | None = None
    for _ in range(ATTEMPTS):
        try:
            resource.update(aws, seen, frozenset(change.field for change in changes))
            return read_back(aws, resource, seen.id, "updating")
        except OutcomeUnknown as error:
            doubt = error
            seen = look_patiently(aws, resource, seen.id) or _vanished(resource, "updating", seen.id)
            changes = differences(aws, resource, seen)
            if not changes:
                return seen
    raise doubt or AssertionError("unreachable: a loop that ends has a doubt")


def delete(aws: Session, resource: Resource, id: str, *, empties: bool = False) -> None:
    """Delete it. Data goes only when it was asked for; what came after the plan was made is noticed."""
    if resource.keeps_data:
        _clear(aws, resource, id, empties)
    _insist(lambda: resource.delete(aws, id), lambda: _is_gone(aws, resource, id))


def read_back(aws: Session, resource: Resource, id: str, doing: str) -> Observed:
    """The object once it is as declared. Raises NotSettled naming the field that didn't take."""
    seen, changes = None, []
    for pause in (*READS, None):
        seen = resource.describe(aws, id)
        changes = differences(aws, resource, seen) if seen is not None else []
        if seen is not None and seen.failed is not None:
            raise NotSettled(f"{doing} {resource.kind} {resource.name}: {seen.failed}", hint=_hint(aws, "describe"))
        if seen is not None and not changes:
            return seen
        if pause is not None:
            aws.report("waiting for it to show")
            aws.pause(pause)
    if seen is None:
        return _vanished(resource, doing, id)
    first = changes[0]
    raise NotSettled(
        f"{doing} {resource.kind} {resource.name}: {first.field} did not take: it is {_brief(first.old)}, "
        f"not {_brief(first.new)}",
        hint=_hint(aws, "describe"),
    )


def _clear(aws: Session, resource: Resource, id: str, empties: bool) -> None:
    if empties:
        _insist(lambda: resource.empty(aws, id), lambda: False)
        return
    lost = resource.data(aws, id)
    if lost is not None:
        raise MlplatError(
            f"deleting {resource.kind} {resource.name}: it holds {lost}, so it is kept",
            hint=f"mlplat destroy --reverse --delete-data {aws.address} --namespace {aws.namespace}",
        )


def _insist(act: Callable[[], None], is_done: Callable[[], bool]) -> None:
    for left in reversed(range(ATTEMPTS)):
        try:
            return act()
        except OutcomeUnknown:
            if is_done():
                return None
            if not left:
                raise
    return None


def _is_gone(aws: Session, resource: Resource, id: str) -> bool:
    seen = resource.describe(aws, id)
    return seen is None or seen.id != id


def _vanished(resource: Resource, doing: str, id: str) -> Observed:
    raise NotSettled(f"{doing} {resource.kind} {resource.name}: {id} can't be read back", hint="mlplat plan")


def _hint(aws: Session, command: str) -> str:
    return f"mlplat {command} {aws.address} --namespace {aws.namespace}"


def _brief(value: object) -> str:
    text = repr(shown(value)) if value != UNKNOWN else UNKNOWN
    return text if len(text) <= 200 else f"{text[:200]}..."
