"""All that a local cloud answers about itself: every list and description of a region, to be compared as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

VERBS = ("List", "Describe", "Get")

WITHOUT = {
    "GetSessionToken", "GetRandomPassword", "GenerateCredentialReport", "GetCredentialReport", "DescribeAccountLimits",
    "GetSagemakerServicecatalogPortfolioStatus", "GetLambdaFunctionRecommendations", "GetServiceLastAccessedDetails",
    "ListPolicies", "GetUser", "GetAccountAuthorizationDetails",
}  # fmt: skip
"""Operations that answer by chance, or that there is a better question for."""

SERVICES = ("sagemaker", "iam", "kms", "logs", "glue", "cloudwatch", "events", "sns", "sqs", "ecr", "ssm", "lambda")

EC2 = (
    "describe_vpcs", "describe_subnets", "describe_internet_gateways", "describe_addresses", "describe_nat_gateways",
    "describe_route_tables", "describe_vpc_endpoints", "describe_security_groups", "describe_flow_logs",
    "describe_network_interfaces", "describe_network_acls", "describe_tags", "describe_security_group_rules",
    "describe_dhcp_options", "describe_vpc_peering_connections", "describe_key_pairs", "describe_volumes",
    "describe_instances", "describe_launch_templates", "describe_managed_prefix_lists",
)  # fmt: skip

DETAILS = {
    "sagemaker": (
        ("list_models", "Models", "describe_model", "ModelName"),
        ("list_endpoint_configs", "EndpointConfigs", "describe_endpoint_config", "EndpointConfigName"),
        ("list_endpoints", "Endpoints", "describe_endpoint", "EndpointName"),
        ("list_feature_groups", "FeatureGroupSummaries", "describe_feature_group", "FeatureGroupName"),
        ("list_training_jobs", "TrainingJobSummaries", "describe_training_job", "TrainingJobName"),
        (
            "list_hyper_parameter_tuning_jobs",
            "HyperParameterTuningJobSummaries",
            "describe_hyper_parameter_tuning_job",
            "HyperParameterTuningJobName",
        ),
        (
            "list_hyper_parameter_tuning_jobs",
            "HyperParameterTuningJobSummaries",
            "list_training_jobs_for_hyper_parameter_tuning_job",
            "HyperParameterTuningJobName",
        ),
        (
            "list_model_package_groups",
            "ModelPackageGroupSummaryList",
            "list_model_packages",
            "ModelPackageGroupName",
        ),
        ("list_notebook_instances", "NotebookInstances", "describe_notebook_instance", "NotebookInstanceName"),
    ),
    "kms": (
        ("list_keys", "Keys", "describe_key", "KeyId"),
        ("list_keys", "Keys", "list_resource_tags", "KeyId"),
        ("list_keys", "Keys", "list_key_policies", "KeyId"),
        ("list_keys", "Keys", "get_key_rotation_status", "KeyId"),
        ("list_keys", "Keys", "list_grants", "KeyId"),
    ),
    "iam": (
        ("list_roles", "Roles", "get_role", "RoleName"),
        ("list_roles", "Roles", "list_role_tags", "RoleName"),
        ("list_roles", "Roles", "list_role_policies", "RoleName"),
        ("list_roles", "Roles", "list_attached_role_policies", "RoleName"),
    ),
    "glue": (("get_databases", "DatabaseList", "get_tables", "DatabaseName:Name"),),
}
"""What lists name, described one by one: (list, its member, description, the member it is described by)."""


def everything(client: Callable[[str], Any]) -> dict[str, Any]:
    """Question -> answer."""
    return dict(sorted(_all(client)))


def _all(client: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
    for service in SERVICES:
        for operation in _lists(client(service)):
            yield f"{service} {operation}", asked(client(service), operation)
    for operation in EC2:
        yield f"ec2 {operation}", asked(client("ec2"), operation)
    for service, details in DETAILS.items():
        for lists, member, describes, by in details:
            for each in asked(client(service), lists).get(member, ()):
                parameter, _, name = by.partition(":")
                given = {parameter: each[name or parameter]}
                yield f"{service} {describes} {given}", asked(client(service), describes, **given)
    yield from _iam(client("iam"))
    yield from _logs(client("logs"))
    yield from _buckets(client("s3"))


def asked(client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
    """The answer, or the code of the refusal."""
    try:
        answer = getattr(client, operation)(**parameters)
    except ClientError as error:
        return {"refused": error.response["Error"]["Code"]}
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def _lists(client: Any) -> list[str]:
    """Operations of the service that ask something and need no parameters."""
    model = client.meta.service_model
    shapes = ((name, model.operation_model(name).input_shape) for name in model.operation_names)
    names = [name for name, shape in shapes if name not in WITHOUT and not (shape and shape.required_members)]
    return sorted(xform_name(name) for name in names if name.startswith(VERBS))


def _iam(iam: Any) -> Iterator[tuple[str, Any]]:
    filters = ["User", "Role", "Group", "LocalManagedPolicy"]
    yield "iam details", asked(iam, "get_account_authorization_details", Filter=filters)
    yield "iam attached", asked(iam, "list_policies", OnlyAttached=True)


def _logs(logs: Any) -> Iterator[tuple[str, Any]]:
    for group in logs.describe_log_groups()["logGroups"]:
        name = {"logGroupName": group["logGroupName"]}
        yield f"logs {name}", asked(logs, "describe_log_streams", **name)
        yield f"logs events {name}", asked(logs, "filter_log_events", **name)
        yield f"logs tags {name}", asked(logs, "list_tags_log_group", **name)


def _buckets(s3: Any) -> Iterator[tuple[str, Any]]:
    yield "s3", asked(s3, "list_buckets")
    model = s3.meta.service_model
    operations = [
        xform_name(name)
        for name in model.operation_names
        if name.startswith("GetBucket") and model.operation_model(name).input_shape.required_members == ["Bucket"]
    ]
    for bucket in s3.list_buckets()["Buckets"]:
        name = {"Bucket": bucket["Name"]}
        for operation in [*operations, "get_public_access_block", "list_multipart_uploads", "list_object_versions"]:
            yield f"s3 {operation} {name}", asked(s3, operation, **name)
        for each in asked(s3, "list_object_versions", **name).get("Versions", ()):
            given = {**name, "Key": each["Key"], "VersionId": each["VersionId"]}
            found = asked(s3, "get_object", **given)
            yield f"s3 {given}", {**found, "Body": found["Body"].read()}
            yield f"s3 tags {given}", asked(s3, "get_object_tagging", **given)
