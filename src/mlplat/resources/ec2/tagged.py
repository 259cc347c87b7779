"""EC2 objects that AWS names by id: how all of their kinds are found, tagged, settled and released."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from mlplat.aws import Session, tag_list, tag_map
from mlplat.errors import ApiError, MlplatError, NotSettled, OutcomeUnknown
from mlplat.resources.base import Observed, Resource

T = TypeVar("T")
Raw = Mapping[str, Any]
"""One object in EC2's own words."""

ON_ITS_WAY = frozenset({"pending", "deleting"})
GONE = frozenset({"deleted"})
"""NAT gateways stay visible for an hour after they are deleted, VPC endpoints for some minutes."""


class Listing(NamedTuple):
    """How EC2 lists the objects of a kind."""

    operation: str
    key: str
    id: str
    id_filter: str
    resource_type: str
    filters: str = "Filters"
    paged: bool = True


@dataclass(frozen=True, kw_only=True)
class Tagged(Resource):
    """An EC2 object found by its id or, when that is unknown or gone, by its ownership tags."""

    listing: ClassVar[Listing]

    @classmethod
    @abstractmethod
    def seen_fields(cls, aws: Session, raw: Raw) -> dict[str, Any]:
        """What AWS reports, in the kind's field names; `name` is added from the Name tag."""

    @classmethod
    def seen_outputs(cls, raw: Raw) -> dict[str, Any]:
        """What refs read besides `id`."""
        return {}

    @classmethod
    def failure(cls, raw: Raw) -> str | None:
        """AWS's reason when the object can only be deleted and made again."""
        return None

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """Look by id, then by tags; wait out pending and deleting."""
        raws = self.read(aws, {self.listing.id_filter: [id]}) if id else []
        return self._observed(aws, self._only(aws.address, raws or self.read(aws, _owned(aws))))

    @classmethod
    def prefetch(cls, aws: Session, ids: Mapping[str, str | None]) -> Mapping[str, Observed | None]:
        """One call for all objects of the namespace, one more when remembered ids have lost their tags."""
        known = {raw[cls.listing.id]: raw for raw in cls.read(aws, {"tag:mlplat:namespace": [aws.namespace]})}
        tagged: dict[str, list[Raw]] = {}
        for raw in known.values():
            tagged.setdefault(tag_map(raw.get("Tags")).get("mlplat:address", ""), []).append(raw)
        if lost := [id for id in ids.values() if id and id not in known]:
            known |= {raw[cls.listing.id]: raw for raw in cls.read(aws, {cls.listing.id_filter: lost})}
        return {
            address: cls._observed(aws, known.get(id or "") or cls._only(address, tagged.get(address, ())))
            for address, id in ids.items()
        }

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """Put the tags right; kinds go on with their own fields."""
        if changed & {"tags", "name"}:
            aws.client("ec2").create_tags(Resources=[seen.id], Tags=self.all_tags(aws))
            if outdated := tag_list(aws.outdated(seen.tags)):  # with their values: another value isn't deleted
                aws.client("ec2").delete_tags(Resources=[seen.id], Tags=outdated)

    def all_tags(self, aws: Session) -> list[dict[str, str]]:
        """The ownership tags and the Name that AWS's console shows."""
        return tag_list({"Name": self.name, **aws.tags})

    def tag_specifications(self, aws: Session) -> list[dict[str, Any]]:
        """The same tags as EC2's create calls take them."""
        return [{"ResourceType": self.listing.resource_type, "Tags": self.all_tags(aws)}]

    def settle(self, aws: Session, id: str) -> str:
        """After a create: wait until `id` is visible and has settled; a failed one raises NotSettled."""
        by_id = {self.listing.id_filter: [id]}
        what = f"{self.kind} {self.name} ({id})"
        raws = aws.wait(f"{what} to appear", lambda: self._list(aws, by_id), bool, within=120.0, every=2.0)
        raws = raws if _settled(aws, raws) else self.read(aws, by_id)
        why = self.failure(raws[0]) if raws else "it was deleted while it was being made"
        if why:
            raise NotSettled(f"creating {what}: {why}", hint=f"mlplat describe {aws.address}")
        return id

    @classmethod
    def read(cls, aws: Session, filters: Mapping[str, Sequence[str]]) -> list[Raw]:
        """The objects that are there, once none of them is pending or deleting any more."""
        what = f"{cls.kind} {', '.join(each for values in filters.values() for each in values)}"
        raws = aws.wait(what, lambda: cls._list(aws, filters), lambda raws: _settled(aws, raws))
        return [raw for raw in raws if _state(raw) not in GONE]

    @classmethod
    def _list(cls, aws: Session, filters: Mapping[str, Sequence[str]]) -> list[Raw]:
        how, ec2 = cls.listing, aws.client("ec2")
        params = {how.filters: filter_list(filters)}
        if how.paged:
            return list(ec2.pages(how.operation, how.key, **params))
        return list(getattr(ec2, how.operation)(**params)[how.key])

    @classmethod
    def _observed(cls, aws: Session, raw: Raw | None) -> Observed | None:
        if raw is None:
            return None
        id, tags = raw[cls.listing.id], tag_map(raw.get("Tags"))
        fields = aws.find(lambda: cls.seen_fields(aws, raw))  # it can go away between two calls
        if fields is None:
            return None
        return Observed(
            id=id,
            fields={"name": tags.get("Name", ""), **fields},
            outputs={"id": id, **cls.seen_outputs(raw)},
            tags=tags,
            failed=cls.failure(raw),
        )

    @classmethod
    def _only(cls, address: str, raws: Sequence[Raw]) -> Raw | None:
        """The one object of an address. Two can only come from outside; which one to keep is not ours to guess."""
        sound = [raw for raw in raws if cls.failure(raw) is None] or list(raws)
        if len(sound) < 2:
            return sound[0] if sound else None
        ids = sorted(raw[cls.listing.id] for raw in sound)
        raise MlplatError(
            f"looking for {cls.kind} {address}: {len(ids)} objects carry its tags: {', '.join(ids)}; keep one",
            hint=f"aws ec2 delete-tags --resources {' '.join(ids[1:])} --tags Key=mlplat:address",
        )


def filter_list(filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Filters as EC2's describe calls take them. A filter by id answers an empty list where `...Ids` would raise."""
    return [{"Name": name, "Values": list(values)} for name, values in filters.items()]


def repeatable(aws: Session, call: Callable[[str], T]) -> T:
    """A create that takes a ClientToken: with the same token it may be sent again when its outcome is unknown.

    The token is new each time, because one that could be foretold would bring back an object deleted since.
    """
    token = uuid.uuid4().hex
    for pause in (0.5, 2.0, 5.0):
        try:
            return call(token)
        except OutcomeUnknown:
            aws.pause(pause)
    return call(token)


def unsuccessful(answer: Raw, operation: str) -> None:
    """EC2's bulk calls answer 200 and list what failed: raise the first of those as the error that it is."""
    for item in answer.get("Unsuccessful") or ():
        error = item.get("Error", {})
        raise ApiError(
            service="ec2", operation=operation, code=error.get("Code", "Unknown"), reason=error.get("Message", "")
        )


def _owned(aws: Session) -> dict[str, list[str]]:
    return {"tag:mlplat:namespace": [aws.namespace], "tag:mlplat:address": [aws.address]}


def _state(raw: Raw) -> str:
    return str(raw.get("State", "")).lower()


def _settled(aws: Session, raws: Sequence[Raw]) -> bool:
    busy = [_state(raw) for raw in raws if _state(raw) in ON_ITS_WAY]
    if busy:
        aws.report(busy[0])
    return not busy
