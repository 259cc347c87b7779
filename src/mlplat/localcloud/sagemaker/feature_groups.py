"""Feature groups as the control plane sees them: made, added to, deleted; the records are the runtime's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import AwsError, in_use, invalid, limit_exceeded, not_found
from mlplat.localcloud.sagemaker.glue_table import add_columns, make_table
from mlplat.localcloud.sagemaker.job_lists import Members, page
from mlplat.localcloud.sagemaker.roles import check_role

RESERVED = frozenset({"is_deleted", "write_time", "api_invocation_time"})
MOST_AT_ONCE = 4
"""Feature groups that an account may have in creation at the same time (Amazon SageMaker quotas)."""

CREATE = (
    "FeatureGroupName", "RecordIdentifierFeatureName", "EventTimeFeatureName", "FeatureDefinitions", "RoleArn",
    "Description", "OnlineStoreConfig", "OfflineStoreConfig", "ThroughputConfig",
)  # fmt: skip


class FeatureGroups:
    """CreateFeatureGroup and its siblings: Creating, Created, Deleting; features can only be added.

    A group in the store is what DescribeFeatureGroup answers. Deleting one leaves its offline files and Glue table.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._groups = cloud.store("feature_groups")

    def create_feature_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a group; when the Glue table can't be made, it ends CreateFailed."""
        name = request["FeatureGroupName"]
        _check_definitions(request)
        self._check_stores(request)
        with self._cloud.lock:
            if name in self._groups:
                raise in_use(
                    f"Resource Already Exists: FeatureGroup with name {name} already exists. Choose a different name."
                )
            if sum(each["FeatureGroupStatus"] == "Creating" for each in self._groups.values()) >= MOST_AT_ONCE:
                raise limit_exceeded(
                    f"The account-level service limit 'Maximum number of feature group creation workflows executing "
                    f"in parallel' is {MOST_AT_ONCE}."
                )  # wording not verified
            group = self._groups[name] = self._made(request)
            self._cloud.tag(group["FeatureGroupArn"], request.get("Tags"))
        self._cloud.later(lambda: self._finish(group))
        return {"FeatureGroupArn": group["FeatureGroupArn"]}

    def describe_feature_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """The group with all its features."""
        return find_feature_group(self._cloud, request["FeatureGroupName"])

    def list_feature_groups(self, request: dict[str, Any]) -> dict[str, Any]:
        """Groups by name, status and time."""
        wanted = {"StatusEquals": request.get("FeatureGroupStatusEquals")}
        asked = {**request, **{key: value for key, value in wanted.items() if value}}
        if asked.get("SortBy") == "FeatureGroupStatus":
            asked["SortBy"] = "Status"
        with self._cloud.lock:
            groups = [each for each in self._groups.values() if _offline_wanted(each, request)]
        found, token = page(groups, asked, Members("FeatureGroupName", "FeatureGroupStatus"))
        return {"FeatureGroupSummaries": found, "NextToken": token}

    def update_feature_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Add features, or change the online store's time to live and throughput. Nothing else can change."""
        with self._cloud.lock:
            group = find_feature_group(self._cloud, request["FeatureGroupName"])
            if group["FeatureGroupStatus"] != "Created" or _status_of_update(group) == "InProgress":
                name = group["FeatureGroupName"]
                raise invalid(f"FeatureGroup {name} is not in a state to be updated.")  # wording not verified
            additions = request.get("FeatureAdditions", [])
            if found := _of_update(group, request):
                raise invalid(found)  # wordings not verified
            _check_names([*group["FeatureDefinitions"], *additions])
            group["LastUpdateStatus"] = {"Status": "InProgress"}
            group["Update"] = dict(request)  # ours: a restart goes on with it
            group["LastModifiedTime"] = self._cloud.now()
        self._cloud.later(lambda: self._update(group, request))
        return {"FeatureGroupArn": group["FeatureGroupArn"]}

    def delete_feature_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete the group and its online records, in the background."""
        with self._cloud.lock:
            group = find_feature_group(self._cloud, request["FeatureGroupName"])
            group["FeatureGroupStatus"] = "Deleting"
        self._cloud.later(lambda: self._forget(group))
        return {}

    def resume(self) -> None:
        """After a restart: what was on its way arrives."""
        with self._cloud.lock:
            groups = list(self._groups.values())
        for group in groups:
            if group["FeatureGroupStatus"] == "Creating":
                self._cloud.later(partial(self._finish, group))
            elif group["FeatureGroupStatus"] == "Deleting":
                self._cloud.later(partial(self._forget, group))
            elif _status_of_update(group) == "InProgress":
                self._cloud.later(partial(self._update, group, group.get("Update", {})))

    def _check_stores(self, request: Mapping[str, Any]) -> None:
        online = request.get("OnlineStoreConfig", {}).get("EnableOnlineStore", False)
        offline = request.get("OfflineStoreConfig")
        if not online and not offline:
            raise invalid("Either OnlineStoreConfig or OfflineStoreConfig must be provided.")  # wording not verified
        if found := _of_tiers(request):
            raise invalid(found)  # wordings not verified
        if offline and not request.get("RoleArn"):
            raise invalid("RoleArn is required when OfflineStoreConfig is provided.")  # wording not verified
        if request.get("RoleArn"):
            check_role(self._cloud, request["RoleArn"])
        if offline:
            self._check_bucket(offline["S3StorageConfig"]["S3Uri"])

    def _check_bucket(self, uri: str) -> None:
        s3 = self._cloud.aws("s3")
        try:
            s3.head_bucket(Bucket=uri.removeprefix("s3://").split("/", 1)[0])
        except s3.exceptions.ClientError as error:
            raise invalid(f"Invalid S3Uri provided: {uri}") from error  # the rest of the wording not verified

    def _made(self, request: Mapping[str, Any]) -> dict[str, Any]:
        now, name = self._cloud.now(), request["FeatureGroupName"]
        group = {key: request[key] for key in CREATE if key in request}
        group |= {"FeatureGroupArn": self._cloud.arn(f"feature-group/{name}"), "FeatureGroupStatus": "Creating"}
        group |= {"CreationTime": now, "LastModifiedTime": now}
        if request.get("OnlineStoreConfig", {}).get("EnableOnlineStore"):
            group.setdefault("ThroughputConfig", {"ThroughputMode": "OnDemand"})
        if offline := request.get("OfflineStoreConfig"):
            group["OfflineStoreConfig"] = self._resolved(name, offline, int(now.timestamp()))
        return group

    def _resolved(self, name: str, offline: Mapping[str, Any], epoch: int) -> dict[str, Any]:
        """The offline store with what AWS fills in: where the files go, and the table's name in the catalog."""
        storage = offline["S3StorageConfig"]
        base, cloud = storage["S3Uri"].rstrip("/"), self._cloud
        path = f"{base}/{cloud.account}/sagemaker/{cloud.region}/offline-store/{name}-{epoch}/data"
        resolved = {
            "DisableGlueTableCreation": False,
            "TableFormat": "Glue",
            **offline,
            "S3StorageConfig": {**storage, "ResolvedOutputS3Uri": path},
        }
        if not resolved["DisableGlueTableCreation"] and "DataCatalogConfig" not in resolved:
            resolved["DataCatalogConfig"] = {
                "TableName": f"{name.replace('-', '_').lower()}_{epoch}",
                "Catalog": "AwsDataCatalog",
                "Database": "sagemaker_featurestore",
            }
        return resolved

    def _finish(self, group: dict[str, Any]) -> None:
        failure = self._refused_by_bucket(group) or make_table(self._cloud, group)
        with self._cloud.lock:
            if group["FeatureGroupStatus"] != "Creating":
                return
            group["LastModifiedTime"] = self._cloud.now()
            if failure:
                group |= {"FeatureGroupStatus": "CreateFailed", "FailureReason": failure}
                return
            if "OfflineStoreConfig" in group:
                group["OfflineStoreStatus"] = {"Status": "Active"}
            group["FeatureGroupStatus"] = "Created"

    def _refused_by_bucket(self, group: Mapping[str, Any]) -> str | None:
        """The group's role must be allowed s3:GetBucketAcl (developer guide, "Adding policies to your IAM role")."""
        offline = group.get("OfflineStoreConfig")
        if not offline or not self._cloud.host.enforce_iam:
            return None
        s3 = acting(self._cloud, group["RoleArn"]).aws("s3")
        try:
            s3.get_bucket_acl(Bucket=offline["S3StorageConfig"]["S3Uri"].removeprefix("s3://").split("/", 1)[0])
        except s3.exceptions.ClientError as error:
            return _quoted(error, "Amazon S3")
        return None

    def _update(self, group: dict[str, Any], request: Mapping[str, Any]) -> None:
        definitions = [*group["FeatureDefinitions"], *request.get("FeatureAdditions", ())]
        failure = None
        if "FeatureAdditions" in request:
            failure = self._refused_by_table({**group, "FeatureDefinitions": definitions})
        with self._cloud.lock:
            group["LastModifiedTime"] = self._cloud.now()
            group.pop("Update", None)
            group["LastUpdateStatus"] = {"Status": "Successful"}
            if failure:
                group["LastUpdateStatus"] = {"Status": "Failed", "FailureReason": failure}
                return
            group["FeatureDefinitions"] = definitions
            if online := request.get("OnlineStoreConfig"):
                group["OnlineStoreConfig"] = {**group.get("OnlineStoreConfig", {}), **online}
            if throughput := request.get("ThroughputConfig"):
                group["ThroughputConfig"] = {**group.get("ThroughputConfig", {}), **throughput}

    def _refused_by_table(self, group: Mapping[str, Any]) -> str | None:
        from botocore.exceptions import ClientError

        try:
            add_columns(acting(self._cloud, group.get("RoleArn", "")), group)
        except ClientError as error:
            return _quoted(error, "AWSGlue")
        return None

    def _forget(self, group: dict[str, Any]) -> None:
        with self._cloud.lock:
            if self._groups.get(group["FeatureGroupName"]) is group:
                del self._groups[group["FeatureGroupName"]]
                self._cloud.tags.pop(group["FeatureGroupArn"], None)


def _quoted(error: Any, service: str) -> str:
    """Another service's refusal, as seen in a FailureReason of AWS (amazon-sagemaker-examples, issue 2079)."""
    told, about = error.response["Error"], error.response["ResponseMetadata"]
    return (
        f"{told['Message']} (Service: {service}; Status Code: {about['HTTPStatusCode']}; Error Code: {told['Code']}; "
        f"Request ID: {about['RequestId']}; Proxy: null)"
    )


def _of_tiers(request: Mapping[str, Any]) -> str | None:
    """What doesn't go together. Developer guide, Feature Store: "Online store", "Offline store", "Throughput modes"."""
    online, offline = request.get("OnlineStoreConfig") or {}, request.get("OfflineStoreConfig")
    tier = online.get("StorageType", "Standard") if online.get("EnableOnlineStore") else None
    if tier == "InMemory" and offline:
        return "An offline store is not supported for feature groups with the InMemory online store."
    if tier != "InMemory" and any(each.get("CollectionType") for each in request["FeatureDefinitions"]):
        return "Collection types are supported only for feature groups with the InMemory online store."
    throughput = request.get("ThroughputConfig") or {}
    if throughput.get("ThroughputMode") == "Provisioned" and tier not in (None, "Standard"):
        return f"Provisioned throughput is not supported for feature groups with the {tier} online store."
    if offline and offline.get("TableFormat") == "Iceberg" and _type_of_time(request) != "String":
        return "The Iceberg table format requires an event time feature of type String."
    return None


def _of_update(group: Mapping[str, Any], request: Mapping[str, Any]) -> str | None:
    """What an update can't do. Botocore, OnlineStoreConfigUpdate: Standard to Standard_V2, one way."""
    there, online = group.get("OnlineStoreConfig") or {}, request.get("OnlineStoreConfig")
    if online is None:
        return None
    if not there.get("EnableOnlineStore"):
        return "The feature group has no online store."
    storage, wanted = there.get("StorageType", "Standard"), online.get("StorageType")
    if wanted not in (None, storage) and (storage, wanted) != ("Standard", "Standard_V2"):
        return f"The online store can't be migrated from {storage} to {wanted}."
    return None


def _type_of_time(request: Mapping[str, Any]) -> str | None:
    name = request["EventTimeFeatureName"]
    return next((each["FeatureType"] for each in request["FeatureDefinitions"] if each["FeatureName"] == name), None)


def find_feature_group(cloud: Cloud, name: str) -> dict[str, Any]:
    """The group of that name or ARN."""
    name = name.rpartition("/")[2]
    group: dict[str, Any] | None = cloud.store("feature_groups").get(name)
    if group is None:
        raise absent(name)
    return group


def absent(name: str) -> AwsError:
    """What SageMaker says of a feature group that isn't there."""
    return not_found(f"Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name [{name}].")


def _status_of_update(group: Mapping[str, Any]) -> str | None:
    status: str | None = group.get("LastUpdateStatus", {}).get("Status")
    return status


def _offline_wanted(group: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    wanted = request.get("OfflineStoreStatusEquals")
    return wanted is None or wanted == group.get("OfflineStoreStatus", {}).get("Status")


def _check_definitions(request: Mapping[str, Any]) -> None:
    """The rules of the API reference of CreateFeatureGroup; the wordings are not verified."""
    definitions = request["FeatureDefinitions"]
    types = {each["FeatureName"]: each["FeatureType"] for each in definitions}
    _check_names(definitions)
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if request[member] not in types:
            raise invalid(f"{member} {request[member]} is not in FeatureDefinitions.")
    if types[request["EventTimeFeatureName"]] not in ("String", "Fractional"):
        raise invalid("The EventTime feature must be of type String or Fractional.")


def _check_names(definitions: Iterable[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for each in definitions:
        name = each["FeatureName"]
        if name in seen:
            raise invalid(f"Feature {name} is defined more than once.")
        if name.lower() in RESERVED:
            raise invalid(f"Feature name {name} is reserved.")
        seen.add(name)
