"""Taking an object that somebody made by hand under management: one address, one object, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from shlex import join
from typing import Any

from mlplat.errors import UsageError
from mlplat.reconciler.plan import Action, Plan, Step
from mlplat.reconciler.selection import Selection
from mlplat.reconciler.steps import shown
from mlplat.resources.base import Change, Declared
from mlplat.resources.ec2.default_security_group import DefaultSecurityGroup
from mlplat.resources.ec2.tagged import Tagged
from mlplat.resources.search import id_in
from mlplat.workflows.platform import Platform


@dataclass(frozen=True)
class Adoption:
    """What adopting an address would do."""

    plan: Plan
    step: Step
    is_begun: bool
    """Whether the state has it with an intent: an adoption that was cut off, perhaps before the tags were on."""

    @property
    def is_done(self) -> bool:
        """Whether the object is managed already. What differs of it then is a matter of apply."""
        return self.step.action is not Action.ADOPT and not (self.is_begun and self.step.action is Action.UPDATE)

    @property
    def changes(self) -> Sequence[Change]:
        """What differs from what is declared, with the tags that are put on."""
        return self.step.changes

    def to_json(self) -> dict[str, Any]:
        """What `adopt --json` prints."""
        changes = [{"field": each.field, "old": shown(each.old), "new": shown(each.new)} for each in self.changes]
        return {
            "namespace": self.plan.namespace,
            "address": self.step.address,
            "kind": self.step.kind,
            "id": self.step.id,
            "adopted": not self.is_done,
            "changes": changes,
        }


def look(platform: Platform, address: str, id: str | None) -> Adoption:
    """Find the object (by its id or ARN, or the declared name) and hold it against the declaration. Reads only.

    Raises UsageError when there is none, or the address has another one already; ForeignObject when it belongs to
    another namespace; MlplatError when it can't become what is declared without being replaced.
    """
    declared = _declared(platform, address)
    id = id_in(id) if id and id.startswith("arn:") else id
    _check_free(platform, address, id)
    made = platform.plan(adopt={address: id}, selection=Selection((address,), alone=True))
    step = next(step for step in made.steps if step.address == address)
    if step.seen is None or id not in (None, step.seen.id):
        raise _absent(platform, declared, id)
    if step.action is Action.ADOPT and id is not None:
        _check_only(platform, declared, id)
    entry = platform.state().entries.get(address)
    return Adoption(made, step, entry is not None and entry.intent is not None)


def _declared(platform: Platform, address: str) -> Declared:
    found = {each.address: each for each in platform.declared()}
    if address in found:
        return found[address]
    near = get_close_matches(address, found, n=1, cutoff=0.5)
    raise UsageError(
        f"adopting {address}: nothing of that address is declared in namespace {platform.settings.namespace}",
        hint=_words(platform, "adopt", near[0]) if near else _words(platform, "plan"),
    )


def _check_free(platform: Platform, address: str, id: str | None) -> None:
    entry = platform.state().entries.get(address)
    if entry is not None and id is not None and entry.id not in (None, id):
        raise _taken(platform, address, id, str(entry.id))


def _check_only(platform: Platform, declared: Declared, id: str) -> None:
    """What is found by tags is this address's object, whatever the state knows."""
    aws = platform.session.at(declared.address)
    seen = declared.resource.resolved(platform.state().outputs()).describe(aws)
    if seen is not None and seen.id != id and aws.ownership.items() <= (seen.tags or {}).items():
        raise _taken(platform, declared.address, id, seen.id)


def _taken(platform: Platform, address: str, id: str, other: str) -> UsageError:
    return UsageError(
        f"adopting {address}: {id} can't be it, because {other} is; let that go first",
        hint=_words(platform, "state", "forget", address),
    )


def _absent(platform: Platform, declared: Declared, id: str | None) -> UsageError:
    kind, name, address = declared.resource.kind, declared.resource.name, declared.address
    if isinstance(declared.resource, DefaultSecurityGroup):
        told = "AWS makes it with its VPC, and apply takes that of the VPC over by itself"
        hint = _words(platform, "apply", "--target", address)
    elif id is not None:
        told, hint = f"there is no {kind} {id}", _words(platform, "plan", "--target", address)
    elif isinstance(declared.resource, Tagged):
        told = f"AWS knows a {kind} by its id alone; say it: mlplat adopt {address} ID"
        hint = join(["aws", "ec2", declared.resource.listing.operation.replace("_", "-")])
    else:
        told, hint = f"there is no {kind} {name}", _words(platform, "apply", "--target", address)
    return UsageError(f"adopting {address}: {told}", hint=hint)


def _words(platform: Platform, *words: str) -> str:
    return join(["mlplat", *words, "--namespace", platform.settings.namespace])
