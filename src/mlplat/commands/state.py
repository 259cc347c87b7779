"""What mlplat remembers of a namespace: looked at, made anew from what is there, let go of, unlocked."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import (
    FOLDER,
    ApproveOption,
    ConfigOption,
    NamespaceOption,
    ParallelismOption,
    TimeoutOption,
    backend_of,
    platform_of,
    session_of,
    settings_of,
    stored,
)
from mlplat.errors import UsageError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.reconciler.lock import Holder
    from mlplat.reconciler.migration import Migration
    from mlplat.reconciler.rebuild import Rebuilt
    from mlplat.reconciler.state import State, Store
    from mlplat.settings import Settings
    from mlplat.workflows.keeping import Letting
    from mlplat.workflows.platform import Platform


class Place(StrEnum):
    """Where a state can be."""

    local = "local"
    s3 = "s3"


OTHER = {Place.local: Place.s3, Place.s3: Place.local}

app = typer.Typer(help="Look at and repair what mlplat remembers of a platform.", no_args_is_help=True)


@app.command()
def show(
    address: Annotated[str | None, typer.Argument(help="Only this address.", metavar="ADDRESS")] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Show the state: its file, its releases and who holds its lock, or all that it knows of one address."""
    with stored(namespace, config, timeout) as store:
        state = store.load()
        found = _entry(state, address) if address is not None else _summary(store, state)
    output.data(found, lambda: _sheet(found))


@app.command("list")
def list_addresses(
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """List every address that the state knows, with its object."""
    with stored(namespace, config, timeout) as store:
        entries = store.load().entries
    rows = [
        [address, entry.id, (entry.intent or {}).get("verb"), len(entry.deposed)]
        for address, entry in sorted(entries.items())
    ]
    output.table("", ["Address", "Id", "Unfinished", "Left over"], rows)


@app.command()
def rebuild(
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    parallelism: ParallelismOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Make the state anew from what is there, by tags and names alone. Changes nothing but the state file."""
    from mlplat.workflows import keeping

    platform = platform_of(namespace, config, parallelism=parallelism, timeout=timeout)
    with platform.held("state rebuild"):
        with output.working("looking for everything that is there"), platform.limited():
            before = platform.store.remains()
            made = keeping.rebuild(platform)
            damaged = platform.store.damaged()
        if not damaged and (made.state.entries, made.state.releases) == (before.entries, before.releases):
            _report(platform, made, [], f"{platform.settings.namespace}: the state is as it should be")
            return
        _approve_rebuild(platform, made, damaged, auto_approve)
        with platform.limited():
            spared = platform.store.replace(made.state)
    for path in spared:
        output.note(f"the damaged file is kept as {path}")
    _report(platform, made, spared, f"{platform.settings.namespace}: {len(made.state.entries)} addresses in the state")


@app.command()
def forget(
    address: Annotated[str, typer.Argument(help="For example ml_data_infrastructure.bucket.raw.", metavar="ADDRESS")],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Let an object go: it stays as it is, without mlplat's tags, and is nobody's business here any more."""
    from mlplat.workflows import keeping

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.held("state forget"):
        with output.working(f"looking for {address}"), platform.limited():
            what = keeping.letting(platform, address)
        _approve_letting(platform, what, auto_approve)
        with platform.limited():
            keeping.forget(platform, what)
    if what.returns:
        output.note(f"while {address} is declared, the next apply takes such an object over by itself")
    else:
        output.note(f"while {address} is declared, the next plan wants it again; to take the object back:")
        output.hint(what.again)
    objects = [each.arn for each in what.objects]
    output.data(
        {"address": address, "id": what.entry.id, "objects": objects, "adopt": what.again},
        lambda: f"{address}: {what.entry.id} is let go",
    )


@app.command()
def unlock(
    id: Annotated[str | None, typer.Argument(help="The lock's id, as the refused run named it.", metavar="ID")] = None,
    force: Annotated[bool, typer.Option("--force", help="Whoever holds it: two runs at once lose changes.")] = False,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Take away a lock that its holder can't give back any more.

    A run that dies on this machine holds nothing, and the next run takes over without this command. Nobody here can
    tell whether a run on another machine still works: look there first, then name its lock by the id.
    """
    with stored(namespace, config, timeout) as store:
        holder = store.backend.unlock(id=id, force=force)
    told = f"{store.namespace} is not locked" if holder is None else f"removed the lock of {holder.told}"
    if holder is not None and holder.is_alive:
        output.warn(f"{holder.told} still runs: end it, or two runs change the same platform")
    output.data({"namespace": store.namespace, "removed": holder and _holder(holder)}, lambda: told)


@app.command()
def migrate(
    source: Annotated[
        Place | None, typer.Option("--from", help="Where the state is now; without it: where it isn't to be.")
    ] = None,
    target: Annotated[
        Place | None, typer.Option("--to", help="Where it is to be; without it: what state.backend says.")
    ] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Move the state from this folder into the bucket, or back. Run again, it does nothing.

    Both places are locked, what was written is read back, and where the state was it is kept under another name.
    Refused when the other place holds a state that isn't an older moment of this one.
    """
    from mlplat.reconciler import migration
    from mlplat.reconciler.state import Store

    settings = settings_of(namespace, config, {"apply.timeout_minutes": timeout})
    to = target or (OTHER[source] if source else Place(settings.state.backend))
    if to == source:
        raise UsageError(f"moving the state from {to} to {to}: name two places", hint="mlplat state migrate --help")
    session = session_of(settings)
    old, new = (
        Store(FOLDER, settings.namespace, output.warn, backend_of(settings, place, session))
        for place in (OTHER[to], to)
    )
    within = 60.0 * settings.apply.timeout_minutes
    with ExitStack() as locks:
        with session.limited(within):
            for store in (old, new):
                locks.enter_context(store.lock("state migrate"))
            what = migration.look(old, new)
        if what is not None:
            _approve_move(settings, what, auto_approve)
            with session.limited(within):
                what = migration.move(old, new, what)
    if to != settings.state.backend:
        output.note(f'from now on the configuration must say: [state] backend = "{to}"')
    place, kept = new.backend.place, what and what.kept
    output.data(
        {"namespace": settings.namespace, "state": place, "moved": what is not None, "kept": kept},
        lambda: f"{settings.namespace}: the state is {place} {f'now; {kept} is what was there' if kept else 'already'}",
    )


def _approve_move(settings: Settings, what: Migration, auto_approve: bool | None) -> None:
    if auto_approve is False or (auto_approve is None and settings.approval.required):
        output.confirm(
            f"{settings.namespace}: the state ({len(what.state.entries)} addresses, serial {what.state.serial}) goes "
            f"from {what.source} to {what.target}. Move it?",
            flag="--auto-approve",
        )


def _entry(state: State, address: str) -> dict[str, Any]:
    from difflib import get_close_matches

    if address in state.entries:
        return {"address": address, **state.entries[address].to_json()}
    near = get_close_matches(address, state.entries, n=1, cutoff=0.4)
    raise UsageError(
        f"showing {address}: the state of namespace {state.namespace} doesn't know it",
        hint=f"mlplat state show {near[0]}" if near else "mlplat state list",
    )


def _summary(store: Store, state: State) -> dict[str, Any]:
    holder = store.backend.holder()
    return {
        "namespace": state.namespace,
        "file": store.backend.place,
        "exists": store.is_there,
        "format": state.format,
        "lineage": state.lineage,
        "serial": state.serial,
        "addresses": len(state.entries),
        "unfinished": sorted(address for address, entry in state.entries.items() if entry.intent is not None),
        "releases": state.releases,
        "locked_by": _holder(holder) if holder is not None else None,
    }


def _holder(holder: Holder) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(holder)


def _sheet(found: dict[str, Any]) -> Any:
    import json as encoder

    from rich.json import JSON

    return JSON(encoder.dumps(found, default=str), indent=2)


def _approve_rebuild(platform: Platform, made: Rebuilt, damaged: list[str], auto_approve: bool | None) -> None:
    """Show what was found, and ask where approval is required. Raises UsageError without it."""
    if not output.mode.json:
        for path in damaged:
            output.warn(f"{path} is damaged; it will be kept under another name")
        for each in made.findings:
            output.note(f"{each.what:<10} {each.address}  {each.id or ''}")
        for name in sorted(made.state.releases):
            output.note(f"release    {name}")
        for address in made.others:
            output.warn(f"{address}: an object of that name exists, but it isn't this namespace's; it is left alone")
    if _asks(platform, auto_approve):
        output.confirm(f"{platform.settings.namespace}: {_counts(made)}. Write this state?", flag="--auto-approve")


def _approve_letting(platform: Platform, what: Letting, auto_approve: bool | None) -> None:
    if _asks(platform, auto_approve):
        users = sorted(platform.state().users().get(what.address, ()))
        used = f" It is used by {', '.join(users)}." if users else ""
        output.confirm(
            f"{platform.settings.namespace}: {what.address} ({what.entry.id}) will not be managed any more.{used} "
            "Let it go?",
            flag="--auto-approve",
        )


def _asks(platform: Platform, auto_approve: bool | None) -> bool:
    return auto_approve is False or (auto_approve is None and platform.settings.approval.required)


def _counts(made: Rebuilt) -> str:
    from collections import Counter

    counts = Counter(each.what for each in made.findings)
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing is there"


def _report(platform: Platform, made: Rebuilt, spared: list[str], told: str) -> None:
    value = {
        "namespace": platform.settings.namespace,
        "serial": made.state.serial,
        "found": [each.to_json() for each in made.findings],
        "releases": made.state.releases,
        "not_ours": list(made.others),
        "damaged": spared,
    }
    output.data(value, lambda: f"{told} ({_counts(made)})")
