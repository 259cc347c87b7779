"""What a namespace owns, found by tags alone: for objects that neither the configuration nor the state names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, dataclass, fields
from typing import Any

from mlplat.aws import Session, tag_map
from mlplat.errors import ApiError
from mlplat.resources.base import KINDS, Resource
from mlplat.resources.cloudwatch import tags_of

MOST = 20
"""ARNs that one UntagResources takes (botocore: ResourceARNListForTagUntag)."""

BLANKS: dict[str, Any] = {"Mapping": {}, "Document": {}, "Sequence": (), "bool": False, "int": 0}
"""What stands for a field of a type, where nobody knows its value. Any other is text."""


@dataclass(frozen=True)
class Owned:
    """An object that carries this namespace's tags."""

    address: str
    kind: str
    id: str
    """As the kind's `describe` takes it: AWS's id, or the name."""
    arn: str


def owned(aws: Session) -> list[Owned]:
    """Every object in the region that carries the namespace's ownership tags.

    The tagging API lists all kinds but roles, for which it can't be asked ("The GetResources operation does not
    currently support IAM users and roles": API reference, "Services that support"), and dashboards, which have no
    region to be asked in. It shows a new object late and a deleted one for a while: what it answers is a place to
    look at, not a fact.
    """
    return sorted({*_tagged(aws), *_roles(aws), *_dashboards(aws)}, key=lambda each: (each.address, each.id))


def disown(aws: Session, arns: Sequence[str]) -> None:
    """Take the ownership tags off; other tags stay. Roles too: UntagResources takes them."""
    dashboards = [each for each in arns if ":dashboard/" in each]
    for arn in dashboards:
        aws.client("cloudwatch").untag_resource(ResourceARN=arn, TagKeys=list(aws.ownership))
    others = [each for each in arns if each not in dashboards]
    for start in range(0, len(others), MOST):
        answer = aws.client("resourcegroupstaggingapi").untag_resources(
            ResourceARNList=others[start : start + MOST], TagKeys=list(aws.ownership)
        )
        for arn, failure in answer.get("FailedResourcesMap", {}).items():
            raise ApiError(
                service="resourcegroupstaggingapi",
                operation="untag_resources",
                code=failure.get("ErrorCode", "Unknown"),
                reason=f"{arn}: {failure.get('ErrorMessage', '')}",
                status=int(failure.get("StatusCode", 0)),
            )


def blank(kind: str, name: str) -> Resource:
    """A resource to describe an object by that nothing is known of but its kind, and its name where it has one.

    What is optional is given too: a bucket reads only what is declared.
    """
    open_ones = [each for each in fields(KINDS[kind]) if each.default in (MISSING, None) and _no_factory(each)]
    values: dict[str, Any] = {each.name: BLANKS.get(re.split(r"\W", str(each.type))[0], "") for each in open_ones}
    return KINDS[kind](**{**values, "name": name})


def _no_factory(each: Any) -> bool:
    return each.default_factory is MISSING


def _tagged(aws: Session) -> Iterator[Owned]:
    ours = [{"Key": "mlplat:namespace", "Values": [aws.namespace]}, {"Key": "ManagedBy", "Values": ["mlplat"]}]
    found = aws.client("resourcegroupstaggingapi").pages("get_resources", "ResourceTagMappingList", TagFilters=ours)
    for each in found:
        arn = each["ResourceARN"]
        yield from _owned(arn, id_in(arn), tag_map(each["Tags"]).get("mlplat:address", ""))


def _roles(aws: Session) -> Iterable[Owned]:
    """By name, then by tags. A role's name ends in its region, because roles belong to all of them."""
    iam, start = aws.client("iam"), f"mlplat-{aws.namespace}-"
    named = [role for role in iam.pages("list_roles", "Roles") if role["RoleName"].startswith(start)]
    mine = [role for role in named if role["RoleName"].endswith(aws.region)]

    def look(role: dict[str, Any]) -> list[Owned]:
        name = role["RoleName"]
        tags = tag_map(aws.find(lambda: list(iam.pages("list_role_tags", "Tags", RoleName=name))))
        return _ours(aws, role["Arn"], name, tags)

    with ThreadPoolExecutor(max_workers=8) as pool:
        return [each for found in pool.map(look, mine) for each in found]


def _dashboards(aws: Session) -> Iterator[Owned]:
    """By name, then by tags, as roles."""
    listed = aws.client("cloudwatch").pages(
        "list_dashboards", "DashboardEntries", DashboardNamePrefix=f"mlplat-{aws.namespace}-"
    )
    for each in [each for each in listed if each["DashboardName"].endswith(aws.region)]:
        yield from _ours(aws, each["DashboardArn"], each["DashboardName"], tags_of(aws, each["DashboardArn"]))


def _ours(aws: Session, arn: str, name: str, tags: Mapping[str, str]) -> list[Owned]:
    ours = tags.get("mlplat:namespace") == aws.namespace and tags.get("ManagedBy") == "mlplat"
    return list(_owned(arn, name, tags.get("mlplat:address", ""))) if ours else []


def _owned(arn: str, id: str, address: str) -> Iterator[Owned]:
    """Runs carry the namespace too, but no address; a kind that nobody knows was made by a newer mlplat."""
    kind = address.split(".")[1] if address.count(".") == 2 else ""
    if kind in KINDS:
        yield Owned(address, kind, id, arn)


def id_in(arn: str) -> str:
    """The id, or the name, that an ARN ends in.

    Log groups have slashes in their names; EC2, KMS, Glue and SageMaker put a type before the id, alarms and log
    groups one with a colon.
    """
    resource = arn.split(":", 5)[5]
    if resource.startswith("log-group:"):
        return resource.removeprefix("log-group:").removesuffix(":*")
    return resource.removeprefix("alarm:").rpartition("/")[2]
