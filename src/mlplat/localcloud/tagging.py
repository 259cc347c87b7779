"""The Resource Groups Tagging API over everything that has tags: moto's objects, and ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError

PAGE = 50
"""Objects on a page where the request doesn't say."""

MISSED = {"eipalloc": "elastic-ip", "vpce": "vpc-endpoint", "fl": "vpc-flow-log", "nat": "natgateway"}
"""Types of EC2 objects, by the prefix of their ids, that moto leaves out or names otherwise than AWS does."""

UNTAGGED = re.compile(r"arn:[\w-]+:ec2:.*:(elastic-ip|vpc-endpoint|flow-logs|vpc-flow-log|natgateway)/")


class Tagging:
    """GetResources, TagResources, UntagResources. Left out: tag policies, and objects whose tags are all gone."""

    service = "resourcegroupstaggingapi"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def get_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        """Everything in the region whose tags match. Roles and users are not among it, as on AWS (API reference)."""
        from moto.core.resource_tagging import make_tag_matcher, match_resource_type

        types, arns = request.get("ResourceTypeFilters"), request.get("ResourceARNList")
        if arns and (types or request.get("TagFilters")):
            text = "ResourceARNList can not be combined with other filters."  # the wording is not verified
            raise AwsError("InvalidParameterException", text)
        matches = make_tag_matcher(request.get("TagFilters"))
        found = sorted(
            (arn, tags)
            for arn, tags in self._tagged()
            if tags and matches(tags) and match_resource_type(_type(arn), types) and (not arns or arn in arns)
        )
        start, size = int(request.get("PaginationToken") or 0), request.get("ResourcesPerPage", PAGE)
        page = [{"ResourceARN": arn, "Tags": _listed(tags)} for arn, tags in found[start : start + size]]
        more = start + size < len(found)
        return {"ResourceTagMappingList": page, "PaginationToken": str(start + size) if more else ""}

    def tag_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        """Add or overwrite tags; what could not be is in the answer."""

        def tag(tags: dict[str, str]) -> None:
            tags.update(request["Tags"])

        return self._each(request["ResourceARNList"], tag)

    def untag_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove tags; what could not be is in the answer."""

        def untag(tags: dict[str, str]) -> None:
            for key in request["TagKeys"]:
                tags.pop(key, None)

        return self._each(request["ResourceARNList"], untag)

    def _tagged(self) -> Iterator[tuple[str, dict[str, str]]]:
        from moto.core.resource_tagging import iter_taggable_backends

        for backend in iter_taggable_backends(self._cloud.account, self._cloud.region):
            for each in backend.iter_tagged_resources():
                if not UNTAGGED.match(each.arn):
                    yield each.arn, dict(each.tags)
        for id, tags in list(self._backend("ec2").tags.items()):
            if kind := MISSED.get(id.partition("-")[0]):
                yield self._cloud.arn(f"{kind}/{id}", "ec2"), dict(tags)
        events = self._backend("events")
        for bus in list(events.event_buses.values()):  # moto lists the buses alone
            for rule in list(bus.rules.values()):
                yield rule.arn, dict(events.tagger.get_tag_dict_for_resource(rule.arn))
        with self._cloud.lock:
            yield from [(arn, dict(tags)) for arn, tags in self._cloud.tags.items()]

    def _each(self, arns: list[str], change: Callable[[dict[str, str]], None]) -> dict[str, Any]:
        failed = {}
        for arn in arns:
            try:
                self._change(arn, change)
            except AwsError as error:
                failed[arn] = {"StatusCode": error.status, "ErrorCode": error.code, "ErrorMessage": error.message}
        return {"FailedResourcesMap": failed}

    def _change(self, arn: str, change: Callable[[dict[str, str]], None]) -> None:
        """By the tagging of the object's own service."""
        with self._cloud.lock:
            if arn in self._cloud.tags:
                change(self._cloud.tags[arn])
                return
        before = self._tags(arn)
        after = dict(before)
        change(after)
        gone = sorted(before.keys() - after.keys())
        new = {key: value for key, value in after.items() if before.get(key) != value}
        if ":role/" in arn:
            self._change_role(arn, gone, new)
            return
        backend = self._backend(arn.split(":")[2])
        if gone:
            backend.untag_resource(arn, gone)
        if new:
            backend.tag_resource(arn, new)

    def _change_role(self, arn: str, gone: list[str], new: Mapping[str, str]) -> None:
        iam, name = self._cloud.aws("iam"), arn.rpartition("/")[2]
        if gone:
            iam.untag_role(RoleName=name, TagKeys=gone)
        if new:
            iam.tag_role(RoleName=name, Tags=_listed(new))

    def _tags(self, arn: str) -> dict[str, str]:
        if ":role/" in arn:
            found = self._cloud.aws("iam").list_role_tags(RoleName=arn.rpartition("/")[2])["Tags"]
            return {each["Key"]: each["Value"] for each in found}
        for known, tags in self._tagged():
            if known == arn:
                return tags
        raise AwsError("InvalidParameterException", f"{arn} does not exist.")

    def _backend(self, service: str) -> Any:
        from moto.backends import get_backend

        regions: Any = get_backend(service)[self._cloud.account]
        return regions[self._cloud.partition if service == "s3" else self._cloud.region]


def _type(arn: str) -> str:
    """`s3:bucket`, `sagemaker:endpoint`: the service and the type of its resource, as filters name them."""
    service, resource = arn.split(":")[2], arn.split(":", 5)[5]
    kind = re.split("[:/]", resource)[0]
    return f"{service}:{'bucket' if service == 's3' else kind}"


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
