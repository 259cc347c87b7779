"""What every resource kind promises to the reconciler. A new kind is one new file beside its service's others.

A kind is a frozen dataclass. Its fields are the desired state as JSON values (str, int, float, bool, None,
list, dict), with a `Ref` anywhere a value comes from another resource. `describe` answers in the same field
names, so one generic diff serves all kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from mlplat.aws import Session

KINDS: dict[str, type[Resource]] = {}
"""Every kind by its name, filled as the kinds' modules are imported (`mlplat.resources`)."""


@dataclass(frozen=True)
class Ref:
    """A value that another resource publishes once it exists: `Ref("t.role.trainer", "arn")`.

    `form` wraps the value: `Ref(address, "arn", "{}/*")`.
    """

    address: str
    output: str
    form: str = "{}"

    def __str__(self) -> str:
        return f"({self.address}.{self.output})"


@dataclass(frozen=True)
class Observed:
    """One object as AWS describes it now.

    `fields` uses the kind's field names (only what AWS reports; a field that is missing here is not compared);
    `outputs` is what refs read (JSON values); `tags` are all tags of the object, None for a kind without tags;
    `failed` is AWS's reason when the object can only be deleted and made again (CreateFailed, Failed).
    """

    id: str
    fields: Mapping[str, Any]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None
    failed: str | None = None


@dataclass(frozen=True)
class Change:
    """One field that differs: what it is now and what it should be (a Ref when not known before apply)."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, kw_only=True)
class Resource(ABC):
    """One AWS object: fields are its desired state, methods the only calls made for it.

    Every verb returns only when the object has settled. `aws` is a session bound to the address: it knows the
    ownership tags (`aws.tags`), waits (`aws.wait`) and reports progress (`aws.report`).
    """

    kind: ClassVar[str]
    immutable: ClassVar[frozenset[str]] = frozenset()
    """Fields that AWS can't change in place: a change plans a replace."""
    create_only: ClassVar[frozenset[str]] = frozenset()
    """Fields used by `create` and never compared (AWS doesn't report them, or another field owns them)."""
    create_first: ClassVar[bool] = False
    """On replace: make the new one, move dependants over, then delete the old. Needs a name that changes."""
    holds: ClassVar[frozenset[str]] = frozenset()
    """Fields by which it holds on to others: AWS doesn't delete what they refer to (DependencyViolation)."""
    lends: ClassVar[frozenset[str]] = frozenset()
    """Fields whose objects are held by what uses it, whatever becomes of itself: endpoints stay in their subnets."""
    keeps_data: ClassVar[bool] = False
    """Deleting it can lose data: destroy keeps it unless it is empty or named by `--delete-data`."""
    adopts_untagged: ClassVar[bool] = False
    """Other services may make it first (log groups): an object that carries nobody's tags is taken over."""

    name: str
    """The AWS name; for objects that AWS names by id, the `Name` tag."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            KINDS[cls.kind] = cls

    @abstractmethod
    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The object as it is, or None when it is not there. Waits out statuses that are on their way.

        `id` is the physical id the state remembers; look it up by that first and, when it is None or no
        longer there, by name or by the `mlplat:address` tag (`aws.address`). Fields other than the name may
        still hold a Ref here, when its target isn't there yet.
        """

    @abstractmethod
    def create(self, aws: Session) -> str:
        """Make it, tagged in the create call itself; return its physical id once it has settled."""

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Bring `changed` (field names, `tags` among them) to the desired state and wait until settled."""
        raise NotImplementedError(f"{self.kind} has no field that can be updated, but {sorted(changed)} changed")

    @abstractmethod
    def delete(self, aws: Session, id: str) -> None:
        """Delete the object `id` and wait until it is gone; already gone is success."""

    def data(self, aws: Session, id: str) -> str | None:
        """What would be lost with it, in words ("1,204 objects"), or None when it is empty."""
        return None

    def afterwards(self) -> str | None:
        """What is left of it once it is deleted, and until when, in words; None where nothing is."""
        return None

    def empty(self, aws: Session, id: str) -> None:
        """Delete the data in it. Called only when the user named the address."""

    @classmethod
    def prefetch(cls, aws: Session, ids: Mapping[str, str | None]) -> Mapping[str, Observed | None] | None:
        """Observe many addresses of this kind in few calls: address -> Observed, or None for absent.

        `ids` maps each address to the id that the state remembers. None as the whole answer (the
        default) means: describe one by one.
        """
        return None

    def refs(self) -> Iterator[Ref]:
        """Every Ref in the fields, however deep."""
        for each in fields(self):
            yield from _refs_in(getattr(self, each.name))

    def resolved(self, outputs: Mapping[str, Mapping[str, Any]]) -> Self:
        """A copy in which every Ref whose output is known has become its value; the others stay."""
        known = {each.name: _resolve(getattr(self, each.name), outputs) for each in fields(self)}
        return replace(self, **known)

    def desired(self) -> dict[str, Any]:
        """The fields that are compared: declared (not None) and not `create_only`."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {k: v for k, v in values.items() if v is not None and k not in self.create_only}

    def beside(self, address: str) -> tuple[str, str] | None:
        """How to get what can't be changed in place and lose nothing: in words, and the command that says more."""
        return None

    def compare(self, seen: Observed) -> list[Change]:
        """Declared fields that differ from what is there; only what `describe` reports is compared.

        A field that still holds an unknown Ref differs, because nobody can say that it doesn't.
        """
        return [
            Change(name, seen.fields[name], value)
            for name, value in self.desired().items()
            if name in seen.fields and plain(value) != plain(seen.fields[name])
        ]

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values, as the state keeps them; `KINDS[kind](**fields)` is the way back."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Declared:
    """A resource in a template: where it stands and what must exist before it besides its refs."""

    address: str
    resource: Resource
    after: Sequence[str] = ()

    @property
    def template(self) -> str:
        """The first part of the address."""
        return self.address.split(".", 1)[0]

    def needs(self) -> frozenset[str]:
        """Addresses that must exist first."""
        return frozenset({ref.address for ref in self.resource.refs()} | set(self.after))


def plain(value: Any) -> Any:
    """A value for comparing: tuples are lists, mappings are dicts, numbers that are equal are equal."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _refs_in(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _refs_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _refs_in(each)


def _resolve(value: Any, outputs: Mapping[str, Mapping[str, Any]]) -> Any:
    if isinstance(value, Ref):
        known = outputs.get(value.address, {})
        if value.output not in known:
            return value
        found = known[value.output]
        return found if value.form == "{}" else value.form.format(found)
    if isinstance(value, Mapping):
        return {key: _resolve(each, outputs) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(each, outputs) for each in value]
    return value
