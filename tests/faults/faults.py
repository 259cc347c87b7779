"""What goes wrong: each fault says what happens at which call."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from tests.faults.layer import Call, Exchange
from tests.faults.refusals import THROTTLING, refusals


@dataclass
class At:
    """A fault at one call."""

    call: Call

    def __call__(self, exchange: Exchange) -> AWSResponse:
        if exchange.call != self.call:
            return exchange.send()
        exchange.wire.struck = True
        return self.strike(exchange)

    def strike(self, exchange: Exchange) -> AWSResponse:
        """What happens at the call."""
        raise NotImplementedError


class KillBefore(At):
    """The process dies and the request was never sent."""

    def strike(self, exchange: Exchange) -> AWSResponse:
        exchange.wire.die()
        raise AssertionError


class KillDuring(At):
    """The request was carried out, and the process dies before it reads the answer."""

    def strike(self, exchange: Exchange) -> AWSResponse:
        exchange.send()
        exchange.wire.die()
        raise AssertionError


@dataclass
class KillAfter(At):
    """The answer is read; the process dies when the same thread makes its next call, whatever that is."""

    thread: int = 0

    def __call__(self, exchange: Exchange) -> AWSResponse:
        if self.thread == threading.get_ident():
            exchange.wire.die()
        return super().__call__(exchange)

    def strike(self, exchange: Exchange) -> AWSResponse:
        answer = exchange.send()
        self.thread = threading.get_ident()
        return answer


class Dropped(At):
    """Carried out, and the connection is gone before the answer comes."""

    def strike(self, exchange: Exchange) -> AWSResponse:
        exchange.send()
        error = (ConnectionClosedError, ReadTimeoutError)[exchange.call.number % 2]
        raise error(endpoint_url=exchange.request.url)


class Lost(At):
    """The connection breaks before the request arrives."""

    def strike(self, exchange: Exchange) -> AWSResponse:
        raise ConnectionClosedError(endpoint_url=exchange.request.url)


class AppliedYet500(At):
    """Carried out, and answered with 500."""

    def strike(self, exchange: Exchange) -> AWSResponse:
        exchange.send()
        return exchange.refuse("InternalFailure", "We encountered an internal error. Please try again.", 500)


class Unavailable(At):
    """Not carried out, and answered with 503."""

    def strike(self, exchange: Exchange) -> AWSResponse:
        return exchange.refuse("ServiceUnavailable", "Please reduce your request rate.", 503)


@dataclass
class Expired:
    """From one call on, the credentials are no good any more."""

    call: Call
    made: int = 0
    """Calls since then."""
    begun: bool = False

    def __call__(self, exchange: Exchange) -> AWSResponse:
        self.begun = self.begun or exchange.call == self.call
        if not self.begun:
            return exchange.send()
        exchange.wire.struck = True
        self.made += 1
        return exchange.refuse("ExpiredToken", "The security token included in the request is expired", 403)


@dataclass
class Signalled(At):
    """Somebody presses Ctrl-C, or the machine goes down, while the call is under way."""

    signal: signal.Signals = signal.SIGINT
    at: float = 0.0
    """When, by the monotonic clock."""

    def strike(self, exchange: Exchange) -> AWSResponse:
        self.at = time.monotonic()
        os.kill(os.getpid(), self.signal)
        return exchange.send()


@dataclass
class Refused:
    """Every call is refused once, by the `turn`-th of the codes that AWS may answer it with and mean "later"."""

    turn: int
    refused: set[tuple[Call, str]] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.Lock)
    _done: Counter[tuple[str, str, bytes]] = field(default_factory=Counter)

    def __call__(self, exchange: Exchange) -> AWSResponse:
        codes = refusals(exchange.call, self._is_fresh(exchange))
        if self.turn >= len(codes) or not self._first(exchange):
            return exchange.send()
        code, message, status = codes[self.turn]
        exchange.wire.struck = True
        self.refused.add((exchange.call, code))
        return exchange.refuse(code, message, status)

    def _is_fresh(self, exchange: Exchange) -> bool:
        address = exchange.call.address
        return any(call.address == address and call.operation.startswith("Create") for call in exchange.wire.calls[:-1])

    def _first(self, exchange: Exchange) -> bool:
        """Whether it is not the same call again; one that is carried out may be made again."""
        with self._lock:
            body = re.sub(rb"\d{13}", b"", _body(exchange))  # a feature group's table bears the time
            key = (exchange.call.address, exchange.call.operation, body)
            self._done[key] += 1
            return self._done[key] == 1


@dataclass
class ReadsFail(Refused):
    """Every read goes wrong once: the `turn` says how."""

    def __call__(self, exchange: Exchange) -> AWSResponse:
        if exchange.call.mutates or not self._first(exchange):
            return exchange.send()
        exchange.wire.struck = True
        self.refused.add((exchange.call, str(self.turn)))
        if self.turn == 0:
            raise ConnectionClosedError(endpoint_url=exchange.request.url)
        if self.turn == 1:
            raise ReadTimeoutError(endpoint_url=exchange.request.url)
        if self.turn == 2:
            return exchange.refuse("InternalFailure", "We encountered an internal error. Please try again.", 500)
        return exchange.refuse(*THROTTLING[exchange.call.service])


@dataclass
class Throttled:
    """Any call is throttled with a probability of one in ten."""

    seed: int
    share: float = 0.1
    count: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __call__(self, exchange: Exchange) -> AWSResponse:
        if self._random.random() >= self.share:
            return exchange.send()
        exchange.wire.struck = True
        self.count += 1
        return exchange.refuse(*THROTTLING[exchange.call.service])


@dataclass
class Invisible:
    """What is made is not shown by the first `reads` reads that should show it."""

    CREATED: ClassVar[dict[str, str]] = {
        "CreateVpc": "vpc-", "CreateSubnet": "subnet-", "CreateInternetGateway": "igw-", "CreateRouteTable": "rtb-",
        "AllocateAddress": "eipalloc-", "CreateNatGateway": "nat-", "CreateVpcEndpoint": "vpce-",
        "CreateSecurityGroup": "sg-", "CreateFlowLogs": "fl-",
    }  # fmt: skip

    reads: int
    left: dict[str, int] = field(default_factory=dict)
    hidden: int = 0

    def __call__(self, exchange: Exchange) -> AWSResponse:
        if exchange.call.mutates:
            answer = exchange.send()
            if answer.status_code < 300 and (name := made(exchange, answer)):
                self.left[name] = self.reads
            return answer
        asked = named(exchange)
        if asked in self.left and self._hide(asked):
            exchange.wire.struck = True
            return exchange.refuse(*absent(exchange.call))
        return exchange.send()

    def answered(self, model: Any, parsed: dict[str, Any], http_response: Any) -> None:
        """Take what isn't to be seen out of lists."""
        if http_response.status_code < 300 and model.name in LISTS:
            key, ids = LISTS[model.name]
            parsed[key] = [each for each in parsed.get(key, ()) if not self._hide(str(each.get(ids)))]

    def _hide(self, name: str) -> bool:
        if self.left.get(name, 0) < 1:
            return False
        self.left[name] -= 1
        self.hidden += 1
        return True


LISTS = {
    "DescribeVpcs": ("Vpcs", "VpcId"),
    "DescribeSubnets": ("Subnets", "SubnetId"),
    "DescribeInternetGateways": ("InternetGateways", "InternetGatewayId"),
    "DescribeRouteTables": ("RouteTables", "RouteTableId"),
    "DescribeAddresses": ("Addresses", "AllocationId"),
    "DescribeNatGateways": ("NatGateways", "NatGatewayId"),
    "DescribeVpcEndpoints": ("VpcEndpoints", "VpcEndpointId"),
    "DescribeSecurityGroups": ("SecurityGroups", "GroupId"),
    "DescribeFlowLogs": ("FlowLogs", "FlowLogId"),
    "DescribeLogGroups": ("logGroups", "logGroupName"),
    "ListKeys": ("Keys", "KeyId"),
}
"""Reads that list, and in which their objects' ids stand."""


def made(exchange: Exchange, answer: AWSResponse) -> str | None:
    """The id or name of what a call has made; None when it made nothing."""
    operation = exchange.call.operation
    if operation in Invisible.CREATED:
        found = re.search(rf">({Invisible.CREATED[operation]}[0-9a-f]+)<", answer.text)
        return found[1] if found else None
    if operation == "CreateKey":
        return str(json.loads(answer.text)["KeyMetadata"]["KeyId"])
    return named(exchange) if operation in NAMED else None


NAMED = {
    "CreateRole": "RoleName", "CreateDatabase": "Name", "CreateLogGroup": "logGroupName", "CreateBucket": "",
    "CreateFeatureGroup": "FeatureGroupName", "CreateModelPackageGroup": "ModelPackageGroupName",
    "CreateModel": "ModelName", "CreateEndpointConfig": "EndpointConfigName", "CreateEndpoint": "EndpointName",
    "CreatePipeline": "PipelineName", "CreateJob": "Name", "CreateTrigger": "Name", "CreateCrawler": "Name",
    "PutRule": "Name",
}  # fmt: skip
"""Creations of what has a name, and the parameter that says it."""


def named(exchange: Exchange) -> str | None:
    """The name or id that a request asks for."""
    if exchange.call.service == "s3":
        return urlsplit(exchange.request.url).path.strip("/").split("/")[0]
    body = _body(exchange).decode()
    if exchange.call.service == "iam":
        return parse_qs(body).get("RoleName", [None])[0]
    if exchange.call.service == "ec2" or not body.startswith("{") or exchange.call.operation in LISTS:
        return None
    given = json.loads(body)
    name = given.get("DatabaseInput", given).get("Name")
    keys: Collection[str] = {*NAMED.values(), "KeyId", "JobName"} & given.keys()
    return name or next((str(given[key]) for key in sorted(keys)), None)


def absent(call: Call) -> tuple[str, str, int]:
    """How the service says that there is no such thing."""
    if call.service == "sagemaker":
        for kind in ("FeatureGroup", "Pipeline"):
            if kind in call.operation:
                return "ResourceNotFound", f"Resource Not Found: there is no such {kind}.", 400
        return "ValidationException", "Could not find model or ModelPackageGroup x does not exist.", 400
    return {
        "s3": ("404", "Not Found", 404),
        "iam": ("NoSuchEntity", "The role cannot be found.", 404),
        "kms": ("NotFoundException", "Key does not exist", 400),
        "glue": ("EntityNotFoundException", "Database not found.", 400),
        "athena": ("InvalidRequestException", "WorkGroup is not found.", 400),
        "cloudwatch-logs": ("ResourceNotFoundException", "The specified log group does not exist.", 400),
        "eventbridge": ("ResourceNotFoundException", "Rule does not exist on EventBus default.", 400),
    }[call.service]


def _body(exchange: Exchange) -> bytes:
    body = exchange.request.body or b""
    return body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b""
