"""Where AWS refuses what moto accepts, or does more: rules around moto's operations, each a small function.

A module of rules stands beside a service's other extensions and registers itself by decorating:

    @before("kms", "ScheduleKeyDeletion")
    def window_of_7_to_30_days(asked: Asked) -> Reply | None: ...

`before` rules refuse by raising `AwsError`, or answer in moto's place; `after` rules see moto's successful answer.
Both run while moto's lock for the service is held, so what they have checked still holds when moto acts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlplat.localcloud import wire
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.routing import Route
from mlplat.localcloud.wire import Reply


@dataclass(frozen=True)
class Asked:
    """A request on its way to moto."""

    route: Route
    cloud: Cloud

    @cached_property
    def request(self) -> dict[str, Any]:
        """The parsed request; of an upload to S3 without its body."""
        return wire.parse(self.route)

    def backend(self, service: str | None = None) -> Any:
        """moto's state of a service in this account and region (for S3 and IAM, which have none: the partition)."""
        from moto.backends import get_backend

        name = service or self.route.service
        regions: Any = get_backend(name)[self.cloud.account]
        return regions[self.cloud.partition if name in ("s3", "iam", "sts") else self.cloud.region]


Before = Callable[[Asked], Reply | None]
After = Callable[[Asked, Reply], Reply | None]

_BEFORE: dict[tuple[str, str], list[Before]] = defaultdict(list)
_AFTER: dict[tuple[str, str], list[After]] = defaultdict(list)


def before(service: str, *operations: str) -> Callable[[Before], Before]:
    """Run the function before moto answers one of `operations`."""

    def register(rule: Before) -> Before:
        for operation in operations:
            _BEFORE[service, operation].append(rule)
        return rule

    return register


def after(service: str, *operations: str) -> Callable[[After], After]:
    """Run the function when moto has answered one of `operations` without an error; what it returns replaces it."""

    def register(rule: After) -> After:
        for operation in operations:
            _AFTER[service, operation].append(rule)
        return rule

    return register


def around(route: Route, cloud: Cloud, ask_moto: Callable[[], Reply]) -> Reply:
    """moto's answer, with the rules of the operation applied."""
    key = (route.service or "", route.operation.name if route.operation is not None else "")
    first, then = _BEFORE.get(key, ()), _AFTER.get(key, ())
    asked = Asked(route, cloud)
    for check in first:
        instead = check(asked)
        if instead is not None:
            return instead
    reply = ask_moto()
    for rule in then if reply.status < 300 else ():
        reply = rule(asked, reply) or reply
    return reply
