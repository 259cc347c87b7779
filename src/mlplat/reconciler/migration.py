"""A state moved from one place to another: under both locks, read back, and never over what the other place knows."""

from __future__ import annotations

from dataclasses import dataclass

from mlplat.errors import StateConflict, UsageError
from mlplat.reconciler.state import State, Store


@dataclass(frozen=True)
class Migration:
    """What is to be moved, or was."""

    source: str
    target: str
    state: State
    kept: str | None = None
    """Where the source is kept now; None when there was nothing to move."""


def look(source: Store, target: Store) -> Migration | None:
    """What `move` would do, None when it was done before. Raises UsageError when it would lose something."""
    state, there = source.load(), target.load()
    if not source.is_there and not state.serial:
        if target.is_there:
            return None
        raise UsageError(
            f"moving the state of namespace {source.namespace}: there is none in {source.backend.place}",
            hint=f"mlplat state rebuild --namespace {source.namespace}",
        )
    _check(source, target, state, there)
    return Migration(source.backend.place, target.backend.place, state)


def move(source: Store, target: Store, what: Migration) -> Migration:
    """Write the state where it is to be, read it back, and put the source aside; both locks must be held.

    Killed anywhere, it is done again from the start: the source is there until the target is right.
    """
    if target.load() != what.state:
        target.put(what.state)
    if target.load() != what.state:
        raise StateConflict(
            f"moving the state to {what.target}: what is read there is not what was written; the state is still "
            f"{what.source}",
            hint=f"mlplat state show --namespace {source.namespace}",
        )
    return Migration(what.source, what.target, what.state, source.retire("migrated"))


def _check(source: Store, target: Store, state: State, there: State) -> None:
    """The target is nothing, an older moment of the same life, or what is to be moved."""
    if state == there or not (target.is_there and (there.entries or there.releases)):
        return
    if there.lineage != state.lineage:
        why = f"holds another state ({len(there.entries)} addresses, lineage {there.lineage}, not {state.lineage})"
    elif there.serial >= state.serial:
        why = f"has gone on since (serial {there.serial}, here {state.serial})"
    else:
        return
    raise UsageError(
        f"moving the state of namespace {source.namespace}: {target.backend.place} {why}; to make one of what is "
        "really there, let state.backend name the place to keep",
        hint=f"mlplat state rebuild --namespace {source.namespace}",
    )
