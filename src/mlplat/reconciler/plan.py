"""Plan: what must be done so that reality becomes what is declared. Reads only.

Everything is looked at in parallel; refs are then resolved, in the order of the graph, from the outputs of what
is there. A ref to something that isn't there yet stays a Ref ("known after apply"). All problems are told together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from graphlib import CycleError
from typing import Any

from mlplat.aws import Session
from mlplat.errors import MlplatError, UsageError
from mlplat.reconciler import graph, holding
from mlplat.reconciler.decide import Owner, decide, elsewhere, given, owner, unresolved
from mlplat.reconciler.destroy import plan_destroy as plan_destroy
from mlplat.reconciler.drift import causes, was_deleted_by_hand
from mlplat.reconciler.failures import together, told
from mlplat.reconciler.moves import NOWHERE, Moves, carried
from mlplat.reconciler.observe import Observer as Observer
from mlplat.reconciler.observe import Sight, Target, observe
from mlplat.reconciler.removal import Removal, leaving, ordered
from mlplat.reconciler.selection import EVERYTHING, Selection
from mlplat.reconciler.state import State
from mlplat.reconciler.steps import Action as Action
from mlplat.reconciler.steps import Plan as Plan
from mlplat.reconciler.steps import Step as Step
from mlplat.resources.base import Declared, Observed

MAKES_UNKNOWN = frozenset({Action.CREATE, Action.REPLACE})


def plan(
    session: Session,
    state: State,
    declared: Sequence[Declared],
    *,
    scope: Collection[str] | None = None,
    adopt: Collection[str] | Mapping[str, str | None] = (),
    selection: Selection = EVERYTHING,
    moves: Moves = NOWHERE,
    parallelism: int = 16,
    watch: Observer | None = None,
) -> Plan:
    """What apply would do with the templates in `scope` (None: all of them), or a selection of it; reads only.

    `moves` are renamed addresses: their objects are looked for under both. `adopt` are addresses whose object may be
    somebody else's so far; as a mapping it says which object that is, by its id (None: the one of its name).

    Raises UsageError when a template needs one that is out of scope and not applied; ForeignObject and
    MlplatError for what must not be done; Several when there is more than one problem.
    """
    return _Planner(session, state, declared, scope, adopt, selection, moves).plan(parallelism, watch)


class _Planner:
    def __init__(
        self,
        session: Session,
        state: State,
        declared: Sequence[Declared],
        scope: Collection[str] | None,
        adopt: Collection[str] | Mapping[str, str | None],
        selection: Selection,
        moves: Moves,
    ) -> None:
        self.session, self.adopt, self.selection, self.moves = session, frozenset(adopt), selection, moves
        self.ids = dict(adopt) if isinstance(adopt, Mapping) else {}
        self.declared = {each.address: each for each in declared}
        self.carried = carried(state, moves, self.declared)
        self.state = state = self.carried.state
        self.order = _checked(declared)
        self.scope = frozenset(scope if scope is not None else {*map(_template, self.declared), *_templates(state)})
        self.outputs: dict[str, Mapping[str, Any]] = {}
        self.problems: list[MlplatError] = []
        self.users, self.known = state.users(), state.outputs()
        self.mine, self.gone = self._selected()

    def plan(self, parallelism: int, watch: Observer | None) -> Plan:
        self._check_adopt()
        left = leaving(self.state, self.gone, self.mine, self.problems)
        targets = [*map(self._target, [*self.mine, *self._borrowed()]), *(each.target for each in left)]
        sight = observe(self.session, [*targets, *self._former()], parallelism=parallelism, watch=watch)
        self._recognise(sight)
        self.problems += sight.errors
        self._borrow(sight)
        steps = [step for address in self.mine if address in sight.found and (step := self._step(address, sight))]
        removal = Removal(
            self.session,
            self.state,
            left,
            sight,
            because="it is no longer declared",
            problems=self.problems,
            made=steps,
            adopt=self.adopt,
            selection=self.selection,
        )
        steps += removal.steps()
        if self.selection.is_partial:
            self._check_users(steps)
        steps = holding.told(steps, self.session.namespace, self.problems)
        if self.problems:
            raise together(self.problems, f"planning namespace {self.session.namespace}")
        return Plan(
            namespace=self.session.namespace,
            steps=ordered(steps),
            outputs=self.outputs,
            templates=self.scope,
            lineage=self.state.lineage,
            serial=self.state.serial,
            moved={old: new for old, new in self.carried.renamed.items() if new in self.mine},
            borrowed=self._leaned_on(),
        )

    def _former(self) -> Iterator[Target]:
        """Where else to look for what moved to an address that the state knows nothing of."""
        for address in self.mine.keys() - self.state.entries.keys():
            for old in self.moves.former(address):
                resource = self.mine[address].resource.resolved(self.known)
                entry = self.state.entries.get(old)
                yield Target(_was(address, old), old, resource, uncertain=entry is not None and entry.is_uncertain)

    def _recognise(self, sight: Sight) -> None:
        """What was found by a former address is the object of its new one, when nothing else is."""
        for address in self.mine.keys() - self.state.entries.keys():
            for old in self.moves.former(address):
                seen = sight.found.pop(_was(address, old), None)
                ours = seen is not None and owner(self.session.at(old), seen, None) is Owner.OURS
                if ours and sight.found.get(address) is None:
                    sight.found[address] = seen

    def _moved_from(self, address: str, seen: Observed | None) -> str | None:
        """The address that the object knows itself by, or the state knows it by, when that isn't this one."""
        entry = self.state.entries.get(address)
        tagged = (seen.tags or {}).get("mlplat:address") if seen else None
        former = {*self.moves.former(address), *(entry.former if entry else ())}
        return self.carried.came_from(address) or (tagged if tagged in former else None)

    def _leaned_on(self) -> frozenset[str]:
        """Excluded addresses that something selected uses as they are."""
        needed = {need for each in self.mine.values() for need in each.needs()}
        return frozenset(address for address in needed if self.selection.leaves_out(address))

    def _selected(self) -> tuple[dict[str, Declared], list[str]]:
        """What is declared and what has left, in scope and selected.

        A target comes with all that it needs; one that is to go comes with all that still uses it. What has left and
        is excluded stays in: it is kept, and with it all that it needs.
        """
        wanted = [address for address in self.order if _template(address) in self.scope]
        gone = [a for a in self.state.entries if _template(a) in self.scope and a not in self.declared]
        self.problems += self.selection.unmatched([*wanted, *gone], "planning")
        needs = {a: self.declared[a].needs() for a in wanted} | {a: self.users.get(a, set()) for a in gone}
        chosen = self.selection.chosen([*wanted, *gone], needs)
        kept = {a for a in gone if self.selection.leaves_out(a)}
        return {a: self.declared[a] for a in wanted if a in chosen}, [a for a in gone if a in chosen | kept]

    def _check_users(self, steps: Sequence[Step]) -> None:
        """What is replaced must not be pulled from under what uses it and was left out."""
        there = {step.owner for step in steps}
        for step in steps:
            left_out = sorted(step.users & self.state.entries.keys() - there)
            if step.action is Action.REPLACE and left_out:
                self.problems.append(
                    UsageError(
                        f"replacing {step.address}: {step.reason}, and {', '.join(left_out)} uses it and is left out",
                        hint=f"mlplat plan --target {step.address} "
                        + " ".join(f"--target {each}" for each in left_out)
                        + f" --namespace {self.session.namespace}",
                    )
                )

    def _target(self, address: str) -> Target:
        """What to look at: with the outputs that the state remembers, so that nothing has to wait for anything."""
        entry, resource = self.state.entries.get(address), self.declared[address].resource
        return Target(
            address,
            address,
            resource.resolved(self.known),
            self.ids.get(address) or (entry.id if entry else None),
            uncertain=entry is not None and entry.is_uncertain,
            changing=entry is not None and entry.is_changing,
        )

    def _borrowed(self) -> list[str]:
        """Addresses out of scope that something in scope needs, and that the state knows too little of."""
        wanted: dict[str, set[str]] = {need: set() for each in self.mine.values() for need in each.needs()}
        for each in self.mine.values():
            for ref in each.resource.refs():
                wanted[ref.address].add(ref.output)
        known = self.known
        foreign = {address: outputs for address, outputs in wanted.items() if address not in self.mine}
        self.outputs |= {a: known[a] for a, outputs in foreign.items() if a in known and outputs <= known[a].keys()}
        return sorted(foreign.keys() - self.outputs.keys())

    def _borrow(self, sight: Sight) -> None:
        """Take the outputs of what is out of scope, or say which template comes first."""
        missing: dict[str, str] = {}
        for address in sorted(sight.found.keys() & self.declared.keys() - self.mine.keys()):
            seen = sight.found[address]
            former = self.moves.former(address)
            if seen is not None and owner(self.session.at(address), seen, None, former) is Owner.OURS:
                self.outputs[address] = seen.outputs
            elif _template(address) in self.scope:
                self.problems.append(self._excluded(address))
            else:
                missing.setdefault(_template(address), address)
        for template, address in missing.items():
            users = sorted({a.split(".", 1)[0] for a, each in self.mine.items() if address in each.needs()})
            self.problems.append(
                UsageError(
                    f"planning {', '.join(users)}: it needs {address}, and {template} is not applied in namespace "
                    f"{self.session.namespace}; apply that first, or add --with-dependencies",
                    hint=f"mlplat apply --template {template} --namespace {self.session.namespace}",
                )
            )

    def _excluded(self, address: str) -> UsageError:
        users = sorted(a for a, each in self.mine.items() if address in each.needs())
        why = "is excluded and isn't there yet" if self.selection.leaves_out(address) else "isn't there yet"
        return UsageError(
            f"planning {', '.join(users)}: it needs {address}, which {why}",
            hint=f"mlplat apply --target {address} --namespace {self.session.namespace}",
        )

    def _step(self, address: str, sight: Sight) -> Step | None:
        declared, seen, entry = self.mine[address], sight.found[address], self.state.entries.get(address)
        aws = self.session.at(address, given=given(entry, seen.id if seen else None))
        resource = declared.resource.resolved(self.outputs)
        moved_from = self._moved_from(address, seen)
        former = (moved_from,) if moved_from else ()
        try:
            self._check_other(aws, seen, moved_from)
            for ref in unresolved(declared.resource, self.outputs):
                raise MlplatError(f"planning {address}: it refers to {ref}, which has no output {ref.output!r}")
            action, changes, reason = decide(aws, resource, seen, entry, adopting=address in self.adopt, former=former)
        except Exception as error:
            self.problems.append(told(error, "planning", resource))
            return None
        if seen is not None and action not in MAKES_UNKNOWN:
            self.outputs[address] = seen.outputs
        return Step(
            address=address,
            action=action,
            kind=resource.kind,
            name=resource.name,
            id=seen.id if seen else None,
            resource=declared.resource,
            seen=seen,
            changes=tuple(changes),
            needs=declared.needs(),
            reason=reason,
            users=frozenset(self.users.get(address, ())),
            used=frozenset(entry.needs if entry else ()),
            causes=causes(aws, entry, resource, seen, changes) if seen else {},
            gone=seen is None and was_deleted_by_hand(entry),
            moved_from=moved_from if seen is not None else None,
            earlier=self.moves.former(address),
        )

    def _check_other(self, aws: Session, seen: Observed | None, moved_from: str | None) -> None:
        """Raises UsageError: an object has one address, and can't be taken from one that is still declared."""
        other = (seen.tags or {}).get("mlplat:address") if seen is not None and not elsewhere(aws, seen) else None
        if aws.address in self.adopt and other in self.declared.keys() - {aws.address, moved_from} and seen is not None:
            raise UsageError(
                f"adopting {aws.address}: {seen.id} is {other}, which is declared as well",
                hint=f"mlplat state forget {other} --namespace {aws.namespace}",
            )

    def _check_adopt(self) -> None:
        for address in sorted(self.adopt - self.mine.keys() - set(self.gone)):
            near = get_close_matches(address, self.mine, n=1, cutoff=0.3)
            self.problems.append(
                UsageError(
                    f"adopting {address}: nothing of that address is declared in {', '.join(sorted(self.scope))}",
                    hint=f"mlplat apply --adopt {near[0]} --namespace {self.session.namespace}" if near else None,
                )
            )


def _checked(declared: Sequence[Declared]) -> list[str]:
    """The addresses in the order of their needs. Raises MlplatError for a graph that can't be."""
    places: dict[str, Declared] = {}
    for each in declared:
        if each.address in places:
            raise MlplatError(f"planning {each.address}: it is declared twice")
        places[each.address] = each
    needs = {address: each.needs() for address, each in places.items()}
    for address, needed in needs.items():
        for need in sorted(needed - places.keys()):
            raise MlplatError(f"planning {address}: it needs {need}, which no template declares")
    try:
        return graph.order(needs)
    except CycleError as error:
        raise MlplatError(f"planning: these need each other: {' -> '.join(reversed(error.args[1]))}") from error


def _was(address: str, old: str) -> str:
    return f"{address} (was {old})"


def _template(address: str) -> str:
    return address.split(".", 1)[0]


def _templates(state: State) -> set[str]:
    return {_template(address) for address in state.entries}
