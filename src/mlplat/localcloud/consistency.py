"""Eventual consistency, as AWS has it and as it is switched on here: what was made a moment ago is not found.

Off unless the local cloud is started with `--eventual-consistency-reads K`. Then the first K requests that name a new
object, or would list it, are answered as if it weren't there:

- EC2: by id, in every operation, and in lists (developer guide, "Eventual consistency in the Amazon EC2 API").
- IAM: a role by its name, in policies that name it, and where a service is to assume it (user guide,
  "Troubleshoot IAM: changes that I make are not always immediately visible"), each counted for itself.
- KMS: a key by its id or ARN (developer guide, "AWS KMS eventual consistency").
- SageMaker: a model for CreateEndpointConfig, a config for CreateEndpoint (API reference, CreateEndpoint).

S3 is consistent (user guide, "Amazon S3 data consistency model"). What the local cloud asks itself is not counted.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mlplat.localcloud import wire
from mlplat.localcloud.cloud import AGENT, Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.policies import listed
from mlplat.localcloud.routing import Route
from mlplat.localcloud.wire import Reply

EC2_XML = "http://ec2.amazonaws.com/doc/2016-11-15/"


class Kind(NamedTuple):
    """A kind of EC2's objects: what makes and what lists it, and how EC2 says that an id isn't there."""

    create: str
    describe: str
    member: str
    code: str
    text: str


KINDS = {
    "eipalloc": Kind("AllocateAddress", "DescribeAddresses", "allocationId", "InvalidAllocationID.NotFound",
                     "The allocation ID '{}' does not exist"),
    "fl": Kind("CreateFlowLogs", "DescribeFlowLogs", "flowLogId", "InvalidFlowLogId.NotFound",
               "These flow log ids in the input list are not found: [TotalCount: 1] {}"),
    "igw": Kind("CreateInternetGateway", "DescribeInternetGateways", "internetGatewayId",
                "InvalidInternetGatewayID.NotFound", "The internetGateway ID '{}' does not exist"),
    "nat": Kind("CreateNatGateway", "DescribeNatGateways", "natGatewayId", "NatGatewayNotFound",
                "The Nat Gateway {} was not found"),
    "rtb": Kind("CreateRouteTable", "DescribeRouteTables", "routeTableId", "InvalidRouteTableID.NotFound",
                "The routeTable ID '{}' does not exist"),
    "sg": Kind("CreateSecurityGroup", "DescribeSecurityGroups", "groupId", "InvalidGroup.NotFound",
               "The security group '{}' does not exist"),
    "subnet": Kind("CreateSubnet", "DescribeSubnets", "subnetId", "InvalidSubnetID.NotFound",
                   "The subnet ID '{}' does not exist"),
    "vpc": Kind("CreateVpc", "DescribeVpcs", "vpcId", "InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    "vpce": Kind("CreateVpcEndpoint", "DescribeVpcEndpoints", "vpcEndpointId", "InvalidVpcEndpointId.NotFound",
                 "The Vpc Endpoint Id '{}' does not exist"),
}  # fmt: skip
"""By the prefix of their ids."""

_ID = re.compile(rf"\b({'|'.join(KINDS)})-[0-9a-f]+\b")


def before(route: Route, cloud: Cloud) -> Reply | None:
    """What is answered when the request names something that isn't known yet."""
    check = _CHECKS.get(str(route.service))
    if check is None or route.operation is None or _is_internal(route):
        return None
    return check(route, cloud, wire.parse(route))


def after(route: Route, cloud: Cloud, reply: Reply) -> Reply:
    """Note what was made; leave what isn't known yet out of lists."""
    if route.operation is None or reply.status >= 300:
        return reply
    for name in _made(route, cloud, reply):
        cloud.host.freshness.note(name)
    if route.service == "ec2" and not _is_internal(route):
        for prefix, kind in KINDS.items():
            if kind.describe == route.operation_name:
                return _without(reply, prefix, kind, cloud)
    return reply


def _made(route: Route, cloud: Cloud, reply: Reply) -> Iterator[str]:
    operation = route.operation_name
    if route.service == "ec2":
        made = [prefix for prefix, kind in KINDS.items() if kind.create == operation]
        yield from (found[0] for found in _ID.finditer(reply.body.decode()) if found[1] in made)
    elif operation == "CreateRole":
        request = wire.parse(route)
        arn = f"arn:{cloud.partition}:iam::{cloud.account}:role{request.get('Path', '/')}{request['RoleName']}"
        yield from (f"role {request['RoleName']}", f"principal {arn}", f"assuming {arn}")
    elif (route.service, operation) == ("kms", "CreateKey"):
        yield f"key {json.loads(reply.body)['KeyMetadata']['KeyId']}"
    elif operation in ("CreateModel", "CreateEndpointConfig") and route.service == "sagemaker":
        name = wire.parse(route)["ModelName" if operation == "CreateModel" else "EndpointConfigName"]
        yield cloud.arn(f"model/{name}" if operation == "CreateModel" else f"endpoint-config/{name}")


def _check_ec2(route: Route, cloud: Cloud, request: Mapping[str, Any]) -> Reply | None:
    """Filters are no names: they find nothing, but they are no mistake."""
    named = {key: value for key, value in request.items() if key not in ("Filters", "Filter")}
    for id, prefix in _ids(named):
        if not cloud.host.freshness.hides(id):
            continue
        code, text = KINDS[prefix].code, KINDS[prefix].text.format(id)
        if route.operation_name == "CreateFlowLogs":  # its answer lists what failed
            failed = {"ResourceId": id, "Error": {"Code": code, "Message": text}}
            return wire.answer(route, {"FlowLogIds": [], "Unsuccessful": [failed]})
        if prefix == "nat" and route.operation_name in ("CreateRoute", "ReplaceRoute"):
            code, text = "InvalidNatGatewayID.NotFound", f"The natGateway ID '{id}' does not exist"
        raise AwsError(code, text)
    return None


def _check_iam(_route: Route, cloud: Cloud, request: Mapping[str, Any]) -> None:
    name = request.get("RoleName")
    if cloud.host.freshness.hides(f"role {name}"):
        raise AwsError("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
    policy = request.get("AssumeRolePolicyDocument") or request.get("PolicyDocument", "")
    for arn in _hidden_principals(cloud, policy):
        raise AwsError("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{arn}"')


def _check_kms(_route: Route, cloud: Cloud, request: Mapping[str, Any]) -> None:
    for _ in _hidden_principals(cloud, request.get("Policy", "")):
        text = "Policy contains a statement with one or more invalid principals."
        raise AwsError("MalformedPolicyDocumentException", text)
    key = str(request.get("TargetKeyId") or request.get("KeyId") or "")
    if cloud.host.freshness.hides(f"key {key.rpartition('/')[2]}"):
        arn = key if key.startswith("arn:") else cloud.arn(f"key/{key}", "kms")
        raise AwsError("NotFoundException", f"Key '{arn}' does not exist")


def _check_s3(route: Route, cloud: Cloud, request: Mapping[str, Any]) -> None:
    if route.operation_name == "PutBucketPolicy":
        for _ in _hidden_principals(cloud, request.get("Policy", "")):
            raise AwsError("MalformedPolicy", "Invalid principal in policy")


def _check_sagemaker(route: Route, cloud: Cloud, request: Mapping[str, Any]) -> None:
    if route.operation_name == "CreateEndpointConfig":
        named = [("model", each.get("ModelName")) for each in request.get("ProductionVariants", ())]
    elif route.operation_name in ("CreateEndpoint", "UpdateEndpoint"):
        named = [("endpoint-config", request.get("EndpointConfigName"))]
    else:
        return
    for kind, name in named:
        arn = cloud.arn(f"{kind}/{name}")
        if cloud.host.freshness.hides(arn):
            what = "endpoint configuration" if kind == "endpoint-config" else "model"
            raise AwsError("ValidationException", f'Could not find {what} "{arn}".')


_CHECKS: dict[str, Callable[[Route, Cloud, Mapping[str, Any]], Reply | None]] = {
    "ec2": _check_ec2,
    "iam": _check_iam,
    "kms": _check_kms,
    "s3": _check_s3,
    "sagemaker": _check_sagemaker,
}


def _is_internal(route: Route) -> bool:
    return AGENT in route.request.headers.get("User-Agent", "")


def _ids(value: Any) -> Iterator[tuple[str, str]]:
    """Ids in a request, with their prefixes."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _ids(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _ids(each)
    elif isinstance(value, str) and (found := _ID.fullmatch(value)):
        yield value, found[1]


def _hidden_principals(cloud: Cloud, policy: str) -> Iterator[str]:
    """Roles that the policy names and that are not known yet."""
    try:
        document = json.loads(policy)
    except ValueError:
        return
    for statement in listed(document.get("Statement")) if isinstance(document, dict) else ():
        principal = statement.get("Principal") if isinstance(statement, dict) else None
        for arn in listed(principal.get("AWS")) if isinstance(principal, dict) else ():
            if cloud.host.freshness.hides(f"principal {arn}"):
                yield arn


def _without(reply: Reply, prefix: str, kind: Kind, cloud: Cloud) -> Reply:
    """The list without items that are not known yet."""
    ElementTree.register_namespace("", EC2_XML)
    root = ElementTree.fromstring(reply.body)  # noqa: S314 - moto's own answer
    gone = 0
    for items in root:
        for item in list(items):
            id = next((each.text for each in item if each.tag.endswith("}" + kind.member)), None) or ""
            if id.startswith(f"{prefix}-") and cloud.host.freshness.hides(id):
                items.remove(item)
                gone += 1
    return Reply(reply.status, reply.headers, ElementTree.tostring(root)) if gone else reply
