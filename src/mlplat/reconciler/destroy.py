"""Destroy: the same plan with nothing desired, in the reverse order of the dependencies that the state keeps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from shlex import join

from mlplat.aws import Session
from mlplat.errors import MlplatError, UsageError
from mlplat.reconciler import graph
from mlplat.reconciler.entries import RELEASES_OF, State
from mlplat.reconciler.failures import together
from mlplat.reconciler.observe import Observer, observe
from mlplat.reconciler.removal import Removal, leaving, ordered
from mlplat.reconciler.selection import EVERYTHING, Selection
from mlplat.reconciler.steps import Plan
from mlplat.resources.base import KINDS


def plan_destroy(
    session: Session,
    state: State,
    *,
    scope: Collection[str] | None,
    reverse: bool,
    delete_data: Sequence[str] = (),
    declared: Collection[str] = (),
    applicable: Collection[str] = (),
    selection: Selection = EVERYTHING,
    parallelism: int = 16,
    watch: Observer | None = None,
) -> Plan:
    """What destroy would do with the templates in `scope` (None: all of them), or a selection of it; reads only.

    `reverse` takes what depends on them too; without it, that something does is a UsageError. What holds data is
    kept, with all that it needs, unless its address matches one of the patterns `delete_data`; what is excluded is
    kept like that in any case. A pattern may name what is declared and gone already (`declared` for `delete_data`,
    `applicable` for a selection): a destroy that was broken off is run again with the same words.
    """
    gone = _going(session, state, scope, reverse, selection, applicable)
    meant = [pattern for pattern in delete_data if not any(fnmatchcase(address, pattern) for address in declared)]
    problems: list[MlplatError] = _unmatched(session, state, gone, meant)
    left = leaving(state, gone, {}, problems)
    sight = observe(session, [each.target for each in left], parallelism=parallelism, watch=watch)
    problems += sight.errors
    steps = Removal(
        session,
        state,
        left,
        sight,
        because="destroy",
        problems=problems,
        delete_data=delete_data,
        selection=selection,
        parallelism=parallelism,
    ).steps()
    if problems:
        raise together(problems, f"planning to destroy in namespace {session.namespace}")
    templates = {address.split(".", 1)[0] for address in gone}
    return Plan(
        namespace=session.namespace,
        steps=ordered(steps),
        destroy=True,
        templates=frozenset(templates | (set(scope) if scope is not None else {RELEASES_OF})),
        lineage=state.lineage,
        serial=state.serial,
    )


def _going(
    session: Session,
    state: State,
    scope: Collection[str] | None,
    reverse: bool,
    selection: Selection,
    applicable: Collection[str],
) -> list[str]:
    """The addresses to take down. Raises UsageError when others rest on them and `reverse` doesn't take those too."""

    def is_inside(address: str) -> bool:
        return scope is None or address.split(".", 1)[0] in scope

    inside = list(filter(is_inside, state.entries))
    problems: list[MlplatError] = list(selection.unmatched([*inside, *filter(is_inside, applicable)], "destroying"))
    if problems:
        raise together(problems, f"planning to destroy in namespace {session.namespace}")
    chosen = [address for address in inside if selection.aims_at(address)]
    users = graph.reached(state.users(), chosen)
    if not reverse:
        _check_nothing_rests(session, chosen, users & state.entries.keys(), scope, selection)
    return [address for address in state.entries if address in users]


def _check_nothing_rests(
    session: Session, chosen: Collection[str], users: set[str], scope: Collection[str] | None, selection: Selection
) -> None:
    others = {a for a in users - set(chosen) if not selection.leaves_out(a)}
    names, what = sorted(others), ", ".join(selection.targets)
    chosen_by = [("--target", selection.targets), ("--template", sorted(scope or ())), ("--exclude", selection.exclude)]
    flags = [word for flag, values in chosen_by for value in values for word in (flag, value)]
    if not selection.targets:
        names = sorted({address.split(".", 1)[0] for address in others} - set(scope or ()))
        what = ", ".join(sorted(scope or ()))
    if names:
        raise UsageError(
            f"destroying {what}: {', '.join(names)} in namespace {session.namespace} rests on it; --reverse takes that "
            "down too",
            hint=join(["mlplat", "destroy", *flags, "--reverse", "--namespace", session.namespace]),
        )


def _unmatched(session: Session, state: State, gone: Collection[str], delete_data: Sequence[str]) -> list[MlplatError]:
    """A pattern that names nothing is a slip of the pen; in a namespace where nothing is left it is none."""
    kinds = {address: KINDS.get(state.entries[address].kind) for address in gone}
    holders = [address for address, kind in kinds.items() if kind is not None and kind.keeps_data]
    found: list[MlplatError] = []
    for pattern in delete_data if gone else ():
        if not any(fnmatchcase(address, pattern) for address in holders):
            near = get_close_matches(pattern, holders, n=1, cutoff=0.3)
            found.append(
                UsageError(
                    f"deleting data of {pattern}: nothing of that address that could hold data is to be destroyed",
                    hint=f"mlplat destroy --reverse --delete-data {near[0]} --namespace {session.namespace}"
                    if near
                    else f"mlplat status --namespace {session.namespace}",
                )
            )
    return found
