"""The feature-store runtime: records in and out of the online store, and on their way to the offline store."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from time import time_ns
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.sagemaker.offline_store import OfflineStore
from mlplat.localcloud.sagemaker.record_schema import SECOND, Schema, invalid, seconds
from mlplat.localcloud.sagemaker.records import Online, Records, Values, Write

UPDATABLE = ("Standard_V2", "InMemory")
"""UpdateRecord is for these storage types of the online store only."""


class FeatureStoreRuntime:
    """PutRecord, GetRecord and their siblings; method names and shapes are boto3's.

    Reads feature groups from `cloud.store("feature_groups")`, in the shape of DescribeFeatureGroup's answer.
    """

    service = "sagemaker-featurestore-runtime"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        folder = cloud.folder / "feature-store"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.records = Records(folder / f"{cloud.account}-{cloud.region}.sqlite")
        self._offline = OfflineStore(cloud, self.records)
        self._schemas: dict[tuple[str, datetime, int, int | None], Schema] = {}

    def put_record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write a whole record: the newest event time wins online, every one is appended offline."""
        schema = self._schema(request["FeatureGroupName"], writing=True)
        write = _written(schema, request, request.get("TtlDuration"))
        self.records.put([write], _now())
        self._offline.expect(schema, write)
        return {}

    def batch_write_record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Up to 25 PutRecords; each that fails is answered in Errors, the others are written."""
        ttl, schemas = request.get("TtlDuration"), dict[str, Schema]()
        writes, errors = [], []
        for entry in request["Entries"]:
            name = entry["FeatureGroupName"]
            try:
                schema = schemas.get(name) or schemas.setdefault(name, self._schema(name, writing=True))
                writes.append((schema, _written(schema, entry, entry.get("TtlDuration") or ttl)))
            except AwsError as error:
                errors.append({"Entry": entry, "ErrorCode": error.code, "ErrorMessage": error.message})
        self.records.put([write for _, write in writes], _now())
        for schema, write in writes:
            self._offline.expect(schema, write)
        return {"Errors": errors, "UnprocessedEntries": []}

    def get_record(self, request: dict[str, Any]) -> dict[str, Any]:
        """The newest record; an answer without `Record` when there is none, or it is deleted or expired."""
        schema = self._readable(request["FeatureGroupName"])
        wanted = request.get("FeatureNames")
        schema.known(wanted or ())
        identifier = request["RecordIdentifierValueAsString"]
        found = self.records.get(schema.key, [identifier], _now()).get(identifier)
        if found is None or found.values is None:
            return {}
        return {"Record": _only(found.values, wanted), **_expiration(found, request)}

    def batch_get_record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Records of many groups; identifiers without a record are left out, groups that fail are in Errors."""
        answer: dict[str, Any] = {"Records": [], "Errors": [], "UnprocessedIdentifiers": []}
        for asked in request["Identifiers"]:
            try:
                answer["Records"] += self._records_of(asked, request)
            except AwsError as error:
                told = {"FeatureGroupName": asked["FeatureGroupName"], "ErrorCode": error.code}
                answer["Errors"] += [
                    {**told, "RecordIdentifierValueAsString": each, "ErrorMessage": error.message}
                    for each in asked["RecordIdentifiersValueAsString"]
                ]
        return answer

    def delete_record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Soft by default: GetRecord finds nothing any more, the offline store gets a row with `is_deleted`.

        "EventTime specified in DeleteRecord should be set later than the EventTime of the existing record. If it is
        not, the deletion does not occur" (API reference): soft answers 200 all the same, hard is a ValidationError.
        """
        schema = self._schema(request["FeatureGroupName"], writing=True)
        identifier = schema.identity(request["RecordIdentifierValueAsString"])
        event = schema.event(request["EventTime"])
        online, offline = schema.targets(request.get("TargetStores"))
        record = schema.marker(identifier, request["EventTime"])
        mark = Write(schema.key, identifier, event, record, schema.expires(event, None), online, offline)
        hard = request.get("DeletionMode") == "HardDelete"
        if not self.records.delete(mark, _now(), hard=hard) and hard and online:
            raise invalid("EventTime must be later than the EventTime of the existing record.")
        self._offline.expect(schema, mark)
        return {}

    def list_records(self, request: dict[str, Any]) -> dict[str, Any]:
        """Identifiers of the online store, a page at a time."""
        schema = self._readable(request["FeatureGroupName"])
        limit = request.get("MaxResults", 100)
        after = _page(request.get("NextToken"))
        deleted = bool(request.get("IncludeSoftDeletedRecords"))
        found = self.records.identifiers(schema.key, after, limit + 1, _now(), deleted=deleted)
        answer: dict[str, Any] = {"RecordIdentifiers": found[:limit]}
        if len(found) > limit:
            answer["NextToken"] = base64.urlsafe_b64encode(found[limit - 1].encode()).decode()
        return answer

    def update_record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change some features of a record that is there; an event time older than the record's is a conflict."""
        schema = self._readable(request["FeatureGroupName"])
        if schema.storage not in UPDATABLE:
            raise invalid(f"UpdateRecord is not supported for the storage type {schema.storage} of the online store.")
        identifier = schema.identity(request["RecordIdentifierValueAsString"])
        while True:
            found = self.records.get(schema.key, [identifier], _now()).get(identifier)
            if found is None or found.values is None:
                raise AwsError("ResourceNotFound", f"Record [{identifier}] is not in the online store.", 404)
            write = self._merged(schema, found, request)
            if self.records.replace(write, found.event, _now()):
                self._offline.expect(schema, write)
                return {}

    def _merged(self, schema: Schema, found: Online, request: dict[str, Any]) -> Write:
        changed = {each["FeatureName"]: each for each in request["Features"]}
        values = {each["FeatureName"]: each for each in found.values or ()} | changed
        write = _written(schema, {**request, "Record": list(values.values())}, request.get("TtlDuration"))
        if write.id != request["RecordIdentifierValueAsString"]:
            raise invalid(f"The record identifier [{schema.identifier}] can't be changed.")
        if write.event < found.event:
            raise AwsError("ConflictException", "EventTime is older than that of the existing record.", 409)
        return write

    def _records_of(self, asked: Mapping[str, Any], request: Mapping[str, Any]) -> list[dict[str, Any]]:
        schema = self._readable(asked["FeatureGroupName"])
        wanted = asked.get("FeatureNames")
        schema.known(wanted or ())
        ids = list(dict.fromkeys(asked["RecordIdentifiersValueAsString"]))
        found = self.records.get(schema.key, ids, _now())
        return [
            {
                "FeatureGroupName": asked["FeatureGroupName"],
                "RecordIdentifierValueAsString": id,
                "Record": _only(found[id].values or [], wanted),
                **_expiration(found[id], request),
            }
            for id in ids
            if id in found and found[id].values is not None
        ]

    def _readable(self, name_or_arn: str) -> Schema:
        schema = self._schema(name_or_arn)
        if not schema.online:
            raise invalid(f"FeatureGroup [{schema.name}] does not have the OnlineStore enabled.")
        return schema

    def _schema(self, name_or_arn: str, *, writing: bool = False) -> Schema:
        """The group's schema. An absent group is ValidationError for writes, ResourceNotFound for reads, as on AWS."""
        name = name_or_arn.rsplit("/", 1)[-1]
        group = self._cloud.store("feature_groups").get(name)
        if group is None or group.get("FeatureGroupStatus") not in ("Created", None):
            text = f"Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name [{name}]."
            raise invalid(text) if writing else AwsError("ResourceNotFound", text, 404)
        # All that an update can change: features are only ever added, and the time to live.
        ttl = (group.get("OnlineStoreConfig") or {}).get("TtlDuration")
        known = (name, group["CreationTime"], len(group["FeatureDefinitions"]), seconds(ttl))
        schema = self._schemas.get(known)
        if schema is None:
            schema = self._schemas[known] = Schema.of(group)
            self.records.keep_only(name, schema.key)
        return schema


def _written(schema: Schema, request: Mapping[str, Any], ttl: Mapping[str, Any] | None) -> Write:
    """What PutRecord and its siblings write, if the record fits its group."""
    identifier, event, record = schema.read(request["Record"])
    online, offline = schema.targets(request.get("TargetStores"))
    expires = schema.expires(event, ttl) if online else None
    return Write(schema.key, identifier, event, record, expires, online, offline)


def _only(values: Values, wanted: list[str] | None) -> Values:
    return values if not wanted else [each for each in values if each["FeatureName"] in wanted]


def _expiration(found: Online, request: Mapping[str, Any]) -> dict[str, str]:
    if found.expires is None or request.get("ExpirationTimeResponse") != "Enabled":
        return {}
    return {"ExpiresAt": datetime.fromtimestamp(found.expires / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _page(token: str | None) -> str:
    if token is None:
        return ""
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise invalid("Invalid NextToken.") from None


def _now() -> int:
    return time_ns() // 1000
