"""A plan in a file: what was to be done, and what it rested on, so that nothing else is ever applied in its name.

The file holds digests of what was declared and of what was seen, field by field, never the values: it can be kept,
mailed and reviewed without giving anything away. It is not carried out by itself. The same plan is made again from
what was asked for, with everything looked at anew, and the file says whether it still is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlplat.reconciler import formats
from mlplat.reconciler.steps import Plan, Step
from mlplat.resources.base import plain

FORMAT = 1
"""The version of the file's format; a file of another one is refused."""

Digests = Mapping[str, str]
"""Field -> digest of its value."""


@dataclass(frozen=True)
class Place:
    """Where a plan may be applied, and nowhere else."""

    namespace: str
    target: str
    account: str
    region: str


@dataclass(frozen=True)
class Mark:
    """What one step did, and rested on."""

    action: str
    id: str | None
    declared: Digests
    """What the configuration, or for a deletion the state, says."""
    seen: Digests | None
    """What was there: the fields that are managed, and the ownership tags. None: nothing was."""
    loses: str | None = None
    """The data that goes with it, in words."""

    @classmethod
    def of(cls, step: Step) -> Mark:
        """The mark of a step as it is planned now."""
        declared = step.resource.to_json() if step.resource is not None else {}
        return cls(
            action=step.action.value,
            id=step.id,
            declared=_digests(declared),
            seen=_digests(_managed(step, declared)) if step.seen is not None else None,
            loses=step.holds if step.loses_data else None,
        )

    def differences(self, now: Mark) -> Iterator[str]:
        """What has changed since, in words."""
        if self.id != now.id:
            yield f"it is {now.id or 'gone'} now, not {self.id or 'absent'}"
        elif (self.seen is None) != (now.seen is None):
            yield f"{self.id} is gone, or not ours any more" if now.seen is None else f"{now.id} is there now"
        if self.seen is not None and now.seen is not None and (fields := _differing(self.seen, now.seen)):
            yield f"{', '.join(fields)} of it changed"
        if fields := _differing(self.declared, now.declared):
            yield f"{', '.join(fields)} is declared otherwise"
        if self.loses != now.loses:
            yield f"it holds {now.loses or 'nothing'} now, not {self.loses or 'nothing'}"
        if self.action != now.action:
            yield f"the plan said {self.action} and would be {now.action} now"


@dataclass(frozen=True)
class Saved:
    """A plan as its file keeps it. `request` is what was asked for, in the words of whoever plans."""

    place: Place
    lineage: str
    serial: int
    request: Mapping[str, Any]
    marks: Mapping[str, Mark]

    @classmethod
    def of(cls, plan: Plan, place: Place, request: Mapping[str, Any]) -> Saved:
        """What must be remembered of a plan."""
        marks = {step.address: Mark.of(step) for step in plan.steps}
        return cls(place, plan.lineage, plan.serial, request, marks)

    def dumps(self) -> bytes:
        """The file, with a digest of its content."""
        body = json.loads(json.dumps({"format": FORMAT, "what": "mlplat plan", **asdict(self)}))
        return (json.dumps({**body, "sha256": formats.digest(body)}, indent=2) + "\n").encode()

    @classmethod
    def loads(cls, text: bytes) -> Saved:
        """Raises ValueError when it is no plan or a damaged one, NewerFormat when a newer mlplat wrote it."""
        try:
            body = json.loads(text)
            claimed = body.pop("sha256")
            if body["what"] != "mlplat plan":
                raise ValueError("it is no saved plan")
            if claimed != formats.digest(body):
                raise ValueError("its content doesn't match its digest")
            if body["format"] > FORMAT:
                raise formats.NewerFormat(body["format"])
            if body["format"] < FORMAT:
                raise ValueError(f"this mlplat can't read format {body['format']}")
            marks = {address: Mark(**mark) for address, mark in body["marks"].items()}
            return cls(Place(**body["place"]), body["lineage"], body["serial"], body["request"], marks)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is no saved plan ({error!r})") from error

    def differences(self, now: Plan) -> Iterator[str]:
        """What the plan made now differs in, one line an address."""
        marks = {step.address: Mark.of(step) for step in now.steps}
        for address in sorted(self.marks.keys() | marks.keys()):
            then, today = self.marks.get(address), marks.get(address)
            if then is None or today is None:
                yield f"{address}: {'it was not in the plan' if then is None else 'the plan no longer has it'}"
            elif told := "; ".join(then.differences(today)):
                yield f"{address}: {told}"


def _managed(step: Step, declared: Mapping[str, Any]) -> dict[str, Any]:
    """What was seen, as far as mlplat manages it."""
    if step.seen is None:
        return {}
    tags = {key: value for key, value in (step.seen.tags or {}).items() if key.startswith("mlplat:")}
    fields = {name: value for name, value in step.seen.fields.items() if declared.get(name) is not None}
    return {**fields, "tags": tags, "status": step.seen.failed}


def _digests(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _digest(value) for name, value in values.items()}


def _digest(value: Any) -> str:
    text = json.dumps(plain(value), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _differing(then: Digests, now: Digests) -> list[str]:
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
