"""A namespace's platform as the commands and workflows see it: its settings, session and state, planned and applied."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from mlplat import templates
from mlplat.aws import Session
from mlplat.errors import PermissionDenied, SettingsError, UsageError
from mlplat.reconciler import protection
from mlplat.reconciler.apply import Outcome, Watch, apply
from mlplat.reconciler.drift import Finding, drift
from mlplat.reconciler.moves import ENDPOINT, Moves, carried
from mlplat.reconciler.plan import Plan, plan, plan_destroy
from mlplat.reconciler.selection import EVERYTHING, Selection
from mlplat.reconciler.state import Entry, State, Store
from mlplat.resources.base import KINDS, Declared
from mlplat.resources.ec2.zones import zones
from mlplat.resources.search import Owned, owned
from mlplat.settings import Settings, dotted
from mlplat.templates.release import Release
from mlplat.templates.serving import endpoint_name
from mlplat.workflows import whereabouts
from mlplat.workflows.recovery import live_release


@dataclass
class Platform:
    """One namespace: what should be (settings), where it lives (session) and what was last seen (store)."""

    settings: Settings
    session: Session
    store: Store
    _live: dict[str, Release | None] = field(default_factory=dict, init=False, repr=False)
    _lost: Sequence[Owned] | None = field(default=None, init=False, repr=False)
    """What carries the namespace's tags, asked once where there is no state."""

    @property
    def parallelism(self) -> int:
        """Calls in flight at once."""
        return self.settings.apply.parallelism

    @cached_property
    def place(self) -> templates.Place:
        """Account, region and zones, asked once."""
        return templates.Place(
            namespace=self.settings.namespace,
            account=self.session.account,
            region=self.session.region,
            partition=self.session.partition,
            zones=tuple(zones(self.session, self.settings.network.zones)),
        )

    @contextmanager
    def lock(self, command: str, *, recovers: bool = True) -> Iterator[None]:
        """Hold the namespace while something is changed; raises LockHeld.

        A state that is gone is made anew from tags, or what left the configuration would be nobody's any more. A
        release that only the live endpoint still knows is remembered first, or its endpoint would soon look as if
        nobody wanted it.
        """
        with self.held(command):
            with self.limited():
                self._remember(command, recovers=recovers)
            yield

    @contextmanager
    def held(self, command: str) -> Iterator[None]:
        """Hold the namespace, its state as it is; raises LockHeld, or WaitTimeout when S3 doesn't say in time."""
        with ExitStack() as stack:
            with self.limited():
                stack.enter_context(self.store.lock(command))
            yield

    def _remember(self, command: str, *, recovers: bool) -> None:
        """Bring into the state what only AWS still knows."""
        state = self.store.load()
        if recovers and (lost := self._by_tags(state)) is not None:
            self.store.replace(lost)
            self.store.say(f"there was no state: made anew from the tags of {len(lost.entries)} objects")
            state = self.store.load()
        found = self.releases(state)
        if found.keys() - state.releases.keys():
            with self.store.edit(command) as state:
                state.releases.update({name: release.to_json() for name, release in found.items()})

    def known(self) -> State:
        """The state or, where there is none, what the tags tell: a plan shows what an apply does that makes it anew.

        Raises UsageError when what it knows is in another account or region.
        """
        state = self.store.load()
        if (found := self._by_tags(state)) is not None:
            self.store.say(f"there is no state; {len(found.entries)} objects are known by their tags")
            state = found
        whereabouts.check(state, self.session)
        return state

    def _by_tags(self, state: State) -> State | None:
        """The state by what is there, where there was none and the tags name something of this namespace."""
        from mlplat.workflows import keeping

        if self.store.is_there or state.entries:
            return None
        if self._lost is None:
            try:
                self._lost = owned(self.session)
            except PermissionDenied:  # a first apply needs no search by tags
                self._lost = ()
        return keeping.rebuild(self).state if self._lost else None

    def declared(self, releases: Mapping[str, Release] | None = None) -> list[Declared]:
        """Every resource of all four templates."""
        return templates.declare(self.settings, self.place, self.releases() if releases is None else releases)

    @cached_property
    def moves(self) -> Moves:
        """The renamed addresses of the configuration."""
        return Moves({each.from_: each.to for each in self.settings.moved})

    def releases(self, state: State | None = None) -> dict[str, Release]:
        """What each endpoint serves: as the state keeps it or, where the state knows nothing of it, as it does live."""
        addresses = {f"{ENDPOINT}{name}": name for name in self.settings.endpoints}
        state = carried(self.store.load() if state is None else state, self.moves, addresses).state
        kept = {name: Release.from_json(value) for name, value in state.releases.items()}
        for address, name in addresses.items():
            if name not in kept and address not in state.entries:
                called = [name, *(old.removeprefix(ENDPOINT) for old in self.moves.former(address))]
                live = (self._live_release(endpoint_name(each, self.place)) for each in called)
                found = next((release for release in live if release is not None), None)
                kept |= {name: found} if found else {}
        return kept

    def _live_release(self, endpoint: str) -> Release | None:
        """What an endpoint serves, asked once: to take the lock, and to plan."""
        if endpoint not in self._live:
            self._live[endpoint] = live_release(self.session, endpoint)
        return self._live[endpoint]

    def plan(
        self,
        scope: Collection[str] = (),
        *,
        with_dependencies: bool = False,
        adopt: Collection[str] | Mapping[str, str | None] = (),
        releases: Mapping[str, Release] | None = None,
        selection: Selection = EVERYTHING,
        protected: bool = True,
    ) -> Plan:
        """What apply would do for the templates in `scope` (all of them when empty), or a selection. Reads only.

        Raises MlplatError when it would end what the settings protect, unless it is only to be looked at.
        """
        check_templates(scope)
        state = self.known()
        declared = self.declared(self.releases(state) if releases is None else releases)
        self._check_moves({each.address for each in declared}, state)
        wanted = {*scope, *(templates.needed_by(declared, scope) if with_dependencies else ())}
        made = plan(
            self.session,
            state,
            declared,
            scope=wanted or None,
            adopt=adopt,
            selection=selection,
            moves=self.moves,
            parallelism=self.parallelism,
        )
        return self._allowed(made, state) if protected else made

    def _check_moves(self, declared: Collection[str], state: State) -> None:
        """Raises SettingsError for a move that can't be meant so: of what is there still, or to what isn't."""
        known = state.entries
        for index, each in enumerate(self.settings.moved):
            end, reason, word = self.moves.end(each.from_), "", "from"
            if each.from_ in declared:
                reason = f"{each.from_} is still declared; take one of the two away"
            elif each.from_ in known and end not in declared:
                near = get_close_matches(end, declared, n=1, cutoff=0.6)
                guess = f'; did you mean "{near[0]}"?' if near else ""
                reason, word = f"{end} is not declared, and {each.from_} would be deleted{guess}", "to"
            if reason:
                origin = self.settings.origin(("moved", str(index), word))
                raise SettingsError(
                    f"reading the settings: {origin}: moved.{index}.{word}: {reason}",
                    hint=f"mlplat config show moved --namespace {self.settings.namespace}",
                )

    def plan_destroy(
        self,
        scope: Collection[str] = (),
        *,
        reverse: bool,
        delete_data: Sequence[str] = (),
        selection: Selection = EVERYTHING,
    ) -> Plan:
        """What destroy would do: everything, or all that is selected, when `scope` is empty. Reads only."""
        check_templates(scope)
        state = self.store.load()
        if not state.entries:
            self._refuse_forgotten()
        whereabouts.check(state, self.session)
        made = plan_destroy(
            self.session,
            state,
            scope=scope or None,
            reverse=reverse,
            delete_data=delete_data,
            selection=selection,
            declared=self._holders() if delete_data else (),
            applicable=self._addresses() if selection.is_partial else (),
            parallelism=self.parallelism,
        )
        return self._allowed(made, state)

    def _allowed(self, made: Plan, state: State) -> Plan:
        protect = self.settings.lifecycle.protect
        for pattern in protect:
            self._check_pattern(pattern)
        self._check_named([each for each, on in protect.items() if on and not re.search(r"[*?[]", each)], state)
        protection.check(made, protect, lambda pattern: "{1} ({0})".format(*self._protects(pattern)))
        return made

    def _check_pattern(self, pattern: str) -> None:
        """Raises SettingsError for what can match no address: it would look protected and not be."""
        places = [f"{template}.{kind}." for template in templates.TEMPLATES for kind in KINDS]
        start = re.split(r"[*?]", pattern)[0]
        if not any(place.startswith(start) or start.startswith(place) for place in places):
            near = get_close_matches(".".join(pattern.split(".")[:2]), [place[:-1] for place in places], n=1)
            guess = f'; did you mean "{near[0]}.*"?' if near else ""
            raise self._protects_nothing(pattern, f"no template has such addresses{guess}")

    def _check_named(self, protected: Collection[str], state: State) -> None:
        """Raises SettingsError for an address that isn't there, nor to be: whatever was meant is not protected."""
        former = {each.from_ for each in self.settings.moved}
        if not (unsure := [each for each in protected if each in former or each not in state.entries]):
            return
        known = {each.address for each in self.declared(self.releases(state))} | (state.entries.keys() - former)
        for each in unsure:
            if each not in known:
                near = [self.moves.end(each)] if each in former else get_close_matches(each, known, n=1)
                words = ('; it is now "{}"' if each in former else '; did you mean "{}"?') if near else ""
                raise self._protects_nothing(each, f"nothing has this address{words.format(*near)}")

    def _protects_nothing(self, pattern: str, reason: str) -> SettingsError:
        origin, key = self._protects(pattern)
        return SettingsError(
            f"reading the settings: {origin}: {key}: {reason}",
            hint=f"mlplat config show lifecycle --namespace {self.settings.namespace}",
        )

    def _protects(self, pattern: str) -> tuple[str, str]:
        """Where a line of `lifecycle.protect` stands, and its key as it stands there."""
        key = ("lifecycle", "protect", pattern)
        return str(self.settings.origin(key)), dotted(key)

    def drift(self, scope: Collection[str] = ()) -> list[Finding]:
        """What was changed by hand since it was applied, in the templates of `scope` (all when empty). Reads only."""
        check_templates(scope)
        return drift(
            self.session,
            self.known(),
            chosen=lambda address: not scope or address.split(".", 1)[0] in scope,
            parallelism=self.parallelism,
        )

    def _addresses(self) -> list[str]:
        """Addresses of the configuration."""
        return [each.address for each in self.declared()]

    def _holders(self) -> list[str]:
        """Addresses of the configuration that can hold data."""
        return [each.address for each in self.declared() if each.resource.keeps_data]

    def _refuse_forgotten(self) -> None:
        """Destroying nothing while something is there would look like success. Raises UsageError."""
        there = [step.address for step in self.plan(protected=False).steps if step.seen is not None]
        if there:
            raise UsageError(
                f"destroying {self.settings.namespace}: the state knows nothing, but {len(there)} of its objects exist "
                f"({there[0]} among them)",
                hint=f"mlplat state rebuild --namespace {self.settings.namespace}",
            )

    def apply(self, what: Plan, watch: Watch) -> Outcome:
        """Carry out a plan; the lock must be held. Raises WaitTimeout when it takes longer than it may."""
        within = self._time_limit
        return apply(what, self.session, self.store, parallelism=self.parallelism, within=within, watch=watch)

    def limited(self) -> AbstractContextManager[None]:
        """Reading takes no longer than an apply may: it waits for what is on its way. Raises WaitTimeout."""
        return self.session.limited(self._time_limit)

    @property
    def _time_limit(self) -> float:
        return self.settings.apply.timeout_minutes * 60.0

    def state(self) -> State:
        """The state as it is on disk."""
        return self.store.load()

    def entry(self, address: str) -> Entry:
        """What the state knows of an address. Raises UsageError with the nearest one."""
        entries = self.store.load().entries
        if address in entries:
            return entries[address]
        near = get_close_matches(address, entries, n=1, cutoff=0.4)
        raise UsageError(
            f"describing {address}: nothing of that address is applied in namespace {self.settings.namespace}",
            hint=f"mlplat describe {near[0]}" if near else "mlplat status",
        )

    def output(self, address: str, name: str) -> Any:
        """An output of an applied resource. Raises UsageError that says which template to apply first."""
        entry = self.store.load().entries.get(address)
        if entry is None or name not in entry.outputs:
            template = address.split(".", 1)[0]
            raise UsageError(
                f"using {address}: it is not applied in namespace {self.settings.namespace}",
                hint=f"mlplat apply --template {template} --with-dependencies",
            )
        return entry.outputs[name]


def check_templates(names: Collection[str]) -> None:
    """Raises UsageError for a template that doesn't exist, with the nearest name."""
    for name in names:
        if name not in templates.TEMPLATES:
            near = get_close_matches(name, templates.TEMPLATES, n=1, cutoff=0.3)
            raise UsageError(
                f"unknown template {name!r}: the templates are {', '.join(templates.TEMPLATES)}",
                hint=f"mlplat plan --template {near[0]}" if near else "mlplat plan",
            )
