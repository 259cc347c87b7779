"""VPC endpoints that take their time and hold what they use, for services that exist and in zones that have them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from mlplat.localcloud import background, wire
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

INTERFACES = (
    "application-autoscaling", "athena", "autoscaling", "cloudtrail", "codebuild", "config", "ec2", "ec2messages",
    "ecr.api", "ecr.dkr", "ecs", "elasticfilesystem", "events", "execute-api", "glue", "kinesis-streams", "kms",
    "lambda", "logs", "monitoring", "sagemaker.api", "sagemaker.featurestore-runtime", "sagemaker.metrics",
    "sagemaker.runtime", "scheduler", "secretsmanager", "servicequotas", "sns", "sqs", "ssm", "ssmmessages", "states",
    "sts",
)  # fmt: skip
SAGEMAKER_UI = ("notebook", "studio", "experiments")
"""Named aws.sagemaker.REGION.notebook and so on."""
GATEWAYS = ("s3", "dynamodb")

GONE = ("deleting", "deleted")


def services(region: str, zones: Sequence[str]) -> list[dict[str, Any]]:
    """The services of a region that endpoints can be made for. Locally each is offered in every zone."""
    names = [f"com.amazonaws.{region}.{name}" for name in INTERFACES]
    names += [f"aws.sagemaker.{region}.{name}" for name in SAGEMAKER_UI]
    both = [(name, "Interface") for name in names]
    both += [(f"com.amazonaws.{region}.{name}", kind) for name in GATEWAYS for kind in ("Gateway", "Interface")]
    return [_service(name, kind, zones) for name, kind in sorted(both)]


def _service(name: str, kind: str, zones: Sequence[str]) -> dict[str, Any]:
    short = ".".join(reversed(name.removeprefix("com.amazonaws.").removeprefix("aws.").split(".")))
    service = {
        "ServiceName": name,
        "ServiceId": "vpce-svc-" + hashlib.sha256(f"{name} {kind}".encode()).hexdigest()[:17],
        "ServiceType": [{"ServiceType": kind}],
        "AvailabilityZones": list(zones),
        "Owner": "amazon",
        "BaseEndpointDnsNames": [f"{short}.vpce.amazonaws.com"],
        "VpcEndpointPolicySupported": True,
        "AcceptanceRequired": False,
        "ManagesVpcEndpoints": False,
        "Tags": [],
    }
    if kind == "Interface":
        private = {"PrivateDnsName": f"{short}.amazonaws.com", "PrivateDnsNames": [{"PrivateDnsName": short}]}
        service |= {**private, "PrivateDnsNameVerificationState": "verified"}
    return service


class StrictVpcEndpoints:
    """What moto does at once and unasked. Pending, available, deleting, and then gone."""

    @staticmethod
    def _collect_default_endpoint_services(_account_id: str, region: str) -> list[dict[str, Any]]:
        """moto loads forty other services for this list, and lacks SageMaker's."""
        from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

        return services(region, [zone.name for zone in RegionsAndZonesBackend.zones.get(region, ())])

    def create_vpc_endpoint(
        self: Any, vpc_id: str, service_name: str, endpoint_type: str | None, *args: Any, **kwargs: Any
    ) -> Any:
        """Refused for an unknown service, a second route to it, a private name that is taken; pending first."""
        kind = endpoint_type or "Gateway"  # API reference: the default
        self.get_vpc(vpc_id)
        self._check_service(service_name, kind)
        if kind == "Gateway":
            self._check_tables(service_name, kwargs.get("route_table_ids") or [])
            kwargs["private_dns_enabled"] = False
        else:
            self._check_interface(vpc_id, service_name, kwargs)
        endpoint = super().create_vpc_endpoint(vpc_id, service_name, kind, *args, **kwargs)  # type: ignore[misc]
        endpoint.vpc_endpoint_id = endpoint.id  # what the filter of that name looks for
        self._equip(endpoint)
        endpoint.state = "pending"
        background.later(self, lambda: _become_available(endpoint))
        return endpoint

    def delete_vpc_endpoints(self: Any, vpce_ids: list[str] | None = None) -> None:
        """Deleting first: its interfaces hold subnets and groups until it is gone."""
        for vpce_id in vpce_ids or ():
            endpoint = self.vpc_end_points.get(vpce_id)
            if endpoint is not None and endpoint.state not in GONE:
                endpoint.state = "deleting"
                background.later(self, partial(self._remove_endpoint, endpoint))

    def modify_vpc_endpoint(self: Any, vpc_id: str, *args: Any, **kwargs: Any) -> None:
        """Routes and interfaces follow the tables and subnets."""
        endpoint = self.get_vpc_end_point(vpc_id)
        self._check_tables(endpoint.service_name, kwargs.get("add_route_tables") or [])
        before = list(endpoint.route_table_ids)
        super().modify_vpc_endpoint(vpc_id, *args, **kwargs)  # type: ignore[misc]
        for table in endpoint.route_table_ids:
            if table not in before:
                self._route_to(endpoint, table)
        for table in before:
            if table not in endpoint.route_table_ids:
                self._unroute(endpoint, table)
        self._equip(endpoint)

    def _check_service(self: Any, name: str, kind: str) -> None:
        offered = self._collect_default_endpoint_services(self.account_id, self.region_name)
        if not any(each["ServiceName"] == name and {"ServiceType": kind} in each["ServiceType"] for each in offered):
            raise AwsError("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")

    def _check_tables(self: Any, service: str, tables: Sequence[str]) -> None:
        for table in tables:
            self.get_route_table(table)
            for other in self.vpc_end_points.values():
                if other.service_name == service and table in other.route_table_ids and other.state not in GONE:
                    prefix = other.destination_prefix_list_id
                    raise AwsError(
                        "RouteAlreadyExists",
                        f"route table {table} already has a route with destination-prefix-list-id {prefix}",
                    )

    def _check_interface(self: Any, vpc_id: str, service: str, wanted: dict[str, Any]) -> None:
        if wanted.get("private_dns_enabled"):
            self._check_private_dns(vpc_id, service)
        zones = [self.get_subnet(subnet).availability_zone for subnet in wanted.get("subnet_ids") or ()]
        if len(set(zones)) < len(zones):
            message = "Found another VPC endpoint subnet in the availability zone of subnet"  # wording not verified
            raise AwsError("DuplicateSubnetsInSameZone", message)
        for group in wanted.get("security_group_ids") or ():
            if self.get_security_group_from_id(group) is None:
                raise AwsError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        if not wanted.get("security_group_ids"):
            wanted["security_group_ids"] = [self.get_security_group_from_name("default", vpc_id).id]

    def _check_private_dns(self: Any, vpc_id: str, service: str) -> None:
        vpc = self.get_vpc(vpc_id)
        if not (vpc.enable_dns_support and vpc.enable_dns_hostnames):
            raise AwsError(
                "InvalidParameter",
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to "
                f"true for {vpc_id}",
            )
        for other in self.vpc_end_points.values():
            alike = other.service_name == service and other.vpc_id == vpc_id
            if alike and other.private_dns_enabled and other.state not in GONE:
                short, region = service.rsplit(".", 1)[-1], self.region_name
                raise AwsError(
                    "InvalidParameter",
                    "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
                    f"{short}.{region}.amazonaws.com in the VPC {vpc_id}",
                )

    def _equip(self: Any, endpoint: Any) -> None:
        """An interface in each of its subnets, with its groups; none elsewhere."""
        from moto.ec2.utils import random_private_ip

        if endpoint.vpc_endpoint_type != "Interface":
            return
        ours = [self.enis[eni] for eni in endpoint.network_interface_ids if eni in self.enis]
        for eni in [each for each in ours if each.subnet.id not in endpoint.subnet_ids]:
            self.enis.pop(eni.id)
            ours.remove(eni)
        for subnet in set(endpoint.subnet_ids or ()) - {each.subnet.id for each in ours}:
            ours.append(self.create_network_interface(subnet, random_private_ip(self.get_subnet(subnet).cidr_block)))
        for eni in ours:
            eni.description, eni.status, eni.interface_type = (
                f"VPC Endpoint Interface {endpoint.id}",
                "in-use",
                "vpc_endpoint",
            )
            eni._group_set = [self.get_security_group_from_id(group) for group in endpoint.security_group_ids]
        endpoint.network_interface_ids = [eni.id for eni in ours]

    def _route_to(self: Any, endpoint: Any, table: str) -> None:
        if endpoint.destination_prefix_list_id:
            self.create_route(
                table, None, gateway_id=endpoint.id, destination_prefix_list_id=endpoint.destination_prefix_list_id
            )

    def _unroute(self: Any, endpoint: Any, table: str) -> None:
        from moto.ec2.exceptions import EC2ClientError

        with contextlib.suppress(EC2ClientError):  # the table or the route went before
            self.delete_route(table, endpoint.destination_prefix_list_id)

    def _remove_endpoint(self: Any, endpoint: Any) -> None:
        for eni in endpoint.network_interface_ids:
            self.enis.pop(eni, None)
        for table in endpoint.route_table_ids:
            self._unroute(endpoint, table)
        endpoint.state = "deleted"
        self.vpc_end_points.pop(endpoint.id, None)


@after("ec2", "ModifyVpcEndpoint")
def private_dns_can_be_switched(asked: Asked, _reply: Reply) -> None:
    """moto drops PrivateDnsEnabled."""
    if "PrivateDnsEnabled" in asked.request:
        endpoint = asked.backend().get_vpc_end_point(asked.request["VpcEndpointId"])
        endpoint.private_dns_enabled = asked.request["PrivateDnsEnabled"]


@before("ec2", "DeleteVpcEndpoints")
def what_is_not_there_is_listed(asked: Asked) -> Reply:
    """API reference of DeleteVpcEndpoints: in an answer of 200."""
    ids, backend = asked.request["VpcEndpointIds"], asked.backend()
    there = [id for id in ids if id in backend.vpc_end_points]
    backend.delete_vpc_endpoints(there)
    absent = [{"ResourceId": id, "Error": _absent(id)} for id in ids if id not in there]
    return wire.answer(asked.route, {"Unsuccessful": absent})


def _absent(id: str) -> dict[str, str]:
    return {"Code": "InvalidVpcEndpoint.NotFound", "Message": f"The Vpc Endpoint Id '{id}' does not exist"}


def _become_available(endpoint: Any) -> None:
    if endpoint.state == "pending":
        endpoint.state = "available"
