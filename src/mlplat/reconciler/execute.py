"""One task of an apply: intent on disk, the call, the read-back, the result on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from mlplat.aws import Session
from mlplat.errors import MlplatError
from mlplat.reconciler import verbs
from mlplat.reconciler.decide import Owner, differences, foreign, given, labelled, must_replace, owner
from mlplat.reconciler.entries import Deposed, Entry, remembered
from mlplat.reconciler.holding import holders, reduced
from mlplat.reconciler.observe import look, look_patiently
from mlplat.reconciler.schedule import Part, Task
from mlplat.reconciler.state import Ledger
from mlplat.reconciler.steps import Action, Plan, Step, shown
from mlplat.resources.base import Change, Observed, Resource, plain

ENTERED = frozenset({Action.KEEP, Action.UPDATE, Action.REPLACE, Action.MOVE})
"""Actions on objects that are ours: they are entered in the state even if nothing else happens to them."""


class Executor:
    """Carries out tasks, from many threads, each address in one at a time."""

    def __init__(self, plan: Plan, session: Session, ledger: Ledger, early: frozenset[str]) -> None:
        self.plan, self.session, self.ledger, self.early = plan, session, ledger, early
        self.outputs: dict[str, Mapping[str, Any]] = dict(plan.outputs)
        self.replaced: set[str] = set()
        """Addresses whose old object is gone, or has been succeeded."""
        self.steps = {step.address: step for step in plan.steps}
        self.changed: dict[str, Observed] = {}
        """Objects that were updated, as they were left."""
        deleted = [step for step in plan.steps if step.action is Action.DELETE]
        self.holders = {step.address: holders(step, self.steps) for step in deleted}
        """Who may still hold on to what is deleted: usually it has let go by then, but not when it waits for the
        deletion itself."""
        held = [*self.holders.values(), *(step.taken_out_of for step in plan.steps)]
        self.busy = {address: threading.Lock() for addresses in held for address in addresses}
        """Objects that more than one step changes."""
        self.told: set[str] = set()
        """Addresses whose object carries their tags for certain."""

    def at(self, step: Step, report: Callable[[str], None] | None = None) -> Session:
        """The session for a step, which knows what its object was given."""
        labels = given(self.ledger.entry(step.owner), step.seen.id if step.seen else None)
        return self.session.at(step.owner, report, labels)

    def enter(self, step: Step) -> None:
        """Remember what was found to be ours and isn't known, or is known wrongly."""
        if step.action not in ENTERED or step.resource is None or step.seen is None:
            return
        resource, entry = step.resource.resolved(self.outputs), self.ledger.entry(step.owner)
        if entry is not None and entry.former and step.action is Action.KEEP and not entry.deposed:
            self._change(step, lambda now: replace(now, former=()))
        labels = labelled(self.session, step.seen, entry)
        if entry is not None and entry.id == step.seen.id and step.action is Action.KEEP and entry.labels != labels:
            self._change(step, lambda now: replace(now, labels=labels))  # what others put on later is theirs
        as_declared = step.action is Action.KEEP and not any(True for _ in resource.refs())
        if as_declared:
            self._finish(step, resource, step.seen)
        elif entry is None or entry.id != step.seen.id:
            self._finish(step, _as_seen(step, resource, step.seen), step.seen, uses=step.used)

    def is_settled(self, step: Step, aws: Session) -> bool:
        """Whether a step that was to change nothing has nothing to do now that all it needs has ended."""
        if all(self.outputs.get(need) == self.plan.outputs.get(need) for need in step.needs):
            return True
        resource, seen = self._resolved(step), self._there(step)
        if differences(aws, resource, seen):
            return False
        self._finish(step, resource, seen)
        return True

    def do(self, task: Task, step: Step, aws: Session) -> None:
        """Do the task; `aws` is bound to the step."""
        if task.part is Part.MAKE:
            with self.busy.get(step.address, nullcontext()):
                self._make(step, self._resolved(step), aws)
        elif step.action is Action.DELETE:
            self._delete(step, aws)
        elif step.creates_first:
            self._delete_replaced(step, aws)
        else:
            self._make_way(step, aws)

    def _make(self, step: Step, resource: Resource, aws: Session) -> None:
        if step.action is Action.CREATE or step.address in self.replaced:
            return self._create(step, resource, aws)
        seen = self._there(step)
        changes = differences(aws, resource, seen)
        whose = owner(aws, seen, self.ledger.entry(step.owner), step.former)
        if step.action is not Action.ADOPT and whose is Owner.OTHER:
            raise foreign(aws, resource, seen)
        if must_replace(resource, seen, changes):
            return self._succeed(step, resource, aws, changes)
        if changes:
            self._begin(step, resource, "update")
            seen = self.changed[step.address] = verbs.update(aws, resource, seen, changes)
        return self._finish(step, resource, seen)

    def _create(self, step: Step, resource: Resource, aws: Session) -> None:
        """What the state knows something of may be there in spite of the plan: look first."""
        entry, seen = self.ledger.entry(step.owner), None
        if entry is not None and step.address not in self.replaced:
            seen = look(aws, resource, entry.id)
        self._begin(step, resource, "create")
        made = verbs.complete(aws, resource, seen, step.earlier) if seen else verbs.create(aws, resource)
        self._finish(step, resource, made)

    def _succeed(self, step: Step, resource: Resource, aws: Session, changes: list[Change]) -> None:
        """Make the successor beside the old object; the old one stays until everything has moved."""
        if not step.creates_first:
            raise _surprise(resource, changes)
        found = look_patiently(aws, resource) if self._was_begun(step, resource) else look(aws, resource)
        found = None if found is not None and found.id == _there(step).id else found
        if found is not None and _is_spoilt(step, resource, aws, found):
            verbs.delete(aws, resource, found.id)
            found = None
        if found is None:
            self._begin(step, resource, "replace")
        made = verbs.complete(aws, resource, found, step.earlier) if found else verbs.create(aws, resource)
        self.replaced.add(step.address)
        self._finish(step, resource, made)

    def _make_way(self, step: Step, aws: Session) -> None:
        """Delete what is to be replaced, unless it turns out that it need not be."""
        seen = _there(step)
        if step.address not in self.early:
            resource = self._resolved(step)
            if not must_replace(resource, seen, differences(aws, resource, seen)):
                return
        for address in step.taken_out_of:
            self._take_out(seen, self.steps[address], aws)
        self._change(step, lambda entry: replace(entry, intent={"verb": "replace"}))
        verbs.delete(aws, self._old(step), seen.id)
        self._change(step, _without_object)
        self.replaced.add(step.address)

    def _take_out(self, gone: Observed, user: Step, aws: Session) -> None:
        """Make the user let go of what is about to be deleted; its own step puts the new one in."""
        aws.report(f"taking it out of {user.address}")
        with self.busy[user.address]:
            seen = self._there(user)
            resource = _as_seen(user, self._old(user), seen)
            lists = reduced(resource, seen, gone)
            if not lists:
                return
            self._begin(user, resource, "update")
            without, theirs = replace(resource, **lists), self.at(user)  # type: ignore[arg-type]
            self.changed[user.address] = verbs.update(theirs, without, seen, differences(theirs, without, seen))

    def _there(self, step: Step) -> Observed:
        """The object as it was seen, or as it was left since. Raises MlplatError when there is none."""
        return self.changed.get(step.address) or _there(step)

    def _delete(self, step: Step, aws: Session) -> None:
        if step.seen is not None and step.resource is not None:
            if not step.deposed:
                self._change(step, lambda entry: replace(entry, intent={"verb": "delete"}))
            for address in self.holders[step.address]:
                self._take_out(step.seen, self.steps[address], aws)
            verbs.delete(aws, step.resource, step.seen.id, empties=step.empties)
        if step.deposed:
            self._forget_deposed(step, step.id, step.name)
        else:
            self._change(step, _without_object)

    def _delete_replaced(self, step: Step, aws: Session) -> None:
        if step.address not in self.replaced:
            return
        seen = _there(step)
        entry = self.ledger.entry(step.owner)
        old = next((each for each in entry.deposed if each.id == seen.id), None) if entry else None
        if old is not None:
            verbs.delete(aws, remembered(step.owner, step.kind, old.fields), seen.id)
            self._forget_deposed(step, seen.id, str(old.fields.get("name")))

    def _resolved(self, step: Step) -> Resource:
        """The declared resource with every value known. Raises MlplatError for a ref that stays open."""
        if step.resource is None:
            raise MlplatError(f"applying {step.address}: nothing is declared")
        resource = step.resource.resolved(self.outputs)
        for ref in resource.refs():
            raise MlplatError(f"applying {step.address}: it refers to {ref}, which has no output {ref.output!r}")
        return resource

    def _old(self, step: Step) -> Resource:
        """The object that is there, as it was last applied."""
        entry = self.ledger.entry(step.owner)
        if entry is None:
            return self._resolved(step)
        return remembered(step.owner, step.kind, entry.fields)

    def _was_begun(self, step: Step, resource: Resource) -> bool:
        entry = self.ledger.entry(step.owner)
        return entry is not None and any(old.is_same(None, resource.name) for old in entry.deposed)

    def _begin(self, step: Step, resource: Resource, verb: str) -> None:
        """The intent. A new object's fields stand in it, so that whatever happens it is found and can be deleted.

        So do the user's tags: those of them that leave the configuration next are taken off again.
        """
        fields, labels = plain(resource.to_json()), dict(self.session.labels)

        def begun(entry: Entry | None) -> Entry:
            entry = entry or Entry(step.kind, step.seen.id if step.seen else None)
            if verb == "replace":
                coming = Deposed(None, fields, tuple(sorted(step.needs)))
                return replace(entry, intent={"verb": verb}, deposed=(*entry.left_behind(resource.name), coming))
            needs = tuple(sorted({*entry.needs, *step.needs}))
            if verb == "create":
                others = entry.left_behind(resource.name)
                former = entry.former if others else ()
                return Entry(step.kind, None, fields, {}, needs, {"verb": verb}, others, former, labels)
            now = replace(entry, id=_there(step).id, fields=entry.fields or fields, needs=needs)
            return replace(now, intent={"verb": verb}, labels={**entry.labels, **labels})

        self.ledger.change(step.owner, begun)

    def _finish(self, step: Step, resource: Resource, seen: Observed, *, uses: frozenset[str] = frozenset()) -> None:
        """The result. What was there before under another id is deposed when this step replaced it.

        `uses` are addresses that the object may still use though they are no longer declared.
        """
        self.outputs[step.owner] = seen.outputs
        untold = step.former if (seen.tags or {}).get("mlplat:address") in step.former else ()
        if not untold:
            self.told.add(step.owner)

        def finished(entry: Entry | None) -> Entry:
            deposed = tuple(old for old in (entry.deposed if entry else ()) if not old.is_same(seen.id, resource.name))
            if entry is not None and step.address in self.replaced and step.creates_first:
                deposed = (*deposed, Deposed(_there(step).id, entry.fields, entry.needs))
            return Entry(
                kind=step.kind,
                id=seen.id,
                fields=plain(resource.to_json()),
                outputs=plain(seen.outputs),
                needs=tuple(sorted(step.needs | uses)),
                deposed=deposed,
                former=untold or (entry.former if entry is not None and deposed else ()),
                labels=labelled(self.session, seen, entry),
            )

        if finished(self.ledger.entry(step.owner)) != self.ledger.entry(step.owner):
            self.ledger.change(step.owner, finished)

    def _forget_deposed(self, step: Step, id: str | None, name: str) -> None:
        def forgotten(entry: Entry) -> Entry | None:
            left = tuple(old for old in entry.deposed if not old.is_same(id, name))
            former = entry.former if left or step.owner not in self.told else ()
            return replace(entry, deposed=left, former=former) if left or entry.id or entry.intent else None

        self._change(step, forgotten)

    def _change(self, step: Step, change: Callable[[Entry], Entry | None]) -> None:
        """Change an entry that is there; one that isn't has nothing to change."""
        self.ledger.change(step.owner, lambda entry: change(entry) if entry is not None else None)


def _without_object(entry: Entry) -> Entry | None:
    if not entry.deposed:
        return None
    return replace(entry, id=None, outputs={}, needs=(), intent=None, labels={})


def _is_spoilt(step: Step, resource: Resource, aws: Session, found: Observed) -> bool:
    """Whether what an earlier run left under the successor's name is ours and can't become it."""
    ours = owner(aws, found, None, step.earlier) is Owner.OURS
    return ours and must_replace(resource, found, differences(aws, resource, found))


def _there(step: Step) -> Observed:
    if step.seen is None:
        raise MlplatError(f"applying {step.address}: there is nothing to {step.action.value}")
    return step.seen


def _as_seen(step: Step, resource: Resource, seen: Observed) -> Resource:
    """What is there, as far as AWS reports it: enough to delete it by."""
    values = {name: shown(seen.fields.get(name, value)) for name, value in resource.to_json().items()}
    name = seen.fields.get("name", seen.id if step.creates_first else resource.name)
    return replace(resource, **{**values, "name": name})


def _surprise(resource: Resource, changes: list[Change]) -> MlplatError:
    fixed = ", ".join(change.field for change in changes if change.field in resource.immutable)
    keeps = " and it may hold data, so it is not replaced" if resource.keeps_data else ""
    return MlplatError(
        f"updating {resource.kind} {resource.name}: now that all values are known, {fixed} would have to change, which "
        f"can't be done in place{keeps}",
        hint="mlplat plan",
    )
