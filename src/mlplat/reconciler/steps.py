"""What a plan is made of: one step per address, each with an action, the reason for it and what comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from mlplat.reconciler.entries import RELEASES_OF
from mlplat.resources.base import Change, Observed, Ref, Resource

UNKNOWN = "(known after apply)"


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"
    MOVE = "move"
    """Its address was renamed, and nothing else of it changes but its tags."""
    KEEP = "keep"
    RETAIN = "retain"
    """It would be deleted, but it holds data (or something that holds data needs it)."""


IDLE = frozenset({Action.KEEP, Action.RETAIN})
"""Actions that change nothing."""


class Cause(StrEnum):
    """Why a field differs from what is declared."""

    CONFIG = "config"
    BY_HAND = "by hand"
    BOTH = "config and by hand"
    FOLLOWS = "follows"
    """What it refers to is made or replaced in the same plan; its new value isn't known yet."""


HANDS = frozenset({Cause.BY_HAND, Cause.BOTH})
"""Causes that are somebody's change behind mlplat's back."""


@dataclass(frozen=True)
class Step:
    """What is to be done with one object.

    `address` is unique within a plan; an object that a crash left behind after it was replaced has its own
    step, with `deposed` set and the address followed by its id in brackets.
    """

    address: str
    action: Action
    kind: str
    name: str
    id: str | None
    resource: Resource | None
    """As declared, refs unresolved; as the state remembers it when it is to be deleted."""
    seen: Observed | None
    changes: tuple[Change, ...]
    needs: frozenset[str]
    """Addresses that come first: what a made thing refers to; who still uses a deleted one."""
    reason: str
    """Why, in words."""
    users: frozenset[str] = frozenset()
    """Addresses that use the object as it is now; a replaced one must outlive them, or they go first."""
    used: frozenset[str] = frozenset()
    """Addresses that the object as it is now uses."""
    empties: bool = False
    """The user named it by `--delete-data`: what it holds is deleted with it."""
    deposed: bool = False
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """Field -> why it differs, as far as the state can tell."""
    gone: bool = False
    """It was there as it was applied, and somebody deleted it."""
    moved_from: str | None = None
    """The address that it had, when the configuration says that it moved."""
    earlier: tuple[str, ...] = ()
    """Every address that it ever had, by the configuration: what a run left behind long ago may carry one of them."""
    taken_out_of: tuple[str, ...] = ()
    """Addresses that hold on to the old object of a replace, and let go before it is deleted."""
    holds: str | None = None
    """The data in it, in words, when it is to go or would be."""

    @property
    def former(self) -> tuple[str, ...]:
        """The address that its tags may still say."""
        return (self.moved_from,) if self.moved_from else ()

    @property
    def drifted(self) -> bool:
        """Whether something of it was changed by hand."""
        return self.gone or not HANDS.isdisjoint(self.causes.values())

    @property
    def owner(self) -> str:
        """The address whose tags the object carries and whose entry in the state it belongs to."""
        return self.address.partition(" (")[0]

    @property
    def template(self) -> str:
        """The template it belongs to."""
        return self.address.split(".", 1)[0]

    @property
    def is_pending(self) -> bool:
        """Whether the step does something."""
        return self.action not in IDLE

    @property
    def creates_first(self) -> bool:
        """Whether a replace makes the new object before the old one goes: only under another name."""
        if self.action is not Action.REPLACE or self.resource is None or self.seen is None:
            return False
        return self.resource.create_first and self.resource.name != self.seen.fields.get("name", self.seen.id)

    @property
    def order(self) -> str | None:
        """Which of the two objects of a replace is there alone for a while; None for any other step."""
        if self.action is not Action.REPLACE:
            return None
        return "create first" if self.creates_first else "delete first"

    @property
    def loses_data(self) -> bool:
        """Whether data goes with it."""
        return self.action is Action.DELETE and self.holds is not None

    @property
    def afterwards(self) -> str | None:
        """What is left of it for a while once it is deleted, in words."""
        going = self.action is Action.DELETE and self.seen is not None and self.resource is not None
        return self.resource.afterwards() if going and self.resource else None

    def to_json(self) -> dict[str, Any]:
        """What `plan --json` shows of it."""
        return {
            "address": self.address,
            "action": self.action.value,
            "kind": self.kind,
            "name": self.name,
            "id": self.id,
            "reason": self.reason,
            "moved_from": self.moved_from,
            "order": self.order,
            "taken_out_of": list(self.taken_out_of),
            "holds": self.holds,
            "loses_data": self.loses_data,
            "afterwards": self.afterwards,
            "drifted": self.drifted,
            "changes": [self._change(change) for change in self.changes],
            "needs": sorted(self.needs),
        }

    def _change(self, change: Change) -> dict[str, Any]:
        found: dict[str, Any] = {"field": change.field, "old": shown(change.old), "new": shown(change.new)}
        cause = self.causes.get(change.field)
        return {**found, "cause": cause.value if cause else None}


@dataclass(frozen=True)
class Plan:
    """Every step for the addresses in scope, what needs nothing first. `KEEP` steps are among them."""

    namespace: str
    steps: tuple[Step, ...]
    destroy: bool = False
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Outputs known when it was planned, also of addresses out of scope."""
    templates: frozenset[str] = frozenset()
    """The templates in scope."""
    lineage: str = ""
    serial: int = 0
    """Which state it was made from; `apply` refuses another."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Address in the state -> the one it has now: the entries are carried over before anything else is done."""
    borrowed: frozenset[str] = frozenset()
    """Excluded addresses that something in the plan needs: it uses them as they are."""

    @cached_property
    def pending(self) -> tuple[Step, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.is_pending)

    @property
    def losing(self) -> tuple[Step, ...]:
        """The steps that data goes with."""
        return tuple(step for step in self.steps if step.loses_data)

    @property
    def is_empty(self) -> bool:
        """Whether reality already is what is wanted."""
        return not self.pending

    @property
    def covers_releases(self) -> bool:
        """Whether the template that serves releases is in scope."""
        return RELEASES_OF in self.templates

    @property
    def counts(self) -> dict[Action, int]:
        """How many steps of each action there are, in the order of `Action`; actions without steps are left out."""
        found = Counter(step.action for step in self.steps)
        return {action: found[action] for action in Action if found[action]}

    def to_json(self) -> dict[str, Any]:
        """What `plan --json` prints."""
        return {
            "namespace": self.namespace,
            "destroy": self.destroy,
            "counts": {action.value: count for action, count in self.counts.items()},
            "excluded_but_needed": sorted(self.borrowed),
            "loses_data": [step.address for step in self.losing],
            "steps": [step.to_json() for step in self.steps],
        }


def shown(value: Any) -> Any:
    """A JSON value in which every Ref reads as not known yet."""
    if isinstance(value, Ref):
        return UNKNOWN
    if isinstance(value, Mapping):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    return value
