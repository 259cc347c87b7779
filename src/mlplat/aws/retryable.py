"""The table of refusals that pass by themselves: which service says what, at which operations, for how long.

The client of a service repeats a call that is refused so (`Client`), and nothing else: the same words at another
operation are final at once. Rows that are `asked` are the truth of most objects and a quirk only of some (one that was
made a moment ago, one that has to be looked at before each attempt): those wait for `Session.patiently`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mlplat.errors import ApiError


class Passing(NamedTuple):
    """A refusal that passes by itself."""

    service: str
    operations: tuple[str, ...]
    """Where it can occur, by boto3's method names."""
    codes: tuple[str, ...]
    """In any case: EC2 writes InvalidSubnetID.NotFound and InvalidSubnetId.NotFound."""
    words: str
    """What the message holds. "": the code says it all."""
    within: float
    """Seconds until it is taken for final."""
    source: str
    asked: bool = False
    """Only where a kind asks for it, with `Session.patiently`."""
    status: int = 400


MINUTE = 60.0
TF = "terraform-provider-aws internal/service/"

_UNKNOWN_ID = 'EC2 developer guide, "Eventual consistency"; ' + TF + "ec2"
_VPC = ("InvalidVpcID.NotFound",)
_SUBNET = ("InvalidSubnetID.NotFound",)
_TABLE = ("InvalidRouteTableID.NotFound",)
_GROUP = ("InvalidGroup.NotFound", "InvalidGroupId.NotFound", "InvalidSecurityGroupID.NotFound")
_GATEWAY = ("InvalidInternetGatewayID.NotFound", "InvalidGatewayID.NotFound")
_NAT = ("InvalidNatGatewayID.NotFound", "NatGatewayNotFound")
_ADDRESS = ("InvalidAllocationID.NotFound", "InvalidElasticIpID.NotFound")
_ENDPOINT = ("InvalidVpcEndpointId.NotFound", "InvalidVpcEndpoint.NotFound")
_PREFIXES = ("InvalidPrefixListID.NotFound", "InvalidPrefixListId.NotFound")
_RULES = (
    "authorize_security_group_ingress", "authorize_security_group_egress",
    "revoke_security_group_ingress", "revoke_security_group_egress",
)  # fmt: skip


def _fresh_id(codes: tuple[str, ...], *operations: str, asked: bool = False) -> Passing:
    """An id made a moment ago isn't known everywhere in EC2."""
    return Passing("ec2", operations, codes, "", 2 * MINUTE, _UNKNOWN_ID, asked)


EC2 = (
    _fresh_id(_VPC, "create_subnet", "create_security_group", "create_route_table", "modify_vpc_attribute"),
    _fresh_id((*_GATEWAY, *_VPC), "attach_internet_gateway"),
    _fresh_id(_SUBNET, "modify_subnet_attribute", "describe_subnets"),
    _fresh_id((*_SUBNET, *_TABLE), "associate_route_table", "replace_route_table_association"),
    _fresh_id((*_TABLE, *_GATEWAY, *_NAT), "create_route", "replace_route"),
    _fresh_id((*_SUBNET, *_ADDRESS), "create_nat_gateway"),
    _fresh_id((*_VPC, *_SUBNET, *_TABLE, *_GROUP), "create_vpc_endpoint"),
    _fresh_id((*_ENDPOINT, *_SUBNET, *_TABLE, *_GROUP), "modify_vpc_endpoint"),
    _fresh_id((*_GROUP, *_PREFIXES), *_RULES),
    _fresh_id((*_VPC, *_SUBNET, *_TABLE, *_GROUP, *_GATEWAY, *_NAT, *_ENDPOINT), "create_tags", asked=True),
    _fresh_id(_VPC, "create_flow_logs", asked=True),
    Passing("ec2", ("create_flow_logs",), ("InvalidParameter",), "Unable to assume given IAM role", 2 * MINUTE,
            TF + "ec2/vpc_flow_log.go", asked=True),
    Passing("ec2", ("create_vpc_endpoint", "modify_vpc_endpoint"), ("InvalidParameter",), "conflicting DNS domain",
            2 * MINUTE, "AWS's words: the private DNS name of an endpoint deleted a moment ago is still taken"),
    Passing("ec2", ("delete_vpc", "delete_internet_gateway", "delete_route_table"), ("DependencyViolation",), "",
            5 * MINUTE, TF + "ec2: what used it is still going away"),
    Passing("ec2", ("delete_subnet", "delete_security_group", "detach_internet_gateway"), ("DependencyViolation",), "",
            15 * MINUTE, TF + "ec2 #34397, #26090: network interfaces outlive their endpoints"),
    Passing("ec2", ("delete_security_group",), ("InvalidGroup.InUse",), "", 15 * MINUTE, TF + "ec2 #34397"),
    Passing("ec2", ("release_address",), ("InvalidIPAddress.InUse",), "", 10 * MINUTE, TF + "ec2", asked=True),
    Passing("ec2", ("release_address",), ("AuthFailure",), "do not have permission", 10 * MINUTE,
            "kops #1604: even after its NAT gateway reads deleted; of a released address it is the truth", asked=True),
)  # fmt: skip
"""The asked ones: flow logs are refused in an answer with status 200, an address is looked at before each attempt."""

_PARTS = (
    "put_bucket_policy", "put_bucket_encryption", "put_bucket_versioning", "put_public_access_block",
    "put_bucket_lifecycle_configuration", "put_bucket_tagging", "put_bucket_ownership_controls",
    "put_bucket_notification_configuration", "delete_bucket_lifecycle", "delete_bucket_policy",
)  # fmt: skip

S3 = (
    Passing("s3", ("create_bucket",), ("OperationAborted",), "", 60 * MINUTE,
            "aws-cli #2593: the name of a bucket deleted just now, for up to an hour", status=409),
    Passing("s3", ("delete_bucket", *_PARTS), ("OperationAborted",), "", 2 * MINUTE,
            TF + "s3 #7628: parts of one bucket written at once", status=409),
    Passing("s3", ("put_bucket_policy",), ("MalformedPolicy",), "nvalid principal", 2 * MINUTE,
            TF + "s3/bucket_policy.go: names a role made seconds ago"),
    Passing("s3", _PARTS, ("NoSuchBucket",), "", 2 * MINUTE, TF + "s3: a bucket made just now", asked=True, status=404),
    Passing("s3", ("delete_objects",), ("InternalError", "SlowDown", "ServiceUnavailable", "503"), "", 2 * MINUTE,
            "S3 API reference, DeleteObjects: errors of single objects, in an answer with status 200", asked=True),
)  # fmt: skip

KMS = (
    Passing("kms", ("create_key", "put_key_policy"), ("MalformedPolicyDocumentException",), "nvalid principal",
            2 * MINUTE, TF + "kms/key.go: names a role made seconds ago"),
    Passing("kms", ("enable_key_rotation", "disable_key_rotation", "create_alias"), ("NotFoundException",),
            "", 2 * MINUTE, TF + "kms/key.go: a key made just now", asked=True),
    Passing("kms", ("enable_key_rotation", "disable_key_rotation"), ("DisabledException",), "", 2 * MINUTE,
            TF + "kms/key.go: a key enabled just now", asked=True),
)  # fmt: skip

IAM = (
    Passing("iam", ("create_role", "update_assume_role_policy"), ("MalformedPolicyDocument",), "nvalid principal",
            2 * MINUTE, TF + "iam/role.go: names a role made seconds ago"),
    Passing("iam", ("create_role", "tag_role", "untag_role", "delete_role", "create_policy", "tag_policy"),
            ("ConcurrentModification",), "", 2 * MINUTE, "botocore's errors of these operations", status=409),
    Passing("iam", ("put_role_policy",), ("NoSuchEntity",), "", 2 * MINUTE,
            TF + "iam/role.go: a role made just now", asked=True, status=404),
    Passing("iam", ("delete_role",), ("DeleteConflict",), "", 2 * MINUTE,
            TF + "iam/role.go: an attachment removed just now still counts", status=409),
)  # fmt: skip

GLUE = (
    Passing("glue", ("create_database", "update_database", "delete_database", "create_table", "update_table",
                     "delete_table", "batch_delete_table"),
            ("ConcurrentModificationException",), "", 2 * MINUTE, "botocore's errors of these operations"),
    Passing("glue", ("create_crawler", "update_crawler", "create_job", "update_job"), ("InvalidInputException",),
            "unable to assume provided role", 2 * MINUTE, TF + "glue/crawler.go: a role made seconds ago"),
    Passing("glue", ("create_crawler",), ("InvalidInputException",), "in deleting state", 2 * MINUTE,
            "AWS's words: tags of a crawler of that name, deleted just now"),
)  # fmt: skip

LOGS = (
    Passing("logs", ("create_log_group", "delete_log_group", "put_retention_policy", "delete_retention_policy",
                     "associate_kms_key", "disassociate_kms_key", "put_metric_filter", "put_resource_policy"),
            ("OperationAbortedException",), "", 2 * MINUTE, TF + "logs/group.go; botocore's errors of these"),
    Passing("logs", ("create_log_group", "associate_kms_key"), ("AccessDeniedException",),
            "KMS key does not exist or is not allowed", 2 * MINUTE,
            "CloudWatch Logs user guide: a key whose policy has not reached it yet"),
    Passing("logs", ("put_retention_policy",), ("ResourceNotFoundException",), "", 2 * MINUTE,
            "a group made just now", asked=True),
)  # fmt: skip

_FRESH_ROLE = (
    "create_model", "create_feature_group", "create_training_job", "create_hyper_parameter_tuning_job",
    "create_processing_job", "create_notebook_instance", "create_pipeline", "update_pipeline",
    "create_mlflow_tracking_server", "create_monitoring_schedule", "create_data_quality_job_definition",
    "create_model_quality_job_definition",
)  # fmt: skip

SAGEMAKER = (
    Passing("sagemaker", _FRESH_ROLE, ("ValidationException",), "Could not assume role", 2 * MINUTE,
            TF + "sagemaker/model.go: a role made seconds ago"),
    Passing("sagemaker", _FRESH_ROLE, ("ValidationException",), "execution role ARN is invalid", 2 * MINUTE,
            TF + "sagemaker/feature_group.go"),
    Passing("sagemaker", ("create_feature_group",), ("ValidationException",), "Invalid S3Uri provided", 2 * MINUTE,
            TF + "sagemaker/feature_group.go: the role's permissions on the bucket have not arrived"),
    Passing("sagemaker", ("create_endpoint", "update_endpoint"), ("ValidationException",),
            "Could not find endpoint configuration", 2 * MINUTE, "API reference, CreateEndpoint: made just now"),
    Passing("sagemaker", ("create_endpoint_config",), ("ValidationException",), "Could not find model ", 2 * MINUTE,
            "API reference, CreateEndpoint: reads are eventually consistent"),
    Passing("sagemaker", ("update_endpoint", "update_endpoint_weights_and_capacities", "delete_endpoint"),
            ("ValidationException",), "Cannot update in-progress endpoint", 120 * MINUTE,
            "ACK sagemaker-controller: another update, or maintenance; as long as an update takes"),
    Passing("sagemaker", ("create_model_package", "update_model_package", "update_pipeline",
                          "start_pipeline_execution"),
            ("ConflictException",), "", MINUTE, "botocore's errors of these operations: two writes at once"),
    Passing("sagemaker", ("delete_model_package_group",), ("ConflictException",), "", MINUTE,
            "versions deleted a moment ago still count, though they are listed no more", asked=True),
)  # fmt: skip

EVENTS = (
    Passing("events", ("put_rule", "put_targets", "remove_targets", "delete_rule", "tag_resource", "enable_rule",
                       "disable_rule"),
            ("ConcurrentModificationException",), "", 2 * MINUTE, "botocore's errors of these operations"),
    Passing("events", ("put_rule", "put_targets"), ("ValidationException",), "cannot be assumed by principal",
            2 * MINUTE, TF + "events/rule.go: a role made seconds ago"),
    Passing("events", ("delete_rule",), ("ValidationException",), "Rule can't be deleted since it has targets",
            2 * MINUTE, TF + "events/rule.go: targets removed a moment ago still count"),
    Passing("scheduler", ("create_schedule", "update_schedule"), ("ValidationException",),
            "must allow AWS EventBridge Scheduler to assume the role", 2 * MINUTE, TF + "scheduler/schedule.go"),
)  # fmt: skip

_FUNCTION = (
    "create_function", "update_function_code", "update_function_configuration", "publish_version", "create_alias",
    "update_alias", "delete_alias", "add_permission", "delete_function", "tag_resource",
    "put_function_concurrency",
)  # fmt: skip

LAMBDA = (
    Passing("lambda", ("create_function", "update_function_configuration"), ("InvalidParameterValueException",),
            "cannot be assumed by Lambda", 2 * MINUTE, TF + "lambda/function.go: a role made seconds ago"),
    Passing("lambda", ("create_function", "update_function_configuration"), ("InvalidParameterValueException",),
            "KMS key is invalid for CreateGrant", 2 * MINUTE, TF + "lambda/function.go: a grant that has not arrived"),
    Passing("lambda", _FUNCTION, ("ResourceConflictException",), "in progress", 5 * MINUTE,
            TF + "lambda/function.go: another update of the function", status=409),
)  # fmt: skip

SCALING = (
    Passing("application-autoscaling", ("register_scalable_target", "deregister_scalable_target", "put_scaling_policy",
                                        "delete_scaling_policy"),
            ("ConcurrentUpdateException",), "", 2 * MINUTE, "botocore's errors of these operations"),
    Passing("application-autoscaling", ("register_scalable_target",), ("ValidationException",),
            "Unable to assume IAM role", 2 * MINUTE, TF + "appautoscaling/target.go: a role made seconds ago"),
)  # fmt: skip

API_GATEWAY = (
    Passing("apigateway", ("create_resource", "delete_resource", "put_method", "delete_method", "put_integration",
                           "put_method_response", "put_integration_response", "create_deployment", "delete_deployment",
                           "create_stage", "update_stage", "delete_stage", "update_rest_api", "delete_rest_api"),
            ("ConflictException",), "concurrent modification", 2 * MINUTE,
            "AWS's words: Unable to complete operation due to concurrent modification", status=409),
)  # fmt: skip
"""A ConflictException with other words says that there is one of that name already."""

TABLE = (*EC2, *S3, *KMS, *IAM, *GLUE, *LOGS, *SAGEMAKER, *EVENTS, *LAMBDA, *SCALING, *API_GATEWAY)


def rows(service: str, operation: str, *, asked: bool) -> Iterator[Passing]:
    """What `operation` may be refused with and pass; with `asked`, also what only some callers may wait for."""
    return (row for row in TABLE if row.service == service and operation in row.operations and (asked or not row.asked))


def patience(error: BaseException, *, asked: bool) -> float:
    """For how many seconds a refusal may be waited out: 0 when it is final."""
    if not isinstance(error, ApiError):
        return 0.0
    found = rows(error.service, error.operation, asked=asked)
    return max((row.within for row in found if _says(row, error)), default=0.0)


def _says(row: Passing, error: ApiError) -> bool:
    return error.code.casefold() in {code.casefold() for code in row.codes} and row.words in error.reason
