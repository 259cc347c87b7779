"""EC2's networks as strict as AWS's: moto's backend, extended, and calls that are sent again with their token."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.availability_zones_and_regions import Zone

from mlplat.localcloud.ec2 import group_rules, networks, security_groups  # noqa: F401 (rules register themselves)
from mlplat.localcloud.ec2.dependencies import StrictDependencies
from mlplat.localcloud.ec2.nat_gateways import StrictNatGateways
from mlplat.localcloud.ec2.vpc_endpoints import StrictVpcEndpoints
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

TOKENED = ("CreateNatGateway", "CreateVpcEndpoint", "CreateRouteTable", "CreateFlowLogs")
"""Creations that are idempotent by ClientToken, and that the platform uses."""


class StrictEC2(
    security_groups.ToldSecurityGroups, StrictNatGateways, StrictVpcEndpoints, StrictDependencies, EC2Backend
):
    """moto's EC2 with AWS's statuses and refusals."""

    @property
    def _url_module(self) -> Any:
        import moto.ec2.urls

        return moto.ec2.urls


def register() -> None:
    """Put our backend in the place of moto's, before any region is made."""
    if ec2_backends.backend is StrictEC2:
        return
    ec2_backends.backend = StrictEC2
    security_groups.register()
    Zone.opt_in_status = "opt-in-not-required"  # moto leaves it out


@before("ec2", *TOKENED)
def the_same_token_gives_the_same_answer(asked: Asked) -> Reply | None:
    """EC2 API reference, "Ensuring idempotency": the first call's answer; other parameters are a mismatch."""
    token = asked.request.get("ClientToken")
    known = asked.cloud.store("ec2_client_tokens").get(_key(asked, token)) if token else None
    if known is None:
        return None
    if known["parameters"] != _digest(asked):
        message = "The request uses the same client token as a previous, but non-identical request."
        raise AwsError("IdempotentParameterMismatch", message)
    return Reply(known["status"], known["headers"], known["body"].encode())


@after("ec2", *TOKENED)
def the_token_is_remembered(asked: Asked, reply: Reply) -> None:
    """See above."""
    if token := asked.request.get("ClientToken"):
        asked.cloud.store("ec2_client_tokens")[_key(asked, token)] = {
            "parameters": _digest(asked),
            "status": reply.status,
            "headers": dict(reply.headers),
            "body": reply.body.decode(),
        }


def _key(asked: Asked, token: str) -> str:
    return f"{asked.route.operation_name}:{token}"


def _digest(asked: Asked) -> str:
    return hashlib.sha256(json.dumps(asked.request, sort_keys=True, default=str).encode()).hexdigest()
