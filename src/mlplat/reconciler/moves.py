"""Renamed addresses: `[[moved]]` in the configuration, so that an object keeps its life under a new address.

The state's entry goes over to the new address before anything else is done, and the object's tags follow. Between the
two the entry remembers the former address: whatever call a run dies at, the object is found, by its id or by either
address, and never made again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from mlplat.reconciler.entries import RELEASES_OF, Entry, State
from mlplat.reconciler.ledger import Ledger

ENDPOINT = f"{RELEASES_OF}.endpoint."


@dataclass(frozen=True)
class Moves:
    """Old address -> new address, as the configuration has them: a chain has several, a circle is refused there."""

    pairs: Mapping[str, str] = field(default_factory=dict)

    def end(self, address: str) -> str:
        """What the address is called now."""
        while address in self.pairs:
            address = self.pairs[address]
        return address

    def former(self, address: str) -> tuple[str, ...]:
        """What the address was called, the last name first."""
        before = {new: old for old, new in self.pairs.items()}
        found: list[str] = []
        while address in before:
            found.append(address := before[address])
        return tuple(found)

    def ends(self) -> list[str]:
        """Every address that something has moved to for good."""
        return list(dict.fromkeys(new for new in self.pairs.values() if new not in self.pairs))


NOWHERE = Moves()
"""Nothing was renamed."""


@dataclass(frozen=True)
class Carried:
    """The state with everything that moved under its new address. Nothing is written yet."""

    state: State
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Address that the state still has -> the new one. It may have both: a run died between the two writes."""

    def came_from(self, address: str) -> str | None:
        """What the state calls what is at the address now."""
        return next((old for old, new in self.renamed.items() if new == address), None)


def carried(state: State, moves: Moves, wanted: Collection[str]) -> Carried:
    """The state after the moves to `wanted` addresses. What is there already under the new address stays as it is.

    A creation that was begun and never completed doesn't move: it is looked for under its own address, taken over by
    the new one when it is found, and otherwise nothing.
    """
    entries, renamed = dict(state.entries), dict[str, str]()
    for address in (each for each in moves.ends() if each in wanted):
        olds = [old for old in moves.former(address) if old in entries and not entries[old].is_uncertain]
        if address not in entries and olds:
            entries[address] = called(entries[olds[0]], *moves.former(address))
        renamed |= {old: address for old in olds if _is_same(entries[old], entries[address])}
    if not renamed:
        return Carried(state)
    kept = {a: with_needs(each, renamed) for a, each in entries.items() if a not in renamed}
    releases = dict(state.releases)
    for old, new in moved_releases(renamed):
        if old in releases:
            releases.setdefault(new, releases.pop(old))
    return Carried(replace(state, entries=kept, releases=releases), renamed)


def called(entry: Entry, *former: str) -> Entry:
    """The entry under its new address, before its object knows."""
    return replace(entry, former=tuple(dict.fromkeys((*entry.former, *former))))


def write(ledger: Ledger, renamed: Mapping[str, str]) -> None:
    """Carry the state over for good (old -> new). The old entry goes last: until then all of it can be done again."""
    for old, new in renamed.items():
        moving = ledger.entry(old)
        if moving is not None and ledger.entry(new) is None:
            ledger.change(new, partial(_put, called(moving, old)))
    for address in [a for a, each in ledger.state.entries.items() if with_needs(each, renamed) != each]:
        ledger.change(address, lambda entry: with_needs(entry, renamed) if entry is not None else None)
    for old, new in moved_releases(renamed):
        ledger.move_release(old, new)
    for old in renamed.keys() & ledger.state.entries.keys():
        ledger.change(old, lambda _entry: None)


def with_needs(entry: Entry, renamed: Mapping[str, str]) -> Entry:
    """The entry with the needs of all its objects by their new addresses (old -> new)."""
    deposed = tuple(replace(old, needs=_renamed(old.needs, renamed)) for old in entry.deposed)
    return replace(entry, needs=_renamed(entry.needs, renamed), deposed=deposed)


def moved_releases(renamed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The endpoints (old name, new name) whose releases move with them."""
    for old, new in renamed.items():
        if new.startswith(ENDPOINT) and old.startswith(ENDPOINT):
            yield old.removeprefix(ENDPOINT), new.removeprefix(ENDPOINT)


def _put(entry: Entry, _before: Entry | None) -> Entry:
    return entry


def _renamed(needs: tuple[str, ...], renamed: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted({renamed.get(need, need) for need in needs})) if renamed.keys() & set(needs) else needs


def _is_same(one: Entry, other: Entry) -> bool:
    return _ids(one) == _ids(other)


def _ids(entry: Entry) -> tuple[str | None, ...]:
    return (entry.kind, entry.id, *(old.id for old in entry.deposed))
