"""The state as people handle it: made anew from what is there, or made to let an object go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import join

from mlplat.errors import UsageError
from mlplat.reconciler.entries import RELEASES_OF, Entry, State
from mlplat.reconciler.rebuild import Rebuilt
from mlplat.reconciler.rebuild import rebuild as rebuilt
from mlplat.resources.base import KINDS
from mlplat.resources.search import Owned, disown, owned
from mlplat.templates.release import Release
from mlplat.templates.serving import endpoint_name
from mlplat.workflows import whereabouts
from mlplat.workflows.platform import Platform
from mlplat.workflows.recovery import live_release

ENDPOINT = f"{RELEASES_OF}.endpoint."


@dataclass(frozen=True)
class Letting:
    """An object about to be let go: what the state knows, and everything that carries the address's tags."""

    address: str
    entry: Entry
    objects: Sequence[Owned]
    again: str
    """The command that takes it back."""

    @property
    def returns(self) -> bool:
        """Whether an object of that kind is taken over even without tags, as long as it is declared."""
        return KINDS[self.entry.kind].adopts_untagged


def rebuild(platform: Platform) -> Rebuilt:
    """The state by what is there. Reads only; the lock must be held for `Store.replace` to be right."""
    base, found = platform.store.remains(), owned(platform.session)
    releases = _releases(platform, base, found)
    declared = platform.declared(releases)
    kept = {name: release.to_json() for name, release in releases.items()}
    return rebuilt(
        platform.session, declared, found, base, releases=kept, moves=platform.moves, parallelism=platform.parallelism
    )


def _releases(platform: Platform, base: State, found: Sequence[Owned]) -> dict[str, Release]:
    """What each endpoint serves, as it does live.

    The old state is believed where the endpoint can't tell (it failed), or where a deploy of it was broken off.
    """
    names = {name: endpoint_name(name, platform.place) for name in platform.settings.endpoints}
    left = {each.address.removeprefix(ENDPOINT): each.id for each in found if each.address.startswith(ENDPOINT)}
    live = {name: live_release(platform.session, id) for name, id in (left | names).items()}
    kept = {
        name: Release.from_json(value)
        for name, value in base.releases.items()
        if name in left or _is_under_way(base, name)
    }
    return kept | {name: release for name, release in live.items() if release is not None}


def _is_under_way(base: State, endpoint: str) -> bool:
    """Whether something of what serves the endpoint was begun and not completed."""
    mine = (f"{ENDPOINT}{endpoint}", f"{RELEASES_OF}.endpoint_config.{endpoint}", f"{RELEASES_OF}.model.{endpoint}_")
    return any(entry.intent is not None for address, entry in base.entries.items() if address.startswith(mine))


def letting(platform: Platform, address: str) -> Letting:
    """What `forget` would do. Raises UsageError for an address that the state doesn't know."""
    objects = [each for each in owned(platform.session) if each.address == address]
    state, namespace = platform.state(), platform.settings.namespace
    whereabouts.check(state, platform.session)
    if address not in state.entries:
        doing = f"letting {address} go: the state of namespace {namespace} doesn't know it"
        if objects:
            raise UsageError(
                f"{doing}, but {objects[0].id} carries its tags; make the state anew first",
                hint=f"mlplat state rebuild --namespace {namespace}",
            )
        raise UsageError(doing, hint=f"mlplat state list --namespace {namespace}")
    entry = state.entries[address]
    by_name = entry.fields.get("name") == entry.id
    again = join(["mlplat", "adopt", address, *([] if by_name else [str(entry.id)]), "--namespace", namespace])
    return Letting(address, entry, objects, again)


def forget(platform: Platform, what: Letting) -> None:
    """Take the tags off, then drop the address from the state; the lock must be held.

    Without the tags nothing of mlplat's will find the object again; with them, the next apply would.
    """
    disown(platform.session, [each.arn for each in what.objects])
    with platform.store.edit("state forget") as state:
        state.entries.pop(what.address, None)
