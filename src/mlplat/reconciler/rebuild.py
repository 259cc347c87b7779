"""The state made anew from reality: what is declared by its names and tags, what no longer is by tags alone.

It needs no state. What can still be read of one only adds what reality can't show: the fields that AWS doesn't
report, a creation that was begun and may yet show, an object whose tags somebody took away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlplat.aws import Session
from mlplat.errors import MlplatError
from mlplat.reconciler.decide import Owner, labelled, owner
from mlplat.reconciler.entries import Deposed, Entry, State, remembered
from mlplat.reconciler.failures import together
from mlplat.reconciler.moves import NOWHERE, Moves, carried
from mlplat.reconciler.observe import Observer, Sight, Target, observe
from mlplat.reconciler.steps import shown
from mlplat.resources.base import Declared, Observed, Resource, plain
from mlplat.resources.search import Owned, blank

OURS = frozenset({Owner.OURS, Owner.LOST_TAGS})


@dataclass(frozen=True)
class Finding:
    """What became of one address: `found` (the state didn't know), `known`, `changed`, `unfinished` or `gone`."""

    address: str
    kind: str
    id: str | None
    what: str

    def to_json(self) -> dict[str, Any]:
        """What `state rebuild --json` prints of it."""
        return {"address": self.address, "kind": self.kind, "id": self.id, "what": self.what}


@dataclass(frozen=True)
class Rebuilt:
    """A state as reality has it, and how it differs from what could be read of the old one."""

    state: State
    findings: tuple[Finding, ...]
    others: tuple[str, ...] = ()
    """Addresses whose name belongs to somebody else's object: it is no part of the state."""


@dataclass(frozen=True)
class _Object:
    """An object that is ours: seen, and with the fields that are known of it."""

    seen: Observed
    fields: Mapping[str, Any]
    needs: tuple[str, ...]


def rebuild(
    session: Session,
    declared: Sequence[Declared],
    owned: Sequence[Owned],
    base: State,
    *,
    releases: Mapping[str, Mapping[str, Any]],
    moves: Moves = NOWHERE,
    parallelism: int = 16,
    watch: Observer | None = None,
) -> Rebuilt:
    """The state by what is there now; reads only. `base` is what could be read of the old state, maybe nothing.

    What still carries a former address (`moves`) is entered under the one that it has now.

    Raises whatever couldn't be looked at, together: half a state would be worse than none.
    """
    places = {each.address: each for each in declared}
    known = carried(base, moves, places).state
    return _Rebuilding(session, places, owned, known, moves).run(releases, parallelism, watch)


@dataclass
class _Rebuilding:
    session: Session
    declared: Mapping[str, Declared]
    owned: Sequence[Owned]
    base: State
    moves: Moves = NOWHERE
    outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def run(self, releases: Mapping[str, Mapping[str, Any]], parallelism: int, watch: Observer | None) -> Rebuilt:
        first = observe(self.session, list(self._targets()), parallelism=parallelism, watch=watch)
        _raise_together(self.session, first)
        objects = self._declared_objects(first)
        more = {target.address: target for target in self._more(objects)}
        second = observe(self.session, list(more.values()), parallelism=parallelism, watch=watch)
        _raise_together(self.session, second)
        for address, seen in second.found.items():
            self._add(objects, more[address], seen)
        entries = {address: self._entry(address, found) for address, found in objects.items() if found}
        state = replace(
            self.base,
            entries=self._with_needs(entries) | self._unfinished(entries),
            releases={name: dict(release) for name, release in releases.items()},
        )
        return Rebuilt(state, tuple(_findings(self.base, state)), tuple(self.others))

    def _targets(self) -> Iterator[Target]:
        """By name and tags, as if nothing were known; only a creation that was begun is waited for."""
        for address, each in self.declared.items():
            entry = self.base.entries.get(address)
            yield Target(address, address, each.resource, uncertain=entry is not None and entry.is_uncertain)

    def _declared_objects(self, sight: Sight) -> dict[str, list[_Object]]:
        ours: dict[str, Observed] = {}
        for address, seen in sight.found.items():
            if seen is None:
                continue
            former = self.moves.former(address)
            if owner(self.session.at(address), seen, self.base.entries.get(address), former) in OURS:
                ours[address] = seen
            else:
                self.others.append(address)
        self.outputs = {address: seen.outputs for address, seen in ours.items()}
        return {address: [self._as_declared(self.declared[address], seen)] for address, seen in ours.items()}

    def _as_declared(self, each: Declared, seen: Observed) -> _Object:
        """With the declared values, and what is there instead where that differs: it was applied before."""
        resource = each.resource.resolved(self.outputs)
        return _Object(seen, _applied(resource, seen), tuple(sorted(each.needs())))

    def _more(self, objects: Mapping[str, Collection[_Object]]) -> Iterator[Target]:
        """What tags or the old state know of, and the configuration doesn't: left over, or not collected yet."""
        seen = {(address, each.seen.id) for address, found in objects.items() for each in found}
        for address, id, resource in self._known():
            if (address, id) not in seen:
                seen.add((address, id))
                yield Target(f"{address} ({id})", address, resource, id)

    def _known(self) -> Iterator[tuple[str, str, Resource]]:
        for address, entry in self.base.entries.items():
            for old in (Deposed(entry.id, entry.fields, entry.needs), *entry.deposed):
                if old.id is not None:
                    yield address, old.id, remembered(address, entry.kind, old.fields)
        for each in self.owned:
            yield self._now(each.address), each.id, blank(each.kind, each.id)

    def _now(self, address: str) -> str:
        """What an address is called now, if it moved to one that is declared."""
        end = self.moves.end(address)
        return end if end in self.declared else address

    def _add(self, objects: dict[str, list[_Object]], target: Target, seen: Observed | None) -> None:
        entry, former = Entry(target.resource.kind, target.id), self.moves.former(target.owner)
        if seen is None or seen.id != target.id:
            return
        if owner(self.session.at(target.owner), seen, entry, former) not in OURS:
            return
        known = {name: seen.fields[name] for name in target.resource.to_json().keys() & seen.fields.keys()}
        values = shown(plain(target.resource.to_json() | known))
        values["name"] = values["name"] or seen.id
        needs = self._old_needs(target)
        if (seen.tags or {}).get("mlplat:address") in former and not needs:
            needs = tuple(sorted(self.declared[target.owner].needs()))
        objects.setdefault(target.owner, []).append(_Object(seen, values, needs))

    def _old_needs(self, target: Target) -> tuple[str, ...]:
        entry = self.base.entries.get(target.owner)
        olds = (Deposed(entry.id, {}, entry.needs), *entry.deposed) if entry else ()
        return next((old.needs for old in olds if old.id == target.id), ())

    def _entry(self, address: str, found: Sequence[_Object]) -> Entry:
        """The declared object, or else the one that the old state has; whatever else there is has been replaced."""
        known = self.base.entries.get(address)
        main = found[0]
        if address not in self.outputs and known is not None:
            main = next((each for each in found if each.seen.id == known.id), main)
        others = [each for each in found if each is not main]
        tagged = {str((each.seen.tags or {}).get("mlplat:address", address)) for each in found}
        return Entry(
            kind=known.kind if known else address.split(".")[1],
            id=main.seen.id,
            fields=main.fields,
            outputs=plain(main.seen.outputs),
            needs=main.needs,
            deposed=tuple(Deposed(each.seen.id, each.fields, each.needs) for each in others),
            former=tuple(sorted(tagged - {address})),
            labels=labelled(self.session, main.seen, known),
        )

    def _with_needs(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """What left the configuration uses whatever its fields name: that must outlive it."""
        marks = _marks(entries)

        def needs(address: str, known: tuple[str, ...], fields: Mapping[str, Any]) -> tuple[str, ...]:
            texts = set(_texts(fields)) - {fields.get("name")}  # another kind may have an object of that name
            used = (each for each, mark in marks.items() if each != address and _names(texts, mark))
            return known or tuple(sorted(used))

        return {
            address: entry
            if address in self.declared and not entry.deposed
            else replace(
                entry,
                needs=entry.needs if address in self.declared else needs(address, entry.needs, entry.fields),
                deposed=tuple(replace(old, needs=needs(address, old.needs, old.fields)) for old in entry.deposed),
            )
            for address, entry in entries.items()
        }

    def _unfinished(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """Creations that were begun and don't show: the next apply looks at them first."""
        return {
            address: replace(entry, deposed=())
            for address, entry in self.base.entries.items()
            if entry.is_uncertain and address not in entries
        }


def _applied(resource: Resource, seen: Observed) -> dict[str, Any]:
    """The fields of the object: as declared where it is so, as seen where it differs."""
    values = resource.to_json()
    changed = {change.field for change in resource.compare(seen)}
    taken = changed if changed <= values.keys() else values.keys()
    found: dict[str, Any] = shown(plain(values | {name: seen.fields[name] for name in taken & seen.fields.keys()}))
    return found


def _marks(entries: Mapping[str, Entry]) -> dict[str, frozenset[str]]:
    """By what others refer to each object: its id, and every output that is its alone (an ARN, not a zone)."""
    outputs = {
        address: {each for each in (entry.id, *entry.outputs.values()) if isinstance(each, str)}
        for address, entry in entries.items()
    }
    shared = Counter(each for found in outputs.values() for each in found)
    return {
        address: frozenset(each for each in found if each and (shared[each] == 1 or each == entries[address].id))
        for address, found in outputs.items()
    }


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _names(texts: Collection[str], marks: Collection[str]) -> bool:
    """Whether one of the texts is such a mark, or a part of what it stands for (`<arn>/*`, `s3://bucket/there`)."""
    return any(text == mark or text.startswith((f"{mark}/", f"{mark}:")) for mark in marks for text in texts)


def _findings(base: State, state: State) -> Iterator[Finding]:
    for address in sorted(base.entries.keys() | state.entries.keys()):
        old, new = base.entries.get(address), state.entries.get(address)
        if new is None:
            assert old is not None
            yield Finding(address, old.kind, old.id, "gone")
        elif new.id is None:
            yield Finding(address, new.kind, None, "unfinished")
        elif old is None or old.id is None:
            yield Finding(address, new.kind, new.id, "found")
        else:
            yield Finding(address, new.kind, new.id, "known" if old == new else "changed")


def _raise_together(session: Session, sight: Sight) -> None:
    errors: list[MlplatError] = sight.errors
    if errors:
        raise together(errors, f"rebuilding the state of namespace {session.namespace}")
