"""The List operations of jobs: filters, order and pages, as all of them have them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from mlplat.localcloud.sagemaker.errors import invalid

PAGE = 10
"""MaxResults when the request has none."""


class Members(NamedTuple):
    """What a kind of job calls the members that lists filter and sort by."""

    name: str
    status: str


def page(
    jobs: Iterable[Mapping[str, Any]], request: Mapping[str, Any], members: Members, *, sort_by: str = "CreationTime"
) -> tuple[list[Mapping[str, Any]], str | None]:
    """The jobs that a List request asks for, and the token of the next page."""
    chosen = [job for job in jobs if _wanted(job, request, members)]
    key = _order(request.get("SortBy", sort_by), members)
    chosen.sort(key=key, reverse=request.get("SortOrder") == "Descending")
    start, size = _offset(request.get("NextToken")), int(request.get("MaxResults", PAGE))
    more = start + size < len(chosen)
    return chosen[start : start + size], _token(start + size) if more else None


def part(found: Sequence[Any], request: Mapping[str, Any], size: int = 100) -> tuple[list[Any], str | None]:
    """The page of a list that has its order already, and the token of the next."""
    start = _offset(request.get("NextToken"))
    end = start + int(request.get("MaxResults", size))
    return list(found[start:end]), _token(end) if end < len(found) else None


def _wanted(job: Mapping[str, Any], request: Mapping[str, Any], members: Members) -> bool:
    if request.get("StatusEquals", job[members.status]) != job[members.status]:
        return False
    if str(request.get("NameContains", "")).lower() not in job[members.name].lower():
        return False
    return all(
        _compare(job.get(time), request.get(f"{time}{side}"), after=side == "After")
        for time in ("CreationTime", "LastModifiedTime")
        for side in ("After", "Before")
    )


def _compare(time: datetime | None, bound: Any, *, after: bool) -> bool:
    if bound is None or time is None:
        return True
    limit = bound if isinstance(bound, datetime) else datetime.fromtimestamp(float(bound), UTC)
    return time > limit if after else time < limit


def _order(sort_by: str, members: Members) -> Callable[[Mapping[str, Any]], Any]:
    if sort_by == "Status":
        return lambda job: job[members.status]
    if sort_by == "CreationTime":
        return lambda job: job["CreationTime"]
    if sort_by == "FinalObjectiveMetricValue":
        return lambda job: job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    return lambda job: job[members.name]


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"offset:{offset}".encode()).decode()


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("offset:"))
    except (binascii.Error, ValueError) as error:
        raise invalid("Invalid pagination token.") from error
