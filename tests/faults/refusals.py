"""What AWS answers a call with when it means "later": by service and operation, in its own words.

Sources: terraform-provider-aws (internal/service/*), botocore's models (the errors of each operation), kops #1604.
"""

from __future__ import annotations

import re

from tests.faults.layer import Call

Refusal = tuple[str, str, int]
"""Code, message, HTTP status."""

THROTTLING: dict[str, Refusal] = {
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
    "iam": ("Throttling", "Rate exceeded", 400),
    "sts": ("Throttling", "Rate exceeded", 400),
    "kms": ("ThrottlingException", "Rate exceeded", 400),
    "glue": ("ThrottlingException", "Rate exceeded", 400),
    "cloudwatch-logs": ("ThrottlingException", "Rate exceeded", 400),
    "sagemaker": ("ThrottlingException", "Rate exceeded", 400),
    "sagemaker-featurestore-runtime": ("ThrottlingException", "Rate exceeded", 400),
}

VPC = ("InvalidVpcID.NotFound", "The vpc ID 'vpc-0' does not exist", 400)
SUBNET = ("InvalidSubnetID.NotFound", "The subnet ID 'subnet-0' does not exist", 400)
SUBNET_TOO = ("InvalidSubnetId.NotFound", "The subnet ID 'subnet-0' does not exist", 400)
TABLE = ("InvalidRouteTableID.NotFound", "The routeTable ID 'rtb-0' does not exist", 400)
GROUP = ("InvalidGroup.NotFound", "The security group 'sg-0' does not exist", 400)
GATEWAY = ("InvalidInternetGatewayID.NotFound", "The internetGateway ID 'igw-0' does not exist", 400)
USED = ("DependencyViolation", "It has dependencies and cannot be deleted.", 400)
ABORTED = ("OperationAborted", "A conflicting conditional operation is currently in progress. Please try again.", 409)
BUSY_LOGS = ("OperationAbortedException", "Multiple concurrent requests to update the same resource", 400)
CONCURRENT = ("ConcurrentModification", "The request was rejected because multiple requests were submitted.", 409)
PRINCIPAL = 'Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:role/fresh"'
IN_PROGRESS = ("ValidationException", 'Cannot update in-progress endpoint "arn:aws:sagemaker:...".', 400)
ROLE = "Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role."
FRESH_ROLE: list[Refusal] = [
    ("ValidationException", f"Could not assume role arn:aws:iam::123456789012:role/r. {ROLE}", 400),
    ("ValidationException", "The execution role ARN is invalid.", 400),
]

TABLE_OF_CODES: list[tuple[str, str, list[Refusal]]] = [
    ("ec2", "CreateSubnet|CreateSecurityGroup|CreateRouteTable|ModifyVpcAttribute", [VPC]),
    ("ec2", "AttachInternetGateway", [GATEWAY, VPC]),
    ("ec2", "ModifySubnetAttribute", [SUBNET, SUBNET_TOO]),
    ("ec2", "AssociateRouteTable", [SUBNET, TABLE]),
    ("ec2", "CreateRoute", [TABLE, ("InvalidGatewayID.NotFound", "The gateway ID 'igw-0' does not exist", 400)]),
    ("ec2", "CreateRoute", [("InvalidNatGatewayID.NotFound", "The natGateway ID 'nat-0' does not exist", 400)]),
    ("ec2", "CreateNatGateway", [SUBNET, ("InvalidAllocationID.NotFound", "The allocation ID does not exist", 400)]),
    ("ec2", "CreateVpcEndpoint", [("InvalidVpcId.NotFound", "The Vpc Id vpc-0 does not exist", 400), SUBNET_TOO]),
    ("ec2", "CreateVpcEndpoint", [("InvalidRouteTableId.NotFound", "The routeTable ID does not exist", 400), GROUP]),
    ("ec2", "CreateFlowLogs", [("InvalidParameter", "Unable to assume given IAM role", 400), VPC]),
    ("ec2", "(Authorize|Revoke)SecurityGroup.*", [GROUP]),
    ("ec2", "CreateTags", [VPC, GROUP]),
    ("ec2", "Delete(Vpc|Subnet|InternetGateway|RouteTable|SecurityGroup)|DetachInternetGateway", [USED]),
    ("ec2", "DeleteSecurityGroup", [("InvalidGroup.InUse", "The security group is in use", 400)]),
    ("ec2", "ReleaseAddress", [
        ("AuthFailure", "You do not have permission to access the specified resource.", 400),
        ("InvalidIPAddress.InUse", "The address is in use.", 400),
    ]),
    ("s3", "CreateBucket|DeleteBucket|(Put|Delete)Bucket.+", [ABORTED]),
    ("s3", "PutBucket.+", [("NoSuchBucket", "The specified bucket does not exist", 404)]),
    ("s3", "PutBucketPolicy", [("MalformedPolicy", "Invalid principal in policy", 400)]),
    ("kms", "CreateKey|PutKeyPolicy", [("MalformedPolicyDocumentException", PRINCIPAL, 400)]),
    ("kms", "EnableKeyRotation|CreateAlias", [("NotFoundException", "Key 'arn' does not exist", 400)]),
    ("kms", "EnableKeyRotation", [("DisabledException", "arn is disabled.", 400)]),
    ("iam", "CreateRole|UpdateAssumeRolePolicy", [("MalformedPolicyDocument", PRINCIPAL, 400)]),
    ("iam", "PutRolePolicy", [("NoSuchEntity", "The role with name r cannot be found.", 404)]),
    ("iam", "CreateRole|DeleteRole|TagRole", [CONCURRENT]),
    ("iam", "DeleteRole", [("DeleteConflict", "Cannot delete entity, must delete policies first.", 409)]),
    ("cloudwatch-logs", "CreateLogGroup|PutRetentionPolicy|DeleteLogGroup|AssociateKmsKey", [BUSY_LOGS]),
    ("cloudwatch-logs", "CreateLogGroup|AssociateKmsKey", [
        ("AccessDeniedException", "The specified KMS key does not exist or is not allowed to be used with Arn", 400),
    ]),
    ("cloudwatch-logs", "PutRetentionPolicy", [
        ("ResourceNotFoundException", "The specified log group does not exist.", 400),  # only when made just now
    ]),
    ("glue", "(Create|Update|Delete)Database", [("ConcurrentModificationException", "Concurrent modification", 400)]),
    ("sagemaker", "CreateModel|CreateFeatureGroup", FRESH_ROLE),
    ("sagemaker", "CreateFeatureGroup", [("ValidationException", "Invalid S3Uri provided", 400)]),
    ("sagemaker", "CreateEndpoint", [("ValidationException", 'Could not find endpoint configuration "arn".', 400)]),
    ("sagemaker", "UpdateEndpoint", [("ValidationException", 'Could not find endpoint configuration "arn".', 400)]),
    ("sagemaker", "UpdateEndpoint|DeleteEndpoint", [IN_PROGRESS]),
    ("sagemaker", "UpdateEndpointWeightsAndCapacities", [IN_PROGRESS]),
    ("sagemaker", "CreateEndpointConfig", [("ValidationException", 'Could not find model "arn".', 400)]),
    ("sagemaker", "DeleteModelPackageGroup", [
        ("ConflictException", "Model Package Group cannot be deleted while it contains model packages.", 400),
    ]),
]  # fmt: skip
"""Service, pattern of operations, what they may be refused with once and accepted the next time."""


ONLY_FRESH = frozenset({"ResourceNotFoundException"})
"""What only an object made by the same run may be refused with: of any other it is the truth."""


def refusals(call: Call, fresh: bool) -> list[Refusal]:
    """Throttling for every call, and the others for calls that change something; some only of what is `fresh`."""
    found = [THROTTLING[call.service]]
    if call.mutates:
        for service, pattern, codes in TABLE_OF_CODES:
            if service == call.service and re.fullmatch(pattern, call.operation):
                found += [each for each in codes if fresh or each[0] not in ONLY_FRESH]
    return found
