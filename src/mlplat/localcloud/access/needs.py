"""What a request needs: actions on resources, by the service authorization reference.

For the services that jobs, endpoints and functions call. Where a resource can't be told from the request, `ANY` asks
only whether the action is allowed somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mlplat.localcloud import kms, wire
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.policies import Context
from mlplat.localcloud.routing import Route

ANY = "any"


@dataclass(frozen=True)
class Need:
    """One action; being allowed it on one of the resources is enough (log groups are written in two ways)."""

    action: str
    resources: tuple[str, ...] = (ANY,)
    context: Context = field(default_factory=dict)


FREE = frozenset({("sts", "GetCallerIdentity")})
"""What nobody can be refused."""

S3_ACTIONS = {
    "HeadObject": "GetObject", "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject", "CompleteMultipartUpload": "PutObject", "CopyObject": "PutObject",
    "DeleteObjects": "DeleteObject", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket", "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts", "ListObjectVersions": "ListBucketVersions",
    "ListBuckets": "ListAllMyBuckets",
}  # fmt: skip
"""Actions that are not named as the operation is."""

SAGEMAKER_KINDS = {
    "TrainingJob": "training-job", "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "ProcessingJob": "processing-job", "TransformJob": "transform-job", "Model": "model", "Endpoint": "endpoint",
    "EndpointConfig": "endpoint-config", "FeatureGroup": "feature-group", "ModelPackageGroup": "model-package-group",
    "Pipeline": "pipeline",
}  # fmt: skip
"""Resource types by the member that names one."""


RECORD_ACTIONS = {"BatchWriteRecord": ("BatchWriteRecord", "PutRecord"), "UpdateRecord": ("PutRecord",)}
"""Developer guide, "Accessing data in your online store", which asks for kms:Decrypt on the store's key, too."""


def of(route: Route, cloud: Cloud) -> list[Need]:
    """Everything that the caller must be allowed."""
    service, operation = str(route.service), route.operation_name
    if (service, operation) in FREE:
        return []
    return list(_BY_SERVICE.get(service, _plain)(route, cloud))


def _plain(route: Route, _cloud: Cloud) -> Iterator[Need]:
    model = route.operation.service_model if route.operation is not None else None
    prefix = model.metadata.get("endpointPrefix", route.service) if model is not None else route.service
    prefix = _PREFIXES.get(str(route.service), prefix)
    yield Need(f"{prefix}:{route.operation_name}")
    if route.operation_name.startswith(("Create", "Update", "Put")):
        request = wire.parse(route)
        passed = [request[each] for each in ("Role", "RoleArn", "RoleARN") if ":role/" in str(request.get(each))]
        for role in passed:
            yield Need("iam:PassRole", (role,), {"iam:passedtoservice": [f"{prefix}.amazonaws.com"]})


def _s3(route: Route, cloud: Cloud) -> Iterator[Need]:
    request, operation = wire.parse(route), route.operation_name
    action, bucket, key = f"s3:{S3_ACTIONS.get(operation, operation)}", request.get("Bucket"), request.get("Key")
    base = f"arn:{cloud.partition}:s3:::"
    context = _s3_context(request)
    if operation == "DeleteObjects":
        for each in request.get("Delete", {}).get("Objects", ()):
            yield Need(action, (f"{base}{bucket}/{each['Key']}",), context)
        return
    yield Need(action, (f"{base}{bucket}/{key}" if key else f"{base}{bucket}" if bucket else "*",), context)
    if source := request.get("CopySource"):
        text = source if isinstance(source, str) else f"{source['Bucket']}/{source['Key']}"
        yield Need("s3:GetObject", (f"{base}{text.lstrip('/').partition('?')[0]}",), context)
    if key and action in ("s3:GetObject", "s3:PutObject"):
        yield from _encrypted(action, request, cloud)


def _s3_context(request: dict[str, Any]) -> dict[str, list[str]]:
    told = {
        "s3:prefix": request.get("Prefix"),
        "s3:x-amz-server-side-encryption": request.get("ServerSideEncryption"),
        "s3:x-amz-server-side-encryption-aws-kms-key-id": request.get("SSEKMSKeyId"),
        "s3:x-amz-acl": request.get("ACL"),
    }
    return {name: [str(value)] for name, value in told.items() if value is not None}


def _encrypted(action: str, request: dict[str, Any], cloud: Cloud) -> Iterator[Need]:
    """S3 uses the key in the caller's name (S3 user guide, "Using server-side encryption with AWS KMS keys")."""
    from moto.s3.models import s3_backends

    bucket = s3_backends[cloud.account][cloud.partition].buckets.get(request["Bucket"])
    if bucket is None:
        return
    if action == "s3:GetObject":
        found = bucket.keys.get(request["Key"])
        used, key = getattr(found, "encryption", None), getattr(found, "kms_key_id", None)
    else:
        rule = ((bucket.encryption or {}).get("Rule") or {}).get("ApplyServerSideEncryptionByDefault", {})
        used = request.get("ServerSideEncryption") or rule.get("SSEAlgorithm")
        key = request.get("SSEKMSKeyId") or rule.get("KMSMasterKeyID")
    if used in ("aws:kms", "aws:kms:dsse") and key:
        yield _kms_need("kms:Decrypt" if action == "s3:GetObject" else "kms:GenerateDataKey", key, cloud)


def _kms_need(action: str, key: str, cloud: Cloud) -> Need:
    from moto.kms.models import kms_backends

    found = kms.find_key(kms_backends[cloud.account][cloud.region], key)
    return Need(action, (found.arn if found is not None else cloud.arn(f"key/{key}", "kms"),))


def _kms(route: Route, cloud: Cloud) -> Iterator[Need]:
    key = wire.parse(route).get("KeyId")
    yield _kms_need(f"kms:{route.operation_name}", key, cloud) if key else Need(f"kms:{route.operation_name}")


def _logs(route: Route, cloud: Cloud) -> Iterator[Need]:
    """Groups are named with and without `:*` in policies; streams below them."""
    request = wire.parse(route)
    group, stream = request.get("logGroupName"), request.get("logStreamName")
    if group is None:
        yield Need(f"logs:{route.operation_name}")
        return
    arn = cloud.arn(f"log-group:{group}", "logs")
    found = (f"{arn}:log-stream:{stream}",) if stream else (arn, f"{arn}:*", f"{arn}:log-stream:")
    yield Need(f"logs:{route.operation_name}", found)


def _cloudwatch(route: Route, _cloud: Cloud) -> Iterator[Need]:
    namespace = wire.parse(route).get("Namespace")
    context = {"cloudwatch:namespace": [namespace]} if namespace else {}
    yield Need(f"cloudwatch:{route.operation_name}", ("*",) if namespace else (ANY,), context)


def _sagemaker(route: Route, cloud: Cloud) -> Iterator[Need]:
    request, operation = wire.parse(route), route.operation_name
    named = [
        value if str(value).startswith("arn:") else cloud.arn(f"{SAGEMAKER_KINDS[kind]}/{_called(kind, value)}")
        for name, value in request.items()
        if name.endswith("Name") and (kind := name.removesuffix("Name")) in SAGEMAKER_KINDS
        and _concerns(operation, kind)
    ]  # fmt: skip
    named += [request["PipelineExecutionArn"]] if "PipelineExecutionArn" in request else []
    resources, context = tuple(named) or (ANY,), _tags(request.get("Tags"))
    yield Need(f"sagemaker:{operation}", resources, context)
    if operation.startswith("Create") and request.get("Tags"):  # developer guide, "Provide permissions for tagging"
        yield Need("sagemaker:AddTags", resources, context)
    if operation.startswith(("Create", "Update")):
        for member in ("RoleArn", "ExecutionRoleArn"):
            if member in request:
                context = {"iam:passedtoservice": ["sagemaker.amazonaws.com"]}
                yield Need("iam:PassRole", (request[member],), context)


def _called(kind: str, name: Any) -> str:
    """As ARNs write names: in lower case, but for those of pipelines."""
    return str(name) if kind == "Pipeline" else str(name).lower()


def _tags(given: Any) -> Context:
    """What conditions on tags ask for (IAM user guide, "Controlling access to AWS resources using tags")."""
    tags = {each["Key"]: each.get("Value", "") for each in given or ()}
    keys = {"aws:tagkeys": list(tags)} if tags else {}
    return {**{f"aws:requesttag/{key}".lower(): [value] for key, value in tags.items()}, **keys}


def _concerns(operation: str, kind: str) -> bool:
    """CreateEndpoint is about the endpoint, not about the config that it names; records are about their group."""
    return re.sub(r"^[A-Z][a-z]+", "", operation).startswith(kind) or kind == "FeatureGroup"


def _runtime(route: Route, cloud: Cloud) -> Iterator[Need]:
    name = wire.parse(route)["EndpointName"]
    yield Need(f"sagemaker:{route.operation_name}", (cloud.arn(f"endpoint/{name.lower()}"),))


def _records(route: Route, cloud: Cloud) -> Iterator[Need]:
    request = wire.parse(route)
    inside = [each.get("FeatureGroupName") for each in request.get("Identifiers", request.get("Entries", ()))]
    for name in {request.get("FeatureGroupName"), *inside} - {None}:
        arn = name if str(name).startswith("arn:") else cloud.arn(f"feature-group/{str(name).lower()}")
        for action in RECORD_ACTIONS.get(route.operation_name, (route.operation_name,)):
            yield Need(f"sagemaker:{action}", (str(arn),))
        yield from _sealed(str(name).rpartition("/")[2], cloud)


def _sealed(group: str, cloud: Cloud) -> Iterator[Need]:
    """The key of the online store, if the group has one of its own."""
    with cloud.lock:
        found = cloud.store("feature_groups").get(group, {})
        key = found.get("OnlineStoreConfig", {}).get("SecurityConfig", {}).get("KmsKeyId")
    if key:
        yield _kms_need("kms:Decrypt", key, cloud)


def _athena(route: Route, cloud: Cloud) -> Iterator[Need]:
    """A query belongs to the work group that it was started in."""
    request = wire.parse(route)
    with cloud.lock:
        query = cloud.store("query_executions").get(request.get("QueryExecutionId", ""), {})
        group = request.get("WorkGroup") or query.get("WorkGroup")
    yield Need(f"athena:{route.operation_name}", (cloud.arn(f"workgroup/{group}", "athena"),) if group else (ANY,))


def _glue(route: Route, cloud: Cloud) -> Iterator[Need]:
    """The resource and all that it is in (developer guide, "Resources that you can use in AWS Glue policies")."""
    request, action = wire.parse(route), f"glue:{route.operation_name}"
    database, table = request.get("DatabaseName"), request.get("TableName") or request.get("TableInput", {}).get("Name")
    if "Table" in route.operation_name:
        table = table or request.get("Name")
    elif "Database" in route.operation_name:
        database = request.get("Name") or request.get("DatabaseInput", {}).get("Name")
    if not (database or "Database" in route.operation_name):
        yield Need(action)
        return
    yield Need(action, (cloud.arn("catalog", "glue"),))
    if database:
        yield Need(action, (cloud.arn(f"database/{database}", "glue"),))
    if database and table:
        yield Need(action, (cloud.arn(f"table/{database}/{table}", "glue"),))


def _sts(route: Route, _cloud: Cloud) -> Iterator[Need]:
    role = wire.parse(route).get("RoleArn")
    yield Need(f"sts:{route.operation_name}", (role,) if role else (ANY,))


_PREFIXES = {"resourcegroupstaggingapi": "tag", "stepfunctions": "states", "service-quotas": "servicequotas"}

_BY_SERVICE: dict[str, Callable[[Route, Cloud], Iterator[Need]]] = {
    "s3": _s3,
    "kms": _kms,
    "logs": _logs,
    "cloudwatch": _cloudwatch,
    "sagemaker": _sagemaker,
    "sagemaker-runtime": _runtime,
    "sagemaker-featurestore-runtime": _records,
    "athena": _athena,
    "glue": _glue,
    "sts": _sts,
}
