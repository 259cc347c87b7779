"""Eventual consistency for any kind: what was made a moment ago is not shown by the first reads that ask for it.

What the service says of what isn't there is not invented: it is what the same read said before the object was made.
Only of ids that nobody could ask for before is it known by their form.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from mlplat.aws import Client, Session
from mlplat.aws.client import READS as READ
from mlplat.localcloud.consistency import KINDS

READS = 2
"""How many reads of the same thing don't show it yet."""

TOKENS = {"ClientToken", "ClientRequestToken", "CallerReference"}
KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Veil:
    """What is known of one object: what reads said before it was made, and what has been asked since."""

    before: dict[str, Any] = field(default_factory=dict)
    """Read -> its answer, or the error that it ended with."""
    hidden: Counter[str] = field(default_factory=Counter)
    """Read, or id -> how often it has not shown the object."""
    made: list[str] = field(default_factory=list)
    """Calls that changed something and succeeded."""
    ids: dict[str, ClientError] = field(default_factory=dict)
    """Ids that came into being, and what is said of them until they show."""

    def call(self, service: str, operation: str, send: Callable[..., Any], params: Mapping[str, Any]) -> Any:
        """Send it, or answer as if the object weren't there."""
        key = f"{service} {operation} {_told(params)}"
        if not READ.match(operation):
            answer = send(**params)
            self.made.append(key)
            self.ids |= _new_ids(operation, answer, params)
            return answer
        if not self.made:
            return self._remember(key, send, params)
        if key in self.before:
            return _repeat(self.before[key]) if self._hides(key) else send(**params)
        for id in self.ids.keys() & set(_leaves(params)):
            if self._hides(id):
                raise self.ids[id]
        return self._without(send(**params))

    def _without(self, answer: dict[str, Any]) -> dict[str, Any]:
        """A list leaves out what doesn't show yet."""
        for key, items in answer.items():
            if isinstance(items, list):
                answer[key] = [each for each in items if not (isinstance(each, dict) and self._is_new(each))]
        return answer

    def _is_new(self, item: Mapping[str, Any]) -> bool:
        named = self.ids.keys() & {each for each in item.values() if isinstance(each, str)}
        hidden = [self._hides(id) for id in named]
        return any(hidden)

    def _hides(self, what: str) -> bool:
        self.hidden[what] += 1
        return self.hidden[what] <= READS

    def _remember(self, key: str, send: Callable[..., Any], params: Mapping[str, Any]) -> Any:
        try:
            self.before[key] = deepcopy(send(**params))
        except ClientError as error:
            self.before[key] = error
        return _repeat(self.before[key])


@dataclass(frozen=True)
class VeiledSession(Session):
    """A session through the veil, whose pauses are short."""

    veil: Veil = field(default_factory=Veil)

    @classmethod
    def of(cls, session: Session) -> VeiledSession:
        return cls(**vars(session))

    def client(self, service: str) -> Client:
        return _VeiledClient(self, service, super().client(service).boto)

    def pause(self, seconds: float) -> None:
        super().pause(min(seconds, 0.02))


class _VeiledClient(Client):
    def _in_turn(self, operation: str, method: Callable[..., Any], params: dict[str, Any]) -> Callable[[], Any]:
        session = self._session
        assert isinstance(session, VeiledSession)
        veil, service = session.veil, self._service
        return super()._in_turn(operation, lambda **asked: veil.call(service, operation, method, asked), params)


def _told(params: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in params.items() if key not in TOKENS}, sort_keys=True, default=str)


def _repeat(said: Any) -> Any:
    if isinstance(said, ClientError):
        raise said
    return deepcopy(said)


def _leaves(value: Any) -> Iterator[str]:
    """What a request names, but for its filters: those find nothing, and make no mistake."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from () if key in ("Filters", "Filter") else _leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, str):
        yield value.rpartition("/")[2]


def _new_ids(operation: str, answer: Any, params: Mapping[str, Any]) -> dict[str, ClientError]:
    """Ids of EC2's objects and KMS's keys that a creation has answered with."""
    if not operation.startswith(("create_", "allocate_")):
        return {}
    found, known = {}, json.dumps(params, default=str)
    for id in set(re.findall(r"[\w-]+", json.dumps(answer, default=str))):
        kind = KINDS.get(id.partition("-")[0])
        if id in known:
            continue
        if kind is not None and re.fullmatch(r"[a-z]+-[0-9a-f]+", id):
            found[id] = _error(kind.code, kind.text.format(id))
        elif operation == "create_key" and KEY.fullmatch(id):
            found[id] = _error("NotFoundException", f"Key '{id}' does not exist")
    return found


def _error(code: str, text: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Read")
