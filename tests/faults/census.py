"""What is in a region of the local cloud, asked by plain boto3 calls: every object with the address on its tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

Census = dict[str, str]
"""Object (its kind and id) -> namespace and address that its tags name, or ""."""


class Clients(Protocol):
    """A cloud to look around in."""

    account: str

    def client(self, service: str, region: str) -> Any:
        """A plain boto3 client."""


EC2 = {
    "describe_vpcs": ("Vpcs", "VpcId"),
    "describe_subnets": ("Subnets", "SubnetId"),
    "describe_internet_gateways": ("InternetGateways", "InternetGatewayId"),
    "describe_addresses": ("Addresses", "AllocationId"),
    "describe_nat_gateways": ("NatGateways", "NatGatewayId"),
    "describe_route_tables": ("RouteTables", "RouteTableId"),
    "describe_vpc_endpoints": ("VpcEndpoints", "VpcEndpointId"),
    "describe_security_groups": ("SecurityGroups", "GroupId"),
    "describe_flow_logs": ("FlowLogs", "FlowLogId"),
    "describe_network_interfaces": ("NetworkInterfaces", "NetworkInterfaceId"),
}
SAGEMAKER = {
    "list_models": ("Models", "ModelName", "ModelArn"),
    "list_endpoint_configs": ("EndpointConfigs", "EndpointConfigName", "EndpointConfigArn"),
    "list_endpoints": ("Endpoints", "EndpointName", "EndpointArn"),
    "list_feature_groups": ("FeatureGroupSummaries", "FeatureGroupName", "FeatureGroupArn"),
    "list_model_package_groups": ("ModelPackageGroupSummaryList", "ModelPackageGroupName", "ModelPackageGroupArn"),
    "list_pipelines": ("PipelineSummaries", "PipelineName", "PipelineArn"),
    "list_model_packages": ("ModelPackageSummaryList", "ModelPackageArn", "ModelPackageArn"),
}
GONE = frozenset({"deleted", "deleting"})


def census(cloud: Clients, region: str) -> Census:
    """Every object that is there and not on its way out."""
    found: Census = {}
    for kind, id, tags in (*_ec2(cloud.client("ec2", region)), *_by_name(cloud, region)):
        named = {key.lower(): value for key, value in tags.items()}
        whose = named.get("mlplat:namespace", "")
        found[f"{kind} {id}"] = f"{whose} {named.get('mlplat:address', '')}" if whose else ""
    return found


def counted(found: Census, namespace: str) -> Counter[str]:
    """Address -> how many objects carry it."""
    return Counter(tag.split(" ")[1] for tag in found.values() if tag.split(" ")[0] == namespace)


def _ec2(ec2: Any) -> Iterator[tuple[str, str, dict[str, str]]]:
    for operation, (key, id) in EC2.items():
        for each in getattr(ec2, operation)()[key]:
            if str(each.get("State", "")).lower() not in GONE:
                yield operation[9:-1], each[id], _map(each.get("Tags") or each.get("TagSet"))


def _by_name(cloud: Clients, region: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    s3, iam, logs, glue, kms, sagemaker = (
        cloud.client(service, region) for service in ("s3", "iam", "logs", "glue", "kms", "sagemaker")
    )
    yield from _buckets(s3)
    for role in iam.list_roles()["Roles"]:
        yield "role", role["RoleName"], _map(iam.list_role_tags(RoleName=role["RoleName"])["Tags"])
    for group in logs.describe_log_groups()["logGroups"]:
        arn = group["arn"].removesuffix(":*")
        yield "log_group", group["logGroupName"], logs.list_tags_for_resource(resourceArn=arn)["tags"]
    for database in glue.get_databases()["DatabaseList"]:
        arn = f"arn:aws:glue:{region}:{cloud.account}:database/{database['Name']}"
        yield "glue_database", database["Name"], glue.get_tags(ResourceArn=arn)["Tags"]
        for table in glue.get_tables(DatabaseName=database["Name"])["TableList"]:
            yield "glue_table", table["Name"], {}
    yield from _of_glue(glue, f"arn:aws:glue:{region}:{cloud.account}")
    yield from _rules(cloud.client("events", region))
    athena = cloud.client("athena", region)
    for each in athena.list_work_groups()["WorkGroups"]:
        if each["Name"] != "primary":
            arn = f"arn:aws:athena:{region}:{cloud.account}:workgroup/{each['Name']}"
            yield "work_group", each["Name"], _map(athena.list_tags_for_resource(ResourceARN=arn)["Tags"])
    yield from _keys(kms)
    yield from _watching(cloud.client("cloudwatch", region), cloud.client("sns", region))
    for operation, (key, name, arn) in SAGEMAKER.items():
        for each in getattr(sagemaker, operation)()[key]:
            tags = sagemaker.list_tags(ResourceArn=each[arn])["Tags"] if operation != "list_model_packages" else ()
            yield operation[5:-1], each[name], _map(tags)


def _buckets(s3: Any) -> Iterator[tuple[str, str, dict[str, str]]]:
    for bucket in s3.list_buckets()["Buckets"]:
        yield "bucket", bucket["Name"], _bucket_tags(s3, bucket["Name"])
        for each in s3.list_objects_v2(Bucket=bucket["Name"], Prefix="mlplat/").get("Contents", ()):
            tags = s3.get_object_tagging(Bucket=bucket["Name"], Key=each["Key"])["TagSet"]
            yield "bucket_object", f"{bucket['Name']}/{each['Key']}", _map(tags)


def _of_glue(glue: Any, arn: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    names = {
        "job": glue.list_jobs()["JobNames"],
        "trigger": glue.list_triggers()["TriggerNames"],
        "crawler": glue.list_crawlers()["CrawlerNames"],
    }
    for kind, found in names.items():
        for name in found:
            yield f"glue_{kind}", name, glue.get_tags(ResourceArn=f"{arn}:{kind}/{name}")["Tags"]


def _rules(events: Any) -> Iterator[tuple[str, str, dict[str, str]]]:
    for rule in events.list_rules()["Rules"]:
        yield "event_rule", rule["Name"], _map(events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"])


def _keys(kms: Any) -> Iterator[tuple[str, str, dict[str, str]]]:
    for key in kms.list_keys()["Keys"]:
        if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion":
            tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
            yield "key", key["KeyId"], {each["TagKey"]: each["TagValue"] for each in tags}
    for alias in kms.list_aliases()["Aliases"]:
        if not alias["AliasName"].startswith("alias/aws/"):
            yield "alias", alias["AliasName"], {}


def _watching(cloudwatch: Any, sns: Any) -> Iterator[tuple[str, str, dict[str, str]]]:
    alarms = [("alarm", each["AlarmName"], each["AlarmArn"]) for each in cloudwatch.describe_alarms()["MetricAlarms"]]
    boards = cloudwatch.list_dashboards()["DashboardEntries"]
    for kind, name, arn in (*alarms, *(("dashboard", each["DashboardName"], each["DashboardArn"]) for each in boards)):
        yield kind, name, _map(cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"])
    for arn in [each["TopicArn"] for each in sns.list_topics()["Topics"]]:
        yield "topic", arn.rpartition(":")[2], _map(sns.list_tags_for_resource(ResourceArn=arn)["Tags"])


def _bucket_tags(s3: Any, bucket: str) -> dict[str, str]:
    from botocore.exceptions import ClientError

    try:
        return _map(s3.get_bucket_tagging(Bucket=bucket)["TagSet"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        return {}


def _map(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in tags or ()}
