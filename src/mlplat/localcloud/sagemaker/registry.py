"""The model registry: model package groups, and the versions in them with their approval."""

from __future__ import annotations

from functools import partial
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import conflict, invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page

GROUP = Members("ModelPackageGroupName", "ModelPackageGroupStatus")
PACKAGE = Members("ModelPackageName", "ModelPackageStatus")

UPDATABLE = (
    "ModelApprovalStatus", "ModelPackageRegistrationType", "ApprovalDescription", "InferenceSpecification",
    "SourceUri", "ModelCard", "ModelLifeCycle",
)  # fmt: skip
NOT_KEPT = ("Tags", "ClientToken", "ModelPackageName", "ModelPackageGroupName")


class ModelPackageGroups:
    """CreateModelPackageGroup and its siblings. Pending, then Completed; deletion takes its time, too."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._groups = cloud.store("model_package_groups")

    def create_model_package_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a group."""
        name = request["ModelPackageGroupName"]
        arn = self._cloud.arn(f"model-package-group/{name}")
        with self._cloud.lock:
            if name in self._groups:
                raise invalid(f"Model Package Group already exists: {arn}")
            now = self._cloud.now()
            group = {key: value for key, value in request.items() if key != "Tags"}
            group |= {"ModelPackageGroupArn": arn, "CreationTime": now, "LastModifiedTime": now}
            group |= {"ModelPackageGroupStatus": "Pending", "CreatedBy": created_by(self._cloud), "versions": 0}
            self._groups[name] = group
            self._cloud.tag(arn, request.get("Tags"))
        self._cloud.later(lambda: self._complete(group))
        return {"ModelPackageGroupArn": arn}

    def describe_model_package_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """The group, by name or ARN."""
        return find_group(self._cloud, request["ModelPackageGroupName"])

    def list_model_package_groups(self, request: dict[str, Any]) -> dict[str, Any]:
        """Groups by name and time, oldest first unless told otherwise."""
        with self._cloud.lock:
            found, token = page(list(self._groups.values()), request, GROUP)
        return {"ModelPackageGroupSummaryList": found, "NextToken": token}

    def delete_model_package_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete an empty group, in the background."""
        with self._cloud.lock:
            group = find_group(self._cloud, request["ModelPackageGroupName"])
            if any(each.get("ModelPackageGroupName") == group["ModelPackageGroupName"] for each in self._packages()):
                arn = group["ModelPackageGroupArn"]
                raise conflict(f"Model Package Group {arn} cannot be deleted while it contains model packages.")
            group["ModelPackageGroupStatus"] = "Deleting"
        self._cloud.later(lambda: self._forget(group))
        return {}

    def resume(self) -> None:
        """After a restart: what was on its way arrives."""
        with self._cloud.lock:
            groups = list(self._groups.values())
        for group in groups:
            if group["ModelPackageGroupStatus"] == "Pending":
                self._cloud.later(partial(self._complete, group))
            elif group["ModelPackageGroupStatus"] == "Deleting":
                self._cloud.later(partial(self._forget, group))

    def _packages(self) -> list[dict[str, Any]]:
        return list(self._cloud.store("model_packages").values())

    def _complete(self, group: dict[str, Any]) -> None:
        with self._cloud.lock:
            if group["ModelPackageGroupStatus"] == "Pending":
                group["ModelPackageGroupStatus"] = "Completed"

    def _forget(self, group: dict[str, Any]) -> None:
        with self._cloud.lock:
            if self._groups.get(group["ModelPackageGroupName"]) is group:
                del self._groups[group["ModelPackageGroupName"]]
                self._cloud.tags.pop(group["ModelPackageGroupArn"], None)


class ModelPackages:
    """CreateModelPackage and its siblings. In a group a package is the next version; a number is never used twice."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._packages = cloud.store("model_packages")

    def create_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        """Register a version in a group, or a package with a name of its own."""
        tokens, token = self._cloud.store("model_package_tokens"), str(request.get("ClientToken", ""))
        with self._cloud.lock:
            if tokens.get(token) in self._packages:
                return {"ModelPackageArn": tokens[token]}  # the same call, sent again
            package = self._identity(request)
            arn = package["ModelPackageArn"]
            if arn in self._packages:
                raise invalid(f"Model Package already exists: {arn}")  # wording not verified
            now = self._cloud.now()
            package |= {key: value for key, value in request.items() if key not in NOT_KEPT}
            package |= {"CreationTime": now, "LastModifiedTime": now, "CreatedBy": created_by(self._cloud)}
            package |= {"ModelPackageStatus": "Completed", "ModelPackageStatusDetails": {"ValidationStatuses": []}}
            package.setdefault("CertifyForMarketplace", False)
            self._packages[arn] = package
            tokens |= {token: arn} if token else {}
            self._cloud.tag(arn, request.get("Tags"))
        return {"ModelPackageArn": arn}

    def describe_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        """The package, by ARN or by name."""
        return self._package(request["ModelPackageName"])

    def batch_describe_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        """Many packages at once; those that aren't there are errors of their own."""
        found = {arn: self._packages[arn] for arn in request["ModelPackageArnList"] if arn in self._packages}
        missing = [arn for arn in request["ModelPackageArnList"] if arn not in found]
        errors = {
            arn: {"ErrorCode": "ValidationException", "ErrorResponse": f"ModelPackage {arn} does not exist."}
            for arn in missing
        }
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": errors}

    def list_model_packages(self, request: dict[str, Any]) -> dict[str, Any]:
        """Packages: versions of a group when it is named, else (unless told otherwise) those without a group."""
        with self._cloud.lock:
            chosen = [each for each in self._packages.values() if self._wanted(each, request)]
        if request.get("SortOrder") == "Descending":
            chosen.reverse()  # of two made in the same millisecond, the later one first
        found, token = page(chosen, request, PACKAGE)
        return {"ModelPackageSummaryList": found, "NextToken": token}

    def update_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        """Approve, reject, describe: whatever the request names."""
        with self._cloud.lock:
            package = self._package(request["ModelPackageArn"])
            package.update({key: request[key] for key in UPDATABLE if key in request})
            properties = package.get("CustomerMetadataProperties", {}) | request.get("CustomerMetadataProperties", {})
            for key in request.get("CustomerMetadataPropertiesToRemove", ()):
                properties.pop(key, None)
            package["CustomerMetadataProperties"] = properties or None
            if added := request.get("AdditionalInferenceSpecificationsToAdd"):
                package["AdditionalInferenceSpecifications"] = [
                    *package.get("AdditionalInferenceSpecifications", ()),
                    *added,
                ]
            package |= {"LastModifiedTime": self._cloud.now(), "LastModifiedBy": created_by(self._cloud)}
            return {"ModelPackageArn": package["ModelPackageArn"]}

    def delete_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete the package, approved or not."""
        with self._cloud.lock:
            package = self._package(request["ModelPackageName"])
            del self._packages[package["ModelPackageArn"]]
            self._cloud.tags.pop(package["ModelPackageArn"], None)
        return {}

    def _identity(self, request: dict[str, Any]) -> dict[str, Any]:
        if "ModelPackageGroupName" not in request:
            if "ModelPackageName" not in request:
                raise invalid("One of ModelPackageName or ModelPackageGroupName must be provided.")  # not verified
            name = request["ModelPackageName"]
            return {"ModelPackageName": name, "ModelPackageArn": package_arn(self._cloud, name)}
        group = find_group(self._cloud, request["ModelPackageGroupName"])
        if group["ModelPackageGroupStatus"] != "Completed":
            raise conflict(f"Model Package Group {group['ModelPackageGroupArn']} is not ready.")  # wording not verified
        group["versions"] += 1
        name = group["ModelPackageGroupName"]
        return {
            "ModelPackageName": name,  # AWS answers with the group's name for a version
            "ModelPackageGroupName": name,
            "ModelPackageVersion": group["versions"],
            "ModelPackageArn": package_arn(self._cloud, f"{name}/{group['versions']}"),
            "ModelApprovalStatus": "PendingManualApproval",
        }

    def _package(self, name: str) -> dict[str, Any]:
        arn = package_arn(self._cloud, name)
        package: dict[str, Any] | None = self._packages.get(arn)
        if package is None:
            raise invalid(f"ModelPackage {arn} does not exist.")
        return package

    def _wanted(self, package: dict[str, Any], request: dict[str, Any]) -> bool:
        group, kind = request.get("ModelPackageGroupName"), request.get("ModelPackageType", "Unversioned")
        named = package.get("ModelPackageGroupName")
        if group is not None and named != find_group(self._cloud, group)["ModelPackageGroupName"]:
            return False
        if group is None and kind != "Both" and (kind == "Versioned") != (named is not None):
            return False
        approval = request.get("ModelApprovalStatus")
        return approval is None or approval == package.get("ModelApprovalStatus")


def package_arn(cloud: Cloud, name: str) -> str:
    """The ARN of a package, if it isn't one already: in lower case, whatever its name is (moto's tests have it so)."""
    return name if name.startswith("arn:") else cloud.arn(f"model-package/{name.lower()}")


def find_group(cloud: Cloud, name: str) -> dict[str, Any]:
    """The group of that name or ARN."""
    name = name.rpartition("/")[2]
    group: dict[str, Any] | None = cloud.store("model_package_groups").get(name)
    if group is None:
        raise invalid(f"ModelPackageGroup {cloud.arn(f'model-package-group/{name}')} does not exist.")
    return group


def created_by(cloud: Cloud) -> dict[str, Any]:
    """Who the local cloud takes every caller for."""
    identity = {"Arn": f"arn:{cloud.partition}:iam::{cloud.account}:root", "PrincipalId": cloud.account}
    return {"IamIdentity": identity}
