"""The state: what mlplat remembers of a namespace, as data. It is a cache of reality, never the truth.

`state.py` keeps it on disk. An entry is replaced whole, never changed in place, so that threads can read it freely.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mlplat.errors import StateError
from mlplat.reconciler.formats import FORMAT, Body, digest, migrated, parsed
from mlplat.resources.base import KINDS, Resource

RELEASES_OF = "ml_model_serving"
"""The template whose endpoints serve the releases that the state keeps."""


@dataclass(frozen=True)
class Deposed:
    """A second object of an address: replaced create-first and still to be deleted, or about to be made (id None)."""

    id: str | None
    fields: Mapping[str, Any]
    needs: tuple[str, ...] = ()

    def address(self, owner: str) -> str:
        """The address of the step that deletes it."""
        return f"{owner} ({self.id or self.fields.get('name')})"

    def is_same(self, id: str | None, name: str) -> bool:
        """Whether it is the object of that id, or the one of that name when nobody knows the id."""
        return self.id == id if self.id is not None and id is not None else self.fields.get("name") == name

    def to_json(self) -> dict[str, Any]:
        """As the file keeps it."""
        return {"id": self.id, "fields": self.fields, "needs": self.needs}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Deposed:
        """Raises TypeError, KeyError or AttributeError for anything else."""
        return cls(id=value["id"], fields=dict(value["fields"]), needs=tuple(value["needs"]))


@dataclass(frozen=True)
class Entry:
    """One address: the object as it was last applied.

    `intent` is what was about to be done ({"verb": ...}) and has not been completed; `needs` are the addresses
    that the object uses, kept so that what left the configuration is still deleted in order.
    """

    kind: str
    id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    intent: Mapping[str, Any] | None = None
    deposed: tuple[Deposed, ...] = ()
    former: tuple[str, ...] = ()
    """Addresses that its object may still be tagged with: it was moved here, and nobody has told the object yet."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The tags of the user's own that were applied (`[tags]`)."""

    @property
    def is_uncertain(self) -> bool:
        """Whether its creation was begun and never completed: it may exist and not show yet."""
        return self.intent is not None and self.intent.get("verb") == "create"

    @property
    def is_changing(self) -> bool:
        """Whether an update or a deletion was begun and never completed: it may be done and not show yet."""
        return self.intent is not None and not self.is_uncertain

    def left_behind(self, name: str) -> tuple[Deposed, ...]:
        """The other objects of the address, now that it is to have the object called `name`.

        Among them one whose creation was begun under another name, before the configuration changed.
        """
        others = tuple(old for old in self.deposed if old.fields.get("name") != name)
        if self.is_uncertain and self.fields.get("name") != name:
            return (*others, Deposed(None, self.fields, self.needs))
        return others

    def to_json(self) -> dict[str, Any]:
        """As the file keeps it."""
        return {
            "kind": self.kind,
            "id": self.id,
            "fields": self.fields,
            "outputs": self.outputs,
            "needs": self.needs,
            "intent": self.intent,
            "deposed": [each.to_json() for each in self.deposed],
            **({"former": self.former} if self.former else {}),
            **({"labels": self.labels} if self.labels else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Entry:
        """Raises TypeError, KeyError or AttributeError for anything that is no entry."""
        return cls(
            kind=str(value["kind"]),
            id=value["id"],
            fields=dict(value["fields"]),
            outputs=dict(value["outputs"]),
            needs=tuple(value["needs"]),
            intent=value["intent"],
            deposed=tuple(Deposed.from_json(each) for each in value["deposed"]),
            former=tuple(value.get("former", ())),
            labels=dict(value.get("labels", {})),
        )


@dataclass
class State:
    """Everything remembered of one namespace. `serial` counts its changes, `lineage` tells its lives apart."""

    namespace: str
    lineage: str = field(default_factory=lambda: str(uuid.uuid4()))
    serial: int = 0
    format: int = FORMAT
    entries: dict[str, Entry] = field(default_factory=dict)
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Endpoint name in the configuration -> its release, as `Release.to_json` gives it."""

    def outputs(self) -> dict[str, Mapping[str, Any]]:
        """The outputs of everything that was there, by address."""
        return {address: entry.outputs for address, entry in self.entries.items() if entry.id is not None}

    def users(self) -> dict[str, set[str]]:
        """Address -> the addresses that use it, by the dependencies of what was applied."""
        found: dict[str, set[str]] = {}
        for address, entry in self.entries.items():
            for need in entry.needs:
                found.setdefault(need, set()).add(address)
            for old in entry.deposed:
                for need in old.needs:
                    found.setdefault(need, set()).add(old.address(address))
        return found

    def endpoints_left(self) -> set[str]:
        """The endpoints (by their name in the configuration) that are there, or may be."""
        start = f"{RELEASES_OF}.endpoint."
        return {address.removeprefix(start) for address in self.entries if address.startswith(start)}

    def dumps(self) -> bytes:
        """The file: one line an entry, and a digest of the content so that damage is never taken for truth."""
        body = json.loads(json.dumps(self._body()))
        lines = [f"{json.dumps(key)}: {_lined(value)}" for key, value in body.items()]
        lines.append(f'"sha256": "{digest(body)}"')
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()

    @classmethod
    def loads(cls, text: bytes) -> State:
        """Raises ValueError when the file is damaged and `NewerFormat` when a newer mlplat wrote it."""
        return cls.of(parsed(text))

    @classmethod
    def of(cls, body: Body) -> State:
        """The state of a file's body, of our format or an older one. Raises ValueError for anything else."""
        try:
            body = dict(migrated(body))
            body["releases"] = dict(body["releases"])
            body["entries"] = {key: Entry.from_json(value) for key, value in body["entries"].items()}
            return cls(**body)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"it is no state file ({error!r})") from error

    def _body(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "namespace": self.namespace,
            "lineage": self.lineage,
            "serial": self.serial,
            "entries": {address: entry.to_json() for address, entry in sorted(self.entries.items())},
            "releases": self.releases,
        }


def remembered(address: str, kind: str, values: Mapping[str, Any]) -> Resource:
    """The resource that the state describes. Fields that its kind no longer has are left out.

    Raises StateError for a kind that this mlplat doesn't know, or fields that make none.
    """
    if kind not in KINDS:
        raise StateError(
            f"reading the state of {address}: this mlplat knows no kind {kind!r}; a newer one made it",
            hint="pip install --upgrade mlplat",
        )
    names = {each.name for each in fields(KINDS[kind])}
    try:
        return KINDS[kind](**{name: value for name, value in values.items() if name in names})
    except (TypeError, ValueError) as error:
        raise StateError(f"reading the state of {address}: its fields make no {kind}: {error}") from error


def _lined(value: Any) -> str:
    """JSON with every item of a mapping on its own line, for people and for diffs."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(each)}" for key, each in value.items()) + "\n}"
