"""What is to be deleted, in which order, and what is kept because it holds data (or something that does needs it)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlplat.aws import Session
from mlplat.errors import CredentialsError, MlplatError
from mlplat.reconciler import graph
from mlplat.reconciler.decide import Owner, foreign, owner
from mlplat.reconciler.entries import Entry, State, remembered
from mlplat.reconciler.failures import told
from mlplat.reconciler.observe import Sight, Target
from mlplat.reconciler.selection import EVERYTHING, Selection, matches
from mlplat.reconciler.steps import Action, Step
from mlplat.resources.base import Declared, Observed


@dataclass(frozen=True)
class Leaving:
    """An object that is to go: what to look at, what it uses, and whether a replace left it behind."""

    target: Target
    needs: tuple[str, ...]
    deposed: bool = False


def leaving(
    state: State, gone: Collection[str], declared: Mapping[str, Declared], problems: list[MlplatError]
) -> list[Leaving]:
    """The objects of the addresses `gone`, and whatever replaces left behind at these and the declared addresses."""
    found: list[Leaving] = []
    for address in (*gone, *(address for address in declared if address in state.entries)):
        entry = state.entries[address]
        try:
            if address in gone and (entry.id is not None or entry.intent is not None):
                found.append(_main(address, entry))
            found += _left_behind(address, entry, declared.get(address))
        except MlplatError as error:
            problems.append(error)
    return found


def _main(address: str, entry: Entry) -> Leaving:
    resource = remembered(address, entry.kind, entry.fields)
    return Leaving(Target(address, address, resource, entry.id, uncertain=entry.is_uncertain), entry.needs)


def _left_behind(address: str, entry: Entry, declared: Declared | None) -> list[Leaving]:
    """Without the object of the declared name: that one is wanted again."""
    found = []
    for old in entry.left_behind(declared.resource.name) if declared else entry.deposed:
        resource = remembered(address, entry.kind, old.fields)
        target = Target(old.address(address), address, resource, old.id, uncertain=old.id is None)
        found.append(Leaving(target, old.needs, deposed=True))
    return found


@dataclass
class Removal:
    """Makes the steps that delete; `made` are the plan's other steps. Problems are collected."""

    session: Session
    state: State
    left: Sequence[Leaving]
    sight: Sight
    because: str
    problems: list[MlplatError]
    made: Sequence[Step] = ()
    delete_data: Sequence[str] = ()
    adopt: Collection[str] = ()
    selection: Selection = EVERYTHING
    parallelism: int = 16
    held: dict[str, str] = field(default_factory=dict)
    """Address -> what would be lost with it, in words."""
    reasons: dict[str, str] = field(default_factory=dict)

    @cached_property
    def users(self) -> dict[str, set[str]]:
        """Who uses what, by the state."""
        return self.state.users()

    def steps(self) -> list[Step]:
        """A DELETE or RETAIN step for each object; what is gone already has a DELETE step without `seen`."""
        left = [each for each in self.left if each.target.address in self.sight.found]
        there = {each.target.address: self._checked(each) for each in left}
        self._ask_for_data({each.target.address: each for each in left if there[each.target.address] is not None})
        kept = self._retained(left)
        return [self._step(each, there[each.target.address], kept) for each in left]

    def _checked(self, each: Leaving) -> Observed | None:
        """What was seen, unless it is not, or no more, the object that was to go."""
        address, seen = each.target.address, self.sight.found[each.target.address]
        if seen is None:
            self.reasons[address] = "it is gone already"
            return None
        aws = self.session.at(each.target.owner)
        heir = next((s for s in self.made if s.kind == each.target.resource.kind and s.id == seen.id), None)
        if heir is not None or (each.deposed and each.target.id not in (None, seen.id)):
            self.reasons[address] = f"its object is now {heir.address}" if heir else "it is gone already"
            return None
        former = self.state.entries[each.target.owner].former
        whose = owner(aws, seen, Entry(each.target.resource.kind, each.target.id), former)
        if whose is Owner.LOST_TAGS and each.target.owner not in self.adopt:
            self.problems.append(foreign(aws, each.target.resource, seen, "deleting"))
        if whose in (Owner.NOBODY, Owner.OTHER):
            self.reasons[address] = f"{seen.id} is not ours any more; it is left alone"
            return None
        return seen

    def _ask_for_data(self, there: Mapping[str, Leaving]) -> None:
        holders = {a: each for a, each in there.items() if each.target.resource.keeps_data}

        def ask(address: str) -> None:
            target, seen = holders[address].target, self.sight.found[address]
            lost = target.resource.data(self.session.at(target.owner), seen.id) if seen else None
            if lost is not None:
                self.held[address] = lost

        ended = graph.run(dict.fromkeys(holders, ()), ask, parallelism=self.parallelism)
        for address, error in ended.failed.items():
            if isinstance(error, CredentialsError):
                raise error
            self.problems.append(told(error, "looking for data in", holders[address].target.resource))

    def _retained(self, left: Sequence[Leaving]) -> dict[str, str]:
        """Addresses that stay -> why: what is excluded, what holds data and was not named, and all that these need."""
        needs = {each.target.address: each.needs for each in left}
        kept = {each.target.address: "it is excluded" for each in left if self.selection.leaves_out(each.target.owner)}
        kept |= {address: f"it holds {lost}" for address, lost in self.held.items() if not self._named(address)}
        for holder in tuple(kept):
            for address in sorted(graph.reached(needs, [holder]) & needs.keys()):
                kept.setdefault(address, f"{holder} needs it, which is kept")
        return kept

    def _may_use(self, step: Step, address: str) -> bool:
        """Whether the object of a step may use an older one of `address`: it did, or nothing is known of it."""
        return address in step.used or (step.seen is not None and step.address not in self.state.entries)

    def _named(self, address: str) -> bool:
        return matches(address, self.delete_data)

    def _step(self, each: Leaving, seen: Observed | None, kept: Mapping[str, str]) -> Step:
        target, address = each.target, each.target.address
        retained = address in kept and seen is not None
        reason = kept[address] if retained else self.reasons.get(address, self.because)
        if address in self.held and not retained:
            reason = f"{reason}, with its data: {self.held[address]}"
        users = frozenset(self.users.get(target.owner, ()))
        if each.deposed:
            dependants = {s.address for s in self.made if target.owner in s.needs and self._may_use(s, target.owner)}
            users, reason = users | dependants | {target.owner}, reason if seen is None else "it was replaced"
        return Step(
            address=address,
            action=Action.RETAIN if retained else Action.DELETE,
            kind=target.resource.kind,
            name=target.resource.name,
            id=seen.id if seen else target.id,
            resource=target.resource,
            seen=seen,
            changes=(),
            needs=frozenset() if retained else users,
            reason=reason,
            users=users,
            used=frozenset(each.needs),
            empties=self._named(address),
            holds=self.held.get(address) if seen else None,
            deposed=each.deposed,
        )


def ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps after what they need. What is deleted in a circle (half-done changes can leave one) goes in any order."""
    by_address = {step.address: step for step in steps}
    needs = {step.address: {need for need in step.needs if need in by_address} for step in steps}
    soft = {(a, need) for a, found in needs.items() for need in found if by_address[a].action is Action.DELETE}
    return tuple(by_address[address] for address in graph.order(graph.without_cycles(needs, soft)))
