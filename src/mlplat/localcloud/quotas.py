"""Service Quotas: how many instances of each type an account may have at once, asked for by name and raised on request.

SageMaker's quotas are named as AWS names them (`ml.m5.xlarge for training job usage`). Their values on AWS differ from
account to account, and 0 is common; here each is 20 until a request raises it. Codes that could not be found out are
made up, and are the same at every start.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError

DEFAULT = 20.0
NAMES = {"sagemaker": "Amazon SageMaker", "vpc": "Amazon Virtual Private Cloud (Amazon VPC)"}
USAGES = {
    "training job": "TrainingInstanceType",
    "spot training job": "TrainingInstanceType",
    "training warm pool": "TrainingInstanceType",
    "processing job": "ProcessingInstanceType",
    "transform job": "TransformInstanceType",
    "endpoint": "ProductionVariantInstanceType",
    "notebook instance": "InstanceType",
}
"""What instances are used for, and the shape of botocore's model that lists their types."""

CODES = {
    "ml.g4dn.xlarge for training job usage": "L-3F53BF0F",
    "ml.p5.48xlarge for training job usage": "L-82E1C851",
    "ml.g5.xlarge for endpoint usage": "L-1928E07B",
}
"""AWS's own, as quoted in public repositories."""

PAGE = 100

Quota = dict[str, Any]


def usage_name(instance_type: str, usage: str) -> str:
    """A quota's name, as errors and lists tell it."""
    return f"{instance_type} for {usage} usage"


def applied(cloud: Cloud, name: str) -> float:
    """What the account may have of SageMaker's quota of this name."""
    return max([DEFAULT, *_approved(cloud, "sagemaker", _code(name))])


class ServiceQuotas:
    """Defaults, applied values and requests for more; a request is approved after the transition delay."""

    service = "service-quotas"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._requests = cloud.store("quota_requests")

    def list_services(self, request: dict[str, Any]) -> dict[str, Any]:
        """Those whose quotas are known here."""
        found = [{"ServiceCode": code, "ServiceName": name} for code, name in NAMES.items()]
        return _page("Services", found, request)

    def list_aws_default_service_quotas(self, request: dict[str, Any]) -> dict[str, Any]:
        """What an account starts with."""
        return _page("Quotas", self._quotas(request["ServiceCode"], request.get("QuotaCode")), request)

    def get_aws_default_service_quota(self, request: dict[str, Any]) -> dict[str, Any]:
        """One of them."""
        return {"Quota": self._quota(request)}

    def list_service_quotas(self, request: dict[str, Any]) -> dict[str, Any]:
        """What this account may have now."""
        found = self._quotas(request["ServiceCode"], request.get("QuotaCode"))
        return _page("Quotas", [self._now(each) for each in found], request)

    def get_service_quota(self, request: dict[str, Any]) -> dict[str, Any]:
        """One of them."""
        return {"Quota": self._now(self._quota(request))}

    def request_service_quota_increase(self, request: dict[str, Any]) -> dict[str, Any]:
        """PENDING, then APPROVED. One open request for each quota, and only for more than there is."""
        quota = self._now(self._quota(request))
        if not quota["Adjustable"]:
            raise AwsError("IllegalArgumentException", "The quota is not adjustable.")  # wording not verified
        with self._cloud.lock:
            if any(each["QuotaCode"] == quota["QuotaCode"] and each["Status"] == "PENDING" for each in self._about()):
                raise AwsError(
                    "ResourceAlreadyExistsException",
                    "Only one open service quota increase request is allowed per quota.",
                )
            if request["DesiredValue"] <= quota["Value"]:
                text = "You must provide a quota value that is greater than the current quota value."
                raise AwsError("IllegalArgumentException", text)
            made = self._asked(quota, float(request["DesiredValue"]))
            self._requests[made["Id"]] = dict(made)
        self._cloud.later(lambda: self._approve(made["Id"]))
        return {"RequestedQuota": made}

    def get_requested_service_quota_change(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request by its id."""
        with self._cloud.lock:
            if request["RequestId"] not in self._requests:
                raise _absent("request")
            return {"RequestedQuota": dict(self._requests[request["RequestId"]])}

    def list_requested_service_quota_change_history(self, request: dict[str, Any]) -> dict[str, Any]:
        """All requests, or those of a service, in a status."""
        return _page("RequestedQuotas", self._history(request), request)

    def list_requested_service_quota_change_history_by_quota(self, request: dict[str, Any]) -> dict[str, Any]:
        """Those for one quota."""
        return _page("RequestedQuotas", self._history(request), request)

    def resume(self) -> None:
        """After a restart: what was asked for is approved."""
        for each in self._about():
            if each["Status"] == "PENDING":
                self._cloud.later(partial(self._approve, each["Id"]))

    def _about(self) -> list[Quota]:
        with self._cloud.lock:
            return list(self._requests.values())

    def _history(self, request: Mapping[str, Any]) -> list[Quota]:
        wanted = {name: request[name] for name in ("ServiceCode", "QuotaCode", "Status") if name in request}
        return [each for each in self._about() if all(each[name] == value for name, value in wanted.items())]

    def _quotas(self, service: str, code: str | None = None) -> list[Quota]:
        if service not in NAMES:
            raise _absent("service")
        found = _of_sagemaker() if service == "sagemaker" else _of_vpc()
        return [self._placed(each) for each in found if code in (None, each["QuotaCode"])]

    def _quota(self, request: Mapping[str, Any]) -> Quota:
        found = self._quotas(request["ServiceCode"], request["QuotaCode"])
        if not found:
            raise _absent("quota")
        return found[0]

    def _placed(self, quota: Mapping[str, Any]) -> Quota:
        place = f"arn:{self._cloud.partition}:servicequotas:{self._cloud.region}"
        arn = f"{place}::{quota['ServiceCode']}/{quota['QuotaCode']}"
        return {**quota, "QuotaArn": arn, "Unit": "None"}

    def _now(self, quota: Quota) -> Quota:
        found = _approved(self._cloud, quota["ServiceCode"], quota["QuotaCode"])
        arn = quota["QuotaArn"].replace("::", f":{self._cloud.account}:")
        return {**quota, "QuotaArn": arn, "Value": max([quota["Value"], *found]), "QuotaAppliedAtLevel": "ACCOUNT"}

    def _asked(self, quota: Mapping[str, Any], wanted: float) -> Quota:
        members = ("ServiceCode", "ServiceName", "QuotaCode", "QuotaName", "QuotaArn", "GlobalQuota", "Unit")
        now, caller = self._cloud.now(), f"arn:{self._cloud.partition}:iam::{self._cloud.account}:root"
        return {
            **{name: quota[name] for name in members},
            "Id": uuid.uuid4().hex,
            "DesiredValue": wanted,
            "Status": "PENDING",
            "Created": now,
            "LastUpdated": now,
            "Requester": f'{{"accountId":"{self._cloud.account}","callerArn":"{caller}"}}',
        }

    def _approve(self, id: str) -> None:
        with self._cloud.lock:
            self._requests[id] |= {"Status": "APPROVED", "LastUpdated": self._cloud.now()}


def _approved(cloud: Cloud, service: str, code: str) -> list[float]:
    with cloud.lock:
        found = [each for each in cloud.store("quota_requests").values() if each["Status"] == "APPROVED"]
    return [each["DesiredValue"] for each in found if (each["ServiceCode"], each["QuotaCode"]) == (service, code)]


@cache
def _of_sagemaker() -> list[Quota]:
    return [_described("sagemaker", _code(name), name, DEFAULT) for name in sorted(_names())]


def _names() -> Iterator[str]:
    from moto.core.utils import get_service_model

    model = get_service_model("sagemaker")
    for usage, shape in USAGES.items():
        for kind in model.shape_for(shape).enum:
            yield usage_name(kind, usage)


@cache
def _of_vpc() -> list[Quota]:
    from moto.servicequotas.resources.default_quotas.vpc import VPC_DEFAULT_QUOTAS

    return [_described("vpc", each["QuotaCode"], each["QuotaName"], each["Value"]) for each in VPC_DEFAULT_QUOTAS]


def _described(service: str, code: str, name: str, value: float) -> Quota:
    about = {"ServiceCode": service, "ServiceName": NAMES[service], "QuotaCode": code, "QuotaName": name}
    return {**about, "Value": value, "Adjustable": True, "GlobalQuota": False}


def _code(name: str) -> str:
    made_up = hashlib.sha256(f"sagemaker {name}".encode()).hexdigest()[:8].upper()
    return CODES.get(name, f"L-{made_up}")


def _page(member: str, found: list[Quota], request: Mapping[str, Any]) -> dict[str, Any]:
    start, size = _start(request.get("NextToken")), int(request.get("MaxResults", PAGE))
    rest = base64.urlsafe_b64encode(str(start + size).encode()).decode() if start + size < len(found) else None
    return {member: found[start : start + size], "NextToken": rest}


def _start(token: str | None) -> int:
    try:
        return int(base64.urlsafe_b64decode(token)) if token else 0
    except (binascii.Error, ValueError) as error:
        raise AwsError("InvalidPaginationTokenException", "Invalid token was provided.") from error


def _absent(what: str) -> AwsError:
    return AwsError("NoSuchResourceException", f"The request failed because the specified {what} does not exist.")
