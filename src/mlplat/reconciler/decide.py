"""What one object needs: whose it is, what differs, and the action that follows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from mlplat.aws import Session
from mlplat.errors import ForeignObject, MlplatError
from mlplat.reconciler.entries import Entry
from mlplat.reconciler.steps import Action, shown
from mlplat.resources.base import Change, Observed, Ref, Resource


class Owner(Enum):
    """Whose an object is, by its tags and by what the state remembers."""

    OURS = auto()
    LOST_TAGS = auto()
    """The state knows this very object as ours, but somebody took the tags away."""
    NOBODY = auto()
    """No tags of anybody."""
    OTHER = auto()


def owner(aws: Session, seen: Observed, entry: Entry | None, former: Collection[str] = ()) -> Owner:
    """Whose `seen` is. A kind without tags is known by its name alone. Tags of another namespace always win.

    `former` are addresses that the configuration says have moved here; an entry may remember some itself.
    """
    if seen.tags is None:
        return Owner.OURS
    namespace, address = seen.tags.get("mlplat:namespace"), seen.tags.get("mlplat:address")
    if (namespace, address) == (aws.namespace, aws.address):
        return Owner.OURS
    known = entry.former if entry is not None and entry.id == seen.id else ()
    if namespace == aws.namespace and address in (*former, *known):
        return Owner.OURS
    lost = namespace is None or (namespace == aws.namespace and address is None)
    if lost and entry is not None and entry.id == seen.id:
        return Owner.LOST_TAGS
    return Owner.OTHER if any(not key.startswith("aws:") for key in seen.tags) else Owner.NOBODY


def foreign(aws: Session, resource: Resource, seen: Observed, doing: str = "planning") -> ForeignObject:
    """The refusal to touch what isn't ours, and the way to take it over: another namespace must let it go first."""
    tags = seen.tags or {}
    whose, hint = "it carries no tags of mlplat", f"mlplat apply --adopt {aws.address} --namespace {aws.namespace}"
    if "mlplat:namespace" in tags:
        whose = f"it belongs to {tags.get('mlplat:address')} of namespace {tags['mlplat:namespace']}"
    if elsewhere(aws, seen):
        hint = f"mlplat state forget {tags.get('mlplat:address')} --namespace {tags['mlplat:namespace']}"
    return ForeignObject(
        f"{doing} {resource.kind} {resource.name}: {seen.id} exists already, but {whose}; it is left alone", hint=hint
    )


def elsewhere(aws: Session, seen: Observed) -> bool:
    """Whether another namespace says that it is its own. Nobody takes it from there unasked, not even by name."""
    return (seen.tags or {}).get("mlplat:namespace", aws.namespace) != aws.namespace


def differences(aws: Session, resource: Resource, seen: Observed) -> list[Change]:
    """What has to change so that the object is as declared and tagged as ours."""
    changes = list(resource.compare(seen))
    if seen.tags is not None:
        outdated = aws.outdated(seen.tags)
        if outdated or not aws.tags.items() <= seen.tags.items():
            there = {key: seen.tags[key] for key in (*aws.tags, *outdated) if key in seen.tags}
            changes.append(Change("tags", there, dict(aws.tags)))
    return changes


def given(entry: Entry | None, id: str | None) -> dict[str, str]:
    """The user's own tags that the object `id` has been given, by what the state remembers of it."""
    return dict(entry.labels) if entry is not None and entry.id in (None, id) else {}


def labelled(aws: Session, seen: Observed, entry: Entry | None) -> dict[str, str]:
    """The user's own tags that are on an object: as the configuration has them, and those that are to come off."""
    known, there = {**given(entry, seen.id), **aws.labels}, seen.tags or {}
    return {key: value for key, value in known.items() if there.get(key) == value}


def must_replace(resource: Resource, seen: Observed, changes: Sequence[Change]) -> bool:
    """Whether only a new object can be as declared. For a kind that keeps data an unknown value is no reason yet."""
    fixed = [change for change in changes if change.field in resource.immutable]
    if resource.keeps_data:
        fixed = [change for change in fixed if not unknown(change.new)]
    return bool(fixed) or seen.failed is not None


def decide(
    aws: Session,
    resource: Resource,
    seen: Observed | None,
    entry: Entry | None,
    *,
    adopting: bool,
    former: Collection[str] = (),
) -> tuple[Action, list[Change], str]:
    """The action for a declared resource (refs resolved as far as known), what changes, and why in words.

    Raises ForeignObject for what isn't ours, MlplatError for a change that would lose data.
    """
    if seen is None:
        known = entry.id if entry else None
        return Action.CREATE, [], f"{known} is gone" if known else "it isn't there yet"
    changes = differences(aws, resource, seen)
    whose = owner(aws, seen, entry, former)
    if whose in (Owner.OTHER, Owner.NOBODY):
        taken = resource.adopts_untagged and whose is Owner.NOBODY
        if elsewhere(aws, seen) or not (adopting or taken):
            raise foreign(aws, resource, seen, "adopting" if adopting else "planning")
        return Action.ADOPT, _adoptable(aws, resource, seen, changes), _found(seen)
    if must_replace(resource, seen, changes):
        if former:
            _check_name(aws, resource, changes, former)
        _check_lossless(aws, resource, seen, changes)
        return Action.REPLACE, changes, why_replace(resource, seen, changes)
    if former and all(change.field == "tags" for change in changes):
        return Action.MOVE, changes, "it is as declared"
    if changes:
        return Action.UPDATE, changes, f"differs: {', '.join(change.field for change in changes)}"
    return Action.KEEP, [], "it is as declared"


def unknown(value: Any) -> bool:
    """Whether a Ref is left in it."""
    if isinstance(value, Ref):
        return True
    if isinstance(value, Mapping):
        return any(map(unknown, value.values()))
    return isinstance(value, list | tuple) and any(map(unknown, value))


def unresolved(resource: Resource, outputs: Mapping[str, Mapping[str, Any]]) -> Iterator[Ref]:
    """Refs to something that exists but has no such output: a mistake in a template or a kind."""
    for ref in resource.refs():
        if ref.address in outputs and ref.output not in outputs[ref.address]:
            yield ref


def _found(seen: Observed) -> str:
    tags = seen.tags or {}
    if "mlplat:namespace" in tags:
        return f"it was {tags.get('mlplat:address')}"
    return "it carries no tags of mlplat" if tags else "it carries no tags"


def _adoptable(aws: Session, resource: Resource, seen: Observed, changes: Sequence[Change]) -> list[Change]:
    if must_replace(resource, seen, changes):
        raise MlplatError(
            f"adopting {resource.kind} {resource.name}: {seen.id} doesn't match: {_mismatch(resource, seen, changes)}; "
            "what isn't ours is never replaced",
            hint=f"mlplat config show --namespace {aws.namespace}",
        )
    return list(changes)


def _mismatch(resource: Resource, seen: Observed, changes: Sequence[Change]) -> str:
    """The values that stand in the way."""
    if seen.failed is not None:
        return why_replace(resource, seen, changes)
    fixed = [change for change in changes if change.field in resource.immutable]
    told = ", ".join(f"{change.field} is {shown(change.old)!r}, not {shown(change.new)!r}" for change in fixed)
    return f"{told}, which can't be changed in place"


def _check_name(aws: Session, resource: Resource, changes: Sequence[Change], former: Collection[str]) -> None:
    """Some names follow the address, and AWS renames nothing: what holds data can't move there."""
    name = next((change for change in changes if change.field == "name"), None)
    if name is None or not resource.keeps_data:
        return
    raise MlplatError(
        f"moving {aws.address}: moved from {', '.join(former)}: its name would change from {name.old} to {name.new}, "
        f"which AWS can't do, and a {resource.kind} may hold data, so it is not replaced. Without the [[moved]] a new "
        "one is made beside it, and the old one is kept as long as it holds data",
        hint=f"mlplat config show moved --namespace {aws.namespace}",
    )


def _check_lossless(aws: Session, resource: Resource, seen: Observed, changes: Sequence[Change]) -> None:
    """A replace must not lose data. A failed object can be replaced when there is nothing in it."""
    if not resource.keeps_data:
        return
    why = why_replace(resource, seen, changes)
    if seen.failed is not None:
        if (lost := resource.data(aws, seen.id)) is None:
            return
        why = f"{why}; it holds {lost}"
    template = aws.address.split(".", 1)[0]
    words, hint = resource.beside(aws.address) or (
        "Declare the new one under another name beside it, or delete it with its data first",
        f"mlplat destroy --template {template} --reverse --delete-data {aws.address}",
    )
    raise MlplatError(
        f"replacing {resource.kind} {resource.name}: {why}, and it may hold data, so it is not replaced. {words}",
        hint=f"{hint} --namespace {aws.namespace}",
    )


def why_replace(resource: Resource, seen: Observed, changes: Sequence[Change]) -> str:
    """In words."""
    if seen.failed is not None:
        return f"it failed ({seen.failed})"
    fixed = [change.field for change in changes if change.field in resource.immutable]
    if "name" in fixed and (named := next(change for change in changes if change.field == "name")):
        return f"its name changes from {named.old} to {named.new}; {', '.join(fixed)} can't be changed in place"
    return f"{', '.join(fixed)} can't be changed in place"
