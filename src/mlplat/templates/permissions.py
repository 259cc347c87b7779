"""What SageMaker may do in our name: trust and statements of its roles, each naming the resources it is about.

Sources: SageMaker developer guide, "How to use SageMaker AI execution roles" and "Service authorization reference".
`Resource: "*"` stands only where an action has no resource-level permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mlplat.resources.base import Ref
from mlplat.templates.images import registries, repository_arn
from mlplat.templates.place import Place

if TYPE_CHECKING:
    from mlplat.settings import Settings

DATA = "ml_data_infrastructure"
KEY = Ref(f"{DATA}.kms_key.platform", "arn")
SECURITY_GROUP = f"{DATA}.security_group.workloads"

Statement = dict[str, Any]


def document(*statements: Statement) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(sid: str, actions: Sequence[str], resources: Sequence[str | Ref], **conditions: Any) -> Statement:
    """One statement; `conditions` are operators (`StringLike={...}`)."""
    statement: Statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return statement | ({"Condition": conditions} if conditions else {})


def assumed_by_sagemaker(settings: Settings, place: Place) -> dict[str, Any]:
    """The trust policy. AWS doesn't say for every kind of job that it sends the account, hence the setting."""
    statement: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if settings.access.source_account_condition:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": place.account}}
    return document(statement)


def assumed_by(service: str) -> dict[str, Any]:
    """The trust policy for another of AWS's services."""
    return document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})


def logs(place: Place, *groups: str) -> Statement:
    """Writing to log groups, by name or by pattern; SageMaker makes a group that isn't there."""
    return allow(
        "WriteLogs",
        ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        [place.arn("logs", f"log-group:{group}{end}") for group in groups for end in ("", ":*")],
    )


def metrics() -> Statement:
    """Publishing metrics to SageMaker's namespaces. PutMetricData has no resources, only a condition."""
    return allow(
        "PublishMetrics",
        ["cloudwatch:PutMetricData"],
        ["*"],
        StringLike={"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*", "AWS/SageMaker*"]},
    )


def images(place: Place, uris: Iterable[str]) -> list[Statement]:
    """Pulling AWS's framework images of the region and `uris`, the project's own. A token isn't for a repository."""
    frameworks = [
        f"arn:{place.partition}:ecr:{place.region}:{account}:repository/*" for account in registries(place.region)
    ]
    own = {arn for uri in uris if (arn := repository_arn(uri, place.partition))}
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    statements = [allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"])]
    return [*statements, allow("PullImages", pull, [*frameworks, *sorted(own)])] if frameworks or own else statements


def own_images(settings: Settings) -> list[str]:
    """The URIs among the workloads' images; the others are names of AWS's."""
    return sorted({workload.image for workload in settings.workloads.values() if "/" in workload.image})


def bucket(purpose: str, *prefixes: str) -> list[Ref]:
    """The ARNs of the objects in one of the platform's buckets; with no prefix, of all."""
    return [Ref(f"{DATA}.bucket.{purpose}", "arn", f"{{}}/{prefix}*") for prefix in prefixes or ("",)]


def find_in(*purposes: str) -> Statement:
    """Listing and locating buckets."""
    buckets = [Ref(f"{DATA}.bucket.{purpose}", "arn") for purpose in purposes]
    return allow("FindObjects", ["s3:GetBucketLocation", "s3:ListBucket"], buckets)


def read(*objects: Ref) -> Statement:
    """Reading objects."""
    return allow("ReadObjects", ["s3:GetObject"], objects)


def write(*objects: Ref) -> Statement:
    """Writing objects, in parts too."""
    return allow("WriteObjects", ["s3:AbortMultipartUpload", "s3:PutObject"], objects)


def encryption() -> list[Statement]:
    """Using the platform's key, and letting AWS's services use it for the volumes that they attach."""
    use = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    return [
        allow("UseKey", use, [KEY]),
        allow("GrantKeyToServices", ["kms:CreateGrant"], [KEY], Bool={"kms:GrantIsForAWSResource": "true"}),
    ]


def subnets(settings: Settings) -> list[str]:
    """The addresses of the subnets that jobs and endpoints in the VPC run in."""
    return [f"{DATA}.subnet.private_{number}" for number in range(1, settings.network.zones + 1)]


def network(settings: Settings, place: Place) -> list[Statement]:
    """Network interfaces in the platform's own subnets. EC2's Describe actions have no resources."""
    return [
        allow(
            "AttachToVpc",
            [
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            [
                place.arn("ec2", "network-interface/*"),
                Ref(SECURITY_GROUP, "id", place.arn("ec2", "security-group/{}")),
                *(Ref(subnet, "arn") for subnet in subnets(settings)),
            ],
        ),
        allow(
            "SeeNetwork",
            [
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            ["*"],
        ),
    ]
