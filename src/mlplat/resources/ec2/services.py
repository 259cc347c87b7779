"""Services that VPC endpoints lead to: their names, and the zones that they are offered in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlplat.aws import Session
from mlplat.errors import MlplatError
from mlplat.resources.base import Ref

OTHER_PREFIX = frozenset({"sagemaker.notebook", "sagemaker.studio", "sagemaker.experiments"})
"""Named aws.sagemaker.REGION.notebook, not com.amazonaws.REGION... (SageMaker developer guide, "VPC endpoints")."""


def full_name(service: str, region: str) -> str:
    """The service as EC2 names it; a name that is full already (China's prefixes vary) stays as it is."""
    if re.match(r"(cn\.)?com\.amazonaws\.|aws\.sagemaker\.", service):
        return service
    if service in OTHER_PREFIX:
        return f"aws.sagemaker.{region}.{service.removeprefix('sagemaker.')}"
    return f"com.amazonaws.{region}.{service}"


def short_name(service: str) -> str:
    """The way back from `full_name`."""
    service = re.sub(r"^aws\.sagemaker\.[a-z0-9-]+\.", "sagemaker.", service)
    return re.sub(r"^(cn\.)?com\.amazonaws\.[a-z0-9-]+\.", "", service)


def by_zone(aws: Session, service: str, subnet_ids: Sequence[str | Ref]) -> tuple[list[str], list[str]]:
    """The subnets in zones where the service has interface endpoints, and the others."""
    if not subnet_ids:  # DescribeSubnets without ids answers with all there are
        return [], []
    ec2, name = aws.client("ec2"), full_name(service, aws.region)
    offered: set[str] = set()
    for each in ec2.pages("describe_vpc_endpoint_services", "ServiceDetails", ServiceNames=[name]):
        if {"ServiceType": "Interface"} in each["ServiceType"]:  # S3 is listed once more, as a gateway
            offered |= {*each.get("AvailabilityZones", ()), *each.get("AvailabilityZoneIds", ())}
    subnets = ec2.describe_subnets(SubnetIds=list(subnet_ids))["Subnets"]
    served = [each["SubnetId"] for each in subnets if offered & {each["AvailabilityZone"], each["AvailabilityZoneId"]}]
    if not served:
        raise MlplatError(
            f"making an endpoint for {name}: it is offered in none of the subnets' zones",
            hint=f"aws ec2 describe-vpc-endpoint-services --service-names {name} --region {aws.region}",
        )
    return served, sorted({each["SubnetId"] for each in subnets} - set(served))
